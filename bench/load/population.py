"""Who writes to whom, and how much: drawn from a seed, the same people for every generation.

Pure. The graph is symmetric: degrees are lognormal around the profile's mean and partners are drawn
by proximity on a ring, so that friends of friends are often friends.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

DEGREE_SIGMA = 0.5
BODY_KINDS = 512
DRAWS = 4_096
_Z99 = 2.3263478740408408  # standard normal quantile at 0.99


class Draw(NamedTuple):
    """One message to be: sender and addressee by number, and which of the prepared bodies."""

    sender: int
    addressee: int
    body: int


class Body(NamedTuple):
    """A prepared message body (ASCII) and the CRC-32 of its bytes."""

    text: str
    crc: int


def contacts(people: int, mean_degree: int, seed: int) -> list[list[int]]:
    """Contact numbers by person, sorted, symmetric; everybody knows at least one other (`people` ≥ 2)."""
    source = np.random.default_rng([seed, 1])
    mu = np.log(mean_degree) - DEGREE_SIGMA**2 / 2
    wanted = np.clip(np.rint(source.lognormal(mu, DEGREE_SIGMA, people)), 1, people - 1).astype(int)
    known: list[set[int]] = [set() for _ in range(people)]
    for person in range(people):
        reach = max(2, 2 * int(wanted[person]))
        known[person].add((person + 1) % people)  # nobody stays alone
        known[(person + 1) % people].add(person)
        for offset in source.permutation(np.arange(1, min(reach, people - 1) + 1)):
            if len(known[person]) >= wanted[person]:
                break
            other = int((person + offset) % people)
            if other != person and len(known[other]) < wanted[other]:
                known[person].add(other)
                known[other].add(person)
    return [sorted(others - {person}) for person, others in enumerate(known)]


def bodies(median_bytes: int, p99_bytes: int, seed: int) -> list[Body]:
    """The BODY_KINDS bodies that messages are drawn from: lognormal in size, printable, at least 1 byte."""
    source = np.random.default_rng([seed, 2])
    sigma = np.log(p99_bytes / median_bytes) / _Z99
    # Evenly spaced quantiles, not draws: so few bodies would give a rough distribution at random.
    spread = np.sort(source.standard_normal(100_000))[
        ((np.arange(BODY_KINDS) + 0.5) / BODY_KINDS * 100_000).astype(int)
    ]
    sizes = np.maximum(1, np.rint(median_bytes * np.exp(sigma * spread))).astype(int)
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz      ", dtype=np.uint8)
    made = []
    for size in sizes:
        raw = letters[source.integers(0, len(letters), size)].tobytes()
        raw = b"." + raw[1:-1] + b"." if size > 1 else b"."  # no edge that a parser might trim
        made.append(Body(raw.decode("ascii"), zlib.crc32(raw)))
    return made


def draws(graph: Sequence[Sequence[int]], seed: int) -> Iterator[Draw]:
    """Endless messages: a sender uniformly among people, an addressee among the sender's contacts."""
    source = np.random.default_rng([seed, 3])
    while True:
        senders = source.integers(0, len(graph), DRAWS)
        picks = source.random(DRAWS)
        texts = source.integers(0, BODY_KINDS, DRAWS)
        for sender, pick, text in zip(senders.tolist(), picks.tolist(), texts.tolist(), strict=True):
            known = graph[sender]
            yield Draw(sender, known[int(pick * len(known))], text)

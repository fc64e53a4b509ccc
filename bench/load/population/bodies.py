"""What messages say: a stock of bodies in the proportions of their kinds, from which each is drawn alike."""

import zlib
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from bench.plan import Plan

KINDS = {"text": 0.62, "voice": 0.16, "media": 0.20, "system": 0.01, "red_packet": 0.01}
"""Share of each kind. Voice is a published figure, the others are assumptions."""
STOCK = 1_000
REFERENCE_BYTES = 300
"""What is not text is a reference to where it lies, of this size; an assumption."""
_LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz      ", dtype=np.uint8)


class Body(NamedTuple):
    """A prepared message body (ASCII) and the CRC-32 of its bytes."""

    text: str
    crc: int


def bodies(plan: Plan, seed: int) -> list[Body]:
    """The STOCK bodies that messages are drawn from: printable, at least 1 byte, no blank at either end.

    Texts are lognormal in size, with the plan's median and 99th percentile: at evenly spaced quantiles
    and not drawn, for so few would give a rough distribution at random.
    """
    source = np.random.default_rng([seed, 2])
    made = []
    for kind, many in kind_counts().items():
        if kind == "text":
            sizes = text_sizes(plan.body_median_bytes, plan.body_p99_bytes, many)
            made += [_body(source, b".", size) for size in sizes]
        else:
            head = f"{kind}: ".encode()
            made += [_body(source, head, REFERENCE_BYTES) for _ in range(many)]
    return made


def kind_counts() -> dict[str, int]:
    """How many of the stock are of each kind, in the order in which they lie there."""
    return {kind: round(ratio * STOCK) for kind, ratio in KINDS.items()}


def text_sizes(median_bytes: int, p99_bytes: int, many: int) -> list[int]:
    """So many sizes in bytes, rising: lognormal with this median and 99th percentile, none below 1."""
    quantile = NormalDist().inv_cdf
    sigma = np.log(p99_bytes / median_bytes) / quantile(0.99)
    return [
        max(1, round(median_bytes * float(np.exp(sigma * quantile((n + 0.5) / many))))) for n in range(many)
    ]


def _body(source: np.random.Generator, head: bytes, size_bytes: int) -> Body:
    drawn = _LETTERS[source.integers(0, len(_LETTERS), size_bytes)].tobytes()
    raw = (head + drawn)[: size_bytes - 1] + b"."  # no edge that a parser might trim
    return Body(raw.decode("ascii"), zlib.crc32(raw))

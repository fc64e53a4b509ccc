"""Strong ties, symmetric: degrees are lognormal, and friends of friends are often friends.

Each person has as many loose ends as friends wanted. Every end lies near its owner on the line, within
REACH × the owner's degree, and ends that come to lie side by side are tied. Whoever is near both of two
friends is near their friends too, which is what triadic closure leaves behind: the clustering
coefficient is 0.2 to 0.35 whatever the size, where a random graph of as many ties has degree / people.
Ends that met their owner, or somebody tied already, try again, a little further off.

Degrees are exact but for the few ends that stay loose. Nobody stays alone.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import overload

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

DEGREE_SIGMA = 0.5
"""Standard deviation of the degree's logarithm; an assumption."""
REACH = 1.0
"""How far from its owner an end lies at most, in degrees of the owner."""
FURTHER = 1.3
ROUNDS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Ties(Sequence[list[int]]):
    """A list of numbers for each person, in two arrays: person p's is others[starts[p]:starts[p + 1]]."""

    starts: Longs
    others: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, person: int) -> list[int]: ...
    @overload
    def __getitem__(self, person: slice) -> list[list[int]]: ...
    def __getitem__(self, person: int | slice) -> list[int] | list[list[int]]:
        if isinstance(person, slice):
            return [self[each] for each in range(len(self))[person]]
        person = range(len(self))[person]
        found: list[int] = self.others[self.starts[person] : self.starts[person + 1]].tolist()
        return found

    def __iter__(self) -> Iterator[list[int]]:
        return (self[person] for person in range(len(self)))

    @property
    def degrees(self) -> Longs:
        """How many each person has."""
        return np.diff(self.starts)

    def pick(self, persons: Longs, at: npt.NDArray[np.float64]) -> Longs:
        """Of each person's list the one that is `at` in [0, 1) of it; nobody's list may be empty."""
        first = self.starts[persons]
        return self.others[first + (at * (self.starts[persons + 1] - first)).astype(np.int64)].astype(
            np.int64
        )

    def joins(self, persons: Longs, others: Longs) -> npt.NDArray[np.bool_]:
        """Whether each of `others` is on the list of its person; the lists must be sorted."""
        low, end = self.starts[persons], self.starts[persons + 1]
        high = end.copy()
        while (open_ := low < high).any():
            middle = (low + high) // 2
            below = open_ & (self.others[np.minimum(middle, len(self.others) - 1)] < others)
            low = np.where(below, middle + 1, low)
            high = np.where(open_ & ~below, middle, high)
        found: npt.NDArray[np.bool_] = self.others[np.minimum(low, len(self.others) - 1)] == others
        return found & (low < end)

    def kept(self, well: npt.NDArray[np.bool_]) -> "Ties":
        """Only the entries that are `well`; a list that none would be left of stays whole."""
        owners = np.repeat(np.arange(len(self)), self.degrees)
        left = np.bincount(owners[well], minlength=len(self))
        well = well | (left == 0)[owners]
        return ties_of(len(self), owners[well], self.others[well])


def ties_of(people: int, owners: Longs, others: npt.NDArray[np.integer]) -> Ties:
    """Lists of so many people from (owner, other) entries sorted by owner."""
    starts = np.zeros(people + 1, dtype=np.int64)
    np.cumsum(np.bincount(owners, minlength=people), out=starts[1:])
    return Ties(starts, others.astype(np.int32))


def strong_ties(people: int, mean_degree: float, seed: int) -> Ties:
    """Who knows whom among `people` (≥ 2): sorted lists, symmetric, everybody's at least one long."""
    source = np.random.default_rng([seed, 1])
    wanted = source.permutation(_degrees(people, mean_degree))
    loose = wanted.copy()
    tied: list[Longs] = []
    reach = REACH
    for _ in range(ROUNDS):
        owners = np.repeat(np.arange(people), loose)
        key = owners + source.uniform(-reach, reach, len(owners)) * wanted[owners]
        owners = owners[np.argsort(key)]
        pairs = _pairs(people, owners[:-1:2], owners[1::2])
        for earlier in tied:
            pairs = pairs[~_holds(earlier, pairs)]
        tied.append(pairs)
        loose -= np.bincount(pairs // people, minlength=people) + np.bincount(
            pairs % people, minlength=people
        )
        reach *= FURTHER
    alone = np.flatnonzero(loose == wanted)
    beside = np.where(alone + 1 < people, alone + 1, alone - 1)
    tied.append(_pairs(people, alone, beside))
    pairs = np.concatenate(tied)
    del tied, owners, key
    both = np.concatenate([pairs, pairs % people * people + pairs // people])
    both.sort()
    return ties_of(people, both // people, both % people)


def _degrees(people: int, mean: float) -> Longs:
    """Lognormal degrees at evenly spaced quantiles, rising: a few people have the moments of many."""
    quantile = NormalDist(math.log(mean) - DEGREE_SIGMA**2 / 2, DEGREE_SIGMA).inv_cdf
    logs = np.array([quantile((n + 0.5) / people) for n in range(people)])
    degrees: Longs = np.rint(np.exp(logs)).astype(np.int64).clip(1, people - 1)
    return degrees


def clustering(ties: Ties, seed: int, samples: int = 20_000) -> float | None:
    """Mean local clustering coefficient (Watts & Strogatz 1998), from so many pairs of friends of somebody.

    The share of pairs, of a person drawn among those with two friends or more, who know each other; None
    where nobody has two.
    """
    source = np.random.default_rng([seed, 9])
    degrees = ties.degrees
    able = np.flatnonzero(degrees >= 2)
    if not len(able):
        return None
    persons = able[source.integers(0, len(able), samples)]
    one = source.integers(0, degrees[persons])
    other = source.integers(0, degrees[persons] - 1)
    other += other >= one
    first = ties.starts[persons]
    friends = (ties.others[first + which].astype(np.int64) for which in (one, other))
    return float(ties.joins(*friends).mean())


def _pairs(people: int, one: Longs, other: Longs) -> Longs:
    """Each pair once, as lower × people + higher, sorted; nobody is paired with themselves."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    pairs = np.sort((low * people + high)[low != high])
    return pairs[np.append(True, pairs[1:] != pairs[:-1])] if len(pairs) else pairs


def _holds(sorted_pairs: Longs, pairs: Longs) -> npt.NDArray[np.bool_]:
    if not len(sorted_pairs):
        return np.zeros(len(pairs), dtype=np.bool_)
    at = np.searchsorted(sorted_pairs, pairs)
    held: npt.NDArray[np.bool_] = sorted_pairs[np.minimum(at, len(sorted_pairs) - 1)] == pairs
    return held

"""Whom a person writes to, by class of tie: strong, second degree, or the same region.

Figures a person, at 20,000 people and above (a report's, unverified; read per person and class, for read
per tie they would be 200 times the traffic that is known). Second-degree and regional ties shrink with
the number of contacts.

    class      ties   interactions a day   retained (quoted, not simulated)
    strong      386   12                   92 %
    second    2,100    3                   67 %
    region      450    0.8                 33 %

Strong ties are kept (ties.py). The others are not: a person's second degree is where PATHS × as many fixed
walks of two steps along strong ties end, other than at themselves and at friends; their region is a
stretch of the line. So a million people's weak ties take no memory.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bench.load.population.ties import Longs, Ties
from bench.scale import CONTACTS

CLASSES = ("strong", "second", "region")
TIES = {"strong": CONTACTS, "second": 2_100, "region": 450}
INTERACTIONS_A_DAY = {"strong": 12.0, "second": 3.0, "region": 0.8}
PATHS = 3
"""Walks for each second-degree tie: some end at friends, several at the same person."""
FRIENDS_IN_REGION = 0.45
"""Which part of a person's friends live in their region, so that it must be larger by as many."""
TRIES = 8


T = TypeVar("T")
Pieces = Generator[None, None, T]
"""Work that stops for a moment between its pieces, each of a fraction of a millisecond; gives a T."""


def at_once(pieces: Pieces[T]) -> T:
    """What the work gives, without stopping."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            given: T = end.value
            return given


def class_shares() -> dict[str, float]:
    """The share of one-to-one messages that goes to each class of tie."""
    total = sum(INTERACTIONS_A_DAY.values())
    return {name: a_day / total for name, a_day in INTERACTIONS_A_DAY.items()}


def target_of(name: str, contacts: float) -> float:
    """How many ties of a class a person is to have who has so many contacts."""
    return TIES[name] * contacts / TIES["strong"]


@dataclass(frozen=True, slots=True)
class Region:
    """How the line is cut into regions: `count` stretches of nearly the same length."""

    people: int
    count: int

    def bounds(self, persons: Longs) -> tuple[Longs, Longs]:
        """First person of each one's region, and the first after it."""
        number = ((persons + 1) * self.count - 1) // self.people
        return self.people * number // self.count, self.people * (number + 1) // self.count


def regions(people: int, contacts: float) -> Region:
    """The regions of so many people, large enough for the ties of that class."""
    size = 1 + target_of("region", contacts) + FRIENDS_IN_REGION * contacts
    return Region(people, max(1, round(people / size)))


class Circles:
    """Partners for the people of the stretch `own`, within it where they have any there."""

    def __init__(self, contacts: Ties, mean_contacts: float, own: range, seed: int) -> None:
        self._contacts = contacts
        self._own = own
        whole = len(own) == len(contacts)
        self._near = contacts if whole else contacts.kept(self._within(contacts.others))
        self._paths = max(1, round(PATHS * target_of("second", mean_contacts)))
        self._regions = regions(len(contacts), mean_contacts)
        self._salt = np.uint64(seed & 0xFFFFFFFF) << np.uint64(32)
        strong, second, _ = class_shares().values()
        self._until = np.array([strong, strong + second])

    def partners(self, persons: Longs, source: np.random.Generator) -> tuple[Longs, Longs]:
        """Somebody for each of `persons` to write to, and the class of the tie by its place in CLASSES.

        Who has nobody of the class that was drawn writes to a strong tie.
        """
        return at_once(self.partners_in_pieces(persons, source))

    def partners_in_pieces(self, persons: Longs, source: np.random.Generator) -> Pieces[tuple[Longs, Longs]]:
        """The same, in pieces between which others may run."""
        many = len(persons)
        partners = self._near.pick(persons, source.random(many))
        drawn = np.searchsorted(self._until, source.random(many), side="right")
        classes = np.zeros(many, dtype=np.int64)
        for number, look in ((1, self._second_degree), (2, self._neighbours)):
            left = np.flatnonzero(drawn == number)
            for _ in range(TRIES):
                if not len(left):
                    break
                asking = persons[left]
                found = look(asking, source)
                well = (found != asking) & self._within(found) & ~self._contacts.joins(asking, found)
                partners[left[well]] = found[well]
                classes[left[well]] = number
                left = left[~well]
                yield
        return partners, classes

    def second_degree_of(self, person: int) -> Longs:
        """All of a person's second-degree ties, sorted."""
        ends = self._walk(np.full(self._paths, person), np.arange(self._paths))
        return np.setdiff1d(ends, [person, *self._contacts[person]])

    def region_of(self, person: int) -> Longs:
        """All of a person's regional ties, sorted."""
        low, high = self._regions.bounds(np.array([person]))
        return np.setdiff1d(np.arange(low[0], high[0]), [person, *self._contacts[person]])

    def _within(self, persons: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        return (persons >= self._own.start) & (persons < self._own.stop)

    def _second_degree(self, persons: Longs, source: np.random.Generator) -> Longs:
        return self._walk(persons, source.integers(0, self._paths, len(persons)))

    def _walk(self, persons: Longs, paths: Longs) -> Longs:
        """Where the walk number `paths` of each person ends; always at the same place."""
        mixed = _mixed((persons * self._paths + paths).astype(np.uint64) ^ self._salt)
        first = (mixed >> np.uint64(32)) / 2.0**32
        then = (mixed & np.uint64(0xFFFFFFFF)) / 2.0**32
        return self._near.pick(self._near.pick(persons, first), then)

    def _neighbours(self, persons: Longs, source: np.random.Generator) -> Longs:
        low, high = self._regions.bounds(persons)
        low, high = np.maximum(low, self._own.start), np.minimum(high, self._own.stop)
        return low + (source.random(len(persons)) * (high - low)).astype(np.int64)


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Each number's bits well mixed: the finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))

"""All histograms of a run in a few flat arrays: a line of its log costs some tens of bytes, and no loop.

A run of fifteen trials has hundreds of thousands of bins, of ten to twenty occupied buckets each. As an
object apiece they take half a gigabyte and seconds to walk. Here bucket numbers and counts of all lines
stand one behind the other, and `first` says where each line's begin. Reading (bench/histogram_reading.py)
fills it; the analysis merges it by groups of lines.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from bench.histograms import BUCKETS, Histogram, LogLine, highest_value
from bench.records import HistogramTag

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
AT_ONCE = 1 << 20
"""So many buckets are added up at once: picking them out takes some thirty bytes for each meanwhile."""


@dataclass(frozen=True, slots=True, eq=False)
class HistogramTable(Sequence[LogLine]):
    """Lines in the log's order. Line i is of `tags[tag[i]]`, its buckets are `first[i]` to `first[i + 1]`.

    `buckets` are their numbers, rising within a line, `counts` the values in each; times are seconds.
    """

    tags: tuple[HistogramTag, ...]
    tag: npt.NDArray[np.int32]
    start_s: Floats
    length_s: Floats
    first: Integers
    buckets: npt.NDArray[np.uint16]
    counts: npt.NDArray[np.unsignedinteger[Any]]

    @classmethod
    def of(cls, lines: Iterable[LogLine]) -> Self:
        """The table of `lines`; one that is a table already is given back."""
        if isinstance(lines, cls):
            return lines
        given = list(lines)
        numbers: dict[HistogramTag, int] = {}
        tag = [numbers.setdefault(line.tag, len(numbers)) for line in given]
        sizes = [line.histogram.index.size for line in given]
        no_counts = np.zeros(0, dtype=np.uint64)
        return cls(
            tags=tuple(numbers),
            tag=np.array(tag, dtype=np.int32),
            start_s=np.array([line.start_s for line in given], dtype=np.float64),
            length_s=np.array([line.length_s for line in given], dtype=np.float64),
            first=np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64),
            buckets=np.concatenate(
                [no_counts, *(line.histogram.index for line in given)], dtype=np.uint16, casting="unsafe"
            ),
            counts=np.concatenate(
                [no_counts, *(line.histogram.count for line in given)], dtype=np.uint64, casting="unsafe"
            ),
        )

    def __len__(self) -> int:
        return len(self.tag)

    @overload
    def __getitem__(self, at: int) -> LogLine: ...
    @overload
    def __getitem__(self, at: slice) -> list[LogLine]: ...
    def __getitem__(self, at: int | slice) -> LogLine | list[LogLine]:
        if isinstance(at, slice):
            return [self[position] for position in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        at %= len(self)
        return LogLine(
            self.tags[self.tag[at]], float(self.start_s[at]), float(self.length_s[at]), self.histogram(at)
        )

    def __iter__(self) -> Iterator[LogLine]:
        return (self[at] for at in range(len(self)))

    def histogram(self, at: int) -> Histogram:
        """The histogram of one line, which shares the table's memory."""
        span = slice(self.first[at], self.first[at + 1])
        return Histogram(self.buckets[span], self.counts[span])

    def select(self, lines: Integers) -> Self:
        """The table of these lines alone, given by their positions, in their order."""
        begins, sizes = self.first[lines], np.diff(self.first)[lines]
        first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        places = np.arange(first[-1]) + np.repeat(begins - first[:-1], sizes)
        return type(self)(
            self.tags, self.tag[lines], self.start_s[lines], self.length_s[lines], first,
            self.buckets[places], self.counts[places],
        )  # fmt: skip

    def lines_of(self, numbers: Iterable[int]) -> Integers:
        """The positions of all lines whose tag's number is among these, in the log's order."""
        wanted = np.zeros(len(self.tags) + 1, dtype=np.bool_)
        wanted[list(numbers)] = True
        return np.flatnonzero(wanted[self.tag])

    def merged_by_tag(self) -> dict[HistogramTag, Histogram]:
        """All lines of each tag as one histogram, in the order of the tags' first lines."""
        order = np.argsort(self.tag, kind="stable")
        edges = np.searchsorted(self.tag[order], np.arange(len(self.tags) + 1))
        own = (self._gathered(order[begin:end]) for begin, end in pairwise(edges))
        return dict(zip(self.tags, own, strict=True))

    def _gathered(self, lines: Integers) -> Histogram:
        """These lines as one histogram."""
        reached = np.cumsum(np.diff(self.first)[lines])
        cuts = np.searchsorted(reached, np.arange(AT_ONCE, self.first[-1], AT_ONCE))
        counts = np.zeros(BUCKETS)
        for part in np.split(lines, cuts[cuts < len(lines)]):
            one = self.select(part)
            counts += np.bincount(one.buckets, weights=one.counts, minlength=BUCKETS)  # exact below 2^53
        return Histogram.of_counts(counts.astype(np.int64))

    def percentiles_us(
        self, group: Integers, groups: int, quantiles: Sequence[float]
    ) -> tuple[Integers, Floats]:
        """Totals of each group of lines, and its percentiles in µs: one row a group, NaN for an empty one.

        `group` has a number for each line, 0 to `groups` - 1. Percentiles are `histograms.percentile`'s.
        """
        of_entry = np.repeat(group, np.diff(self.first))
        order = np.argsort(of_entry * 65_536 + self.buckets, kind="stable")
        counts = self.counts[order].astype(np.int64)
        reached = np.cumsum(counts)
        totals = np.bincount(of_entry, weights=self.counts, minlength=groups).astype(np.int64)
        before = np.cumsum(totals) - totals
        found = np.full((groups, len(quantiles)), np.nan)
        there = totals > 0
        for column, quantile in enumerate(quantiles):
            target = np.maximum((100 * quantile * totals / 100 + 0.5).astype(np.int64), 1)
            place = np.searchsorted(reached, before + target)
            found[there, column] = highest_value(self.buckets[order[place[there]]])
        return totals, found

"""A trial's bins of goodput, backlog and latency: made of its rows and histograms, joined to wider ones.

Goodput counts sends acknowledged within the SLO, in the bin of their intended start. An original bin is
one of timeline.csv; bins are widened until each has 100 arrivals, enough for a p95 to be judged by.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench.analysis.metrics import TRANSACTIONS
from bench.histogram_table import HistogramTable
from bench.histograms import Histogram, LogLine, merge, percentile_over

ARRIVALS_PER_BIN = 100
FEWEST_FOR_P95 = 20
"""Below this many samples a bin's p95 is no more than its highest value."""


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin, or several made one. `*_p95_ms` are None where there are too few samples to say.

    Its histograms are those it was made of, and only merged when asked for: an hour's would be kept twice.
    """

    start_s: float
    end_s: float
    offered: int
    on_time: int
    backlog: int
    responses: Sequence[Histogram]
    deliveries: Sequence[Histogram]

    @property
    def goodput(self) -> float:
        """On-time share of what was offered; 1 where nothing was."""
        return self.on_time / self.offered if self.offered else 1.0

    @property
    def response(self) -> Histogram:
        """Response times of all kinds of send."""
        return merge(self.responses)

    @property
    def quickest_us(self) -> int | None:
        """The least response time, to its bucket; None where nothing was acknowledged."""
        lowest_us = (part.lowest_us for part in self.responses)
        return min((value_us for value_us in lowest_us if value_us is not None), default=None)

    @property
    def response_p95_ms(self) -> float | None:
        """Of acknowledged sends intended in this bin."""
        return _p95_ms(self.responses)

    @property
    def delivery_p95_ms(self) -> float | None:
        """Of messages received in this bin."""
        return _p95_ms(self.deliveries)


def histograms_by_bin(lines: Iterable[LogLine]) -> "HistogramsByBin":
    """By trial, then by the bin's start in ms and the measure: response of `ok`, delivery of all."""
    table = HistogramTable.of(lines)
    numbers: dict[tuple[str, int], list[int]] = {}
    for number, tag in enumerate(table.tags):
        if tag.operation not in TRANSACTIONS or tag.measure not in ("response", "delivery"):
            continue
        if tag.measure == "response" and tag.outcome != "ok":
            continue
        numbers.setdefault((tag.generation, tag.trial), []).append(number)
    return HistogramsByBin(table, numbers)


class HistogramsByBin(Mapping[tuple[str, int], Mapping[tuple[int, str], list[Histogram]]]):
    """What `histograms_by_bin` gives; a trial's are made when asked for, as all at once would be many."""

    def __init__(self, table: HistogramTable, numbers: Mapping[tuple[str, int], Sequence[int]]) -> None:
        self._table = table
        self._numbers = numbers

    def __getitem__(self, trial: tuple[str, int]) -> Mapping[tuple[int, str], list[Histogram]]:
        table = self._table
        found: dict[tuple[int, str], list[Histogram]] = {}
        lines = table.lines_of(self._numbers[trial])
        starts_ms = np.rint(table.start_s[lines] * 1000).astype(np.int64).tolist()
        begins, ends = table.first[lines].tolist(), table.first[lines + 1].tolist()
        measures = [table.tags[number].measure for number in table.tag[lines].tolist()]
        buckets, counts = table.buckets, table.counts
        for start_ms, measure, begin, end in zip(starts_ms, measures, begins, ends, strict=True):
            own = Histogram(buckets[begin:end], counts[begin:end])
            found.setdefault((start_ms, measure), []).append(own)
        return found

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def original_bins(
    timeline: pd.DataFrame,
    phases: Sequence[str],
    histograms: Mapping[tuple[int, str], Sequence[Histogram]],
) -> list[Bin]:
    """One trial's bins of sends within `phases`, by time; kinds of send are added up.

    `timeline` has the trial's rows alone, `histograms` are its own of `histograms_by_bin`.
    """
    table = timeline[timeline["operation"].isin(TRANSACTIONS) & timeline["phase"].isin(phases)]
    sums = table.groupby("bin_start_s", sort=True).agg(
        {"bin_width_s": "max", "offered": "sum", "on_time": "sum", "backlog": "sum"}
    )
    return [
        Bin(
            start_s=start_s,
            end_s=start_s + width_s,
            offered=int(offered),
            on_time=int(on_time),
            backlog=int(backlog),
            responses=histograms.get((_ms(start_s), "response"), ()),
            deliveries=histograms.get((_ms(start_s), "delivery"), ()),
        )
        for start_s, width_s, offered, on_time, backlog in sums.itertuples(name=None)
    ]


def while_offered(bins: Sequence[Bin]) -> list[Bin]:
    """Without the bins after the last arrival."""
    last = max((i for i, b in enumerate(bins) if b.offered), default=-1)
    return list(bins[: last + 1])


def widen(bins: Sequence[Bin]) -> list[Bin]:
    """Neighbours joined until each has 100 arrivals; what is left over at the end joins the last."""
    joined: list[Bin] = []
    waiting: list[Bin] = []
    arrivals = 0
    for item in bins:
        waiting.append(item)
        arrivals += item.offered
        if arrivals >= ARRIVALS_PER_BIN:
            joined.append(join(waiting))
            waiting, arrivals = [], 0
    if waiting:
        joined = [*joined[:-1], join([*joined[-1:], *waiting])]
    return joined


def next_arrivals(bins: Sequence[Bin], begin: int) -> Bin:
    """The bins from `begin` on that hold the next 100 arrivals, as one; the backlog is that of the first."""
    arrivals = 0
    for end in range(begin, len(bins)):
        arrivals += bins[end].offered
        if arrivals >= ARRIVALS_PER_BIN:
            break
    return replace(join(bins[begin : end + 1]), backlog=bins[begin].backlog)


def join(bins: Sequence[Bin]) -> Bin:
    """Neighbours as one bin, with the backlog of the last; there must be at least one."""
    if len(bins) == 1:
        return bins[0]
    return Bin(
        start_s=bins[0].start_s,
        end_s=bins[-1].end_s,
        offered=sum(b.offered for b in bins),
        on_time=sum(b.on_time for b in bins),
        backlog=bins[-1].backlog,
        responses=tuple(part for b in bins for part in b.responses),
        deliveries=tuple(part for b in bins for part in b.deliveries),
    )


def _p95_ms(parts: Sequence[Histogram]) -> float | None:
    value_us = percentile_over(parts, 0.95, fewest=FEWEST_FOR_P95)
    return None if value_us is None else value_us / 1000


def _ms(start_s: float) -> int:
    return round(start_s * 1000)

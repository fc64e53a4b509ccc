"""Joins the settled bins of all load processes of a trial, and writes them down as they become whole.

There is no other way into timeline.csv, touched.csv and histograms.hlog: a run with one load process
gathers from one, a run with workers from each of them.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from operator import attrgetter
from typing import TextIO

import numpy as np
import numpy.typing as npt

from bench.histograms import LOG_HEADER, Histogram, encode_histogram_line, percentile
from bench.load.phases import phase_at
from bench.load.settled import SettledBin, join
from bench.plan import PlannedStage
from bench.records import OPERATIONS, HistogramTag, TimelineRow, TouchedRow
from bench.spans import spans_of

ENOUGH_BEYOND = 10
"""How many samples must lie beyond a percentile for it to be given."""

TAIL = 0.999
TAIL_OF = frozenset({"response", "delivery"})

_NO_COUNTS = np.zeros(0, dtype=np.int64)
_CELLS = attrgetter(*(column.name for column in fields(TimelineRow)))


class Gathering:
    """The bins of one trial, from `producers` load processes numbered from 0.

    A bin is written once every producer that is still there has settled it. `timeline`, `touched` and
    `hlog` are flushed after each, so that a process that is killed leaves what it had measured.
    """

    def __init__(
        self,
        generation: str,
        trial: int,
        stages: Sequence[PlannedStage],
        *,
        bin_width_s: float,
        timeline: TextIO,
        touched: TextIO,
        hlog: TextIO,
        producers: int = 1,
    ) -> None:
        self._generation = generation
        self._trial = trial
        self._stages = stages
        self._width_s = bin_width_s
        self._files = (timeline, touched, hlog)
        self._hlog = hlog
        self._rows = csv.writer(timeline, lineterminator="\n")
        self._rows.writerow([column.name for column in fields(TimelineRow)])
        self._touched = csv.writer(touched, lineterminator="\n")
        self._touched.writerow([column.name for column in fields(TouchedRow)])
        hlog.write(LOG_HEADER)
        self._settled: dict[int, int | None] = dict.fromkeys(range(producers))
        self._waiting: dict[tuple[int, str], list[SettledBin]] = {}
        self._backlog = dict.fromkeys(OPERATIONS, 0)
        self._tails: dict[str, npt.NDArray[np.int64]] = {}

    def take(self, producer: int, bins: Iterable[SettledBin], settled_until: int) -> None:
        """Bins of one producer, which has settled all before `settled_until`."""
        for one in bins:
            self._waiting.setdefault((one.index, one.operation), []).append(one)
        self._settled[producer] = settled_until
        self._write_whole()

    def tail_s(self) -> float:
        """The 99.9th percentile of response and delivery times so far, whichever is longer; 0 for none."""
        tails_us = [percentile(Histogram.of_counts(counts), TAIL) for counts in self._tails.values()]
        return max((tail_us for tail_us in tails_us if tail_us is not None), default=0) / 1e6

    def lose(self, producer: int) -> None:
        """Wait for this producer no longer; what it gave stays."""
        self._settled.pop(producer, None)
        self._write_whole()

    def close(self) -> None:
        """Write all that is left."""
        self._settled.clear()
        self._write_whole()

    def _write_whole(self) -> None:
        reached = list(self._settled.values())
        if any(until is None for until in reached):
            return
        horizon = min((until for until in reached if until is not None), default=None)
        whole = sorted(key for key in self._waiting if horizon is None or key[0] < horizon)
        for key in whole:
            self._write(join(self._waiting.pop(key)))
        if whole:
            for file in self._files:
                file.flush()

    def _write(self, one: SettledBin) -> None:
        start_s = round(one.index * self._width_s, 6)
        phase = phase_at(self._stages, start_s + self._width_s / 2)
        counts = one.counts
        self._backlog[one.operation] += counts.attempts - counts.answers
        for (outcome, measure), histogram in one.latencies.items():
            tag = HistogramTag(self._generation, self._trial, phase, one.operation, outcome, measure)
            if measure in TAIL_OF:
                self._count_in_tail(measure, histogram)
            self._hlog.write(encode_histogram_line(tag, start_s, self._width_s, histogram))
        response = one.latencies.get(("ok", "response"))
        row = TimelineRow(
            generation=self._generation,
            trial=self._trial,
            phase=phase,
            bin_start_s=start_s,
            bin_width_s=self._width_s,
            operation=one.operation,
            offered=counts.offered,
            sent=counts.sent,
            shed=counts.shed,
            ok=counts.ok,
            failed=counts.failed,
            unknown=counts.unknown,
            on_time=counts.on_time,
            acknowledged_in_bin=counts.acknowledged_in_bin,
            delivered_in_bin=counts.delivered_in_bin,
            backlog=self._backlog[one.operation],
            response_p50_ms=_percentile_ms(response, 0.50),
            response_p95_ms=_percentile_ms(response, 0.95),
            response_p99_ms=_percentile_ms(response, 0.99),
            delivery_p95_ms=_percentile_ms(one.latencies.get(("ok", "delivery")), 0.95),
            lag_p99_ms=_percentile_ms(one.latencies.get(("ok", "lag")), 0.99),
        )
        self._rows.writerow(["" if value is None else value for value in _CELLS(row)])
        if one.touched.size:
            many, people = len(one.touched), spans_of(one.touched.tolist())
            whom = TouchedRow(
                self._generation, self._trial, start_s, self._width_s, one.operation, many, people
            )
            self._touched.writerow(astuple(whom))

    def _count_in_tail(self, measure: str, histogram: Histogram) -> None:
        counts = self._tails.get(measure, _NO_COUNTS)
        if len(counts) <= histogram.index[-1]:
            counts = np.concatenate([counts, np.zeros(histogram.index[-1] + 1 - len(counts), dtype=np.int64)])
            self._tails[measure] = counts
        counts[histogram.index] += histogram.count


def _percentile_ms(histogram: Histogram | None, quantile: float) -> float | None:
    """The quantile in ms; None where fewer than ten samples lie beyond it."""
    if histogram is None or histogram.total * (1 - quantile) < ENOUGH_BEYOND - 1e-6:
        return None
    value_us = percentile(histogram, quantile)
    return None if value_us is None else value_us / 1000

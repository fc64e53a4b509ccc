"""What figures are drawn from: a trial's sends in windows of time, and latency by percentile.

A window is some whole bins of timeline.csv. Latencies in it come from the bins' histograms, merged; a
percentile is given where the window has at least 20 answers, as recovery's are. A window in which nothing
was offered has no figure. Over several trials a window's value is the median of the trials', with the lowest
and the highest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.bins import ARRIVALS_PER_BIN, FEWEST_FOR_P95
from bench.analysis.metrics import OUTCOMES_COUNTED, TRANSACTIONS, enough_for
from bench.evidence import Evidence
from bench.histogram_table import HistogramTable
from bench.histograms import Histogram, highest_value, merge
from bench.records import Measure

Floats = npt.NDArray[np.float64]

WIDTHS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
MOST_WINDOWS = 300
CURVE_POINTS = 160
COLUMNS = ("offered", "on_time", "acknowledged_in_bin")


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, and in windows of which width; seconds on the trial's clock."""

    start_s: float
    end_s: float
    width_s: float

    @property
    def starts_s(self) -> Floats:
        """Where each window begins."""
        return np.round(self.start_s + np.arange(self.windows) * self.width_s, 6)

    @property
    def windows(self) -> int:
        """How many there are; the last may be cut short."""
        return max(int(np.ceil((self.end_s - self.start_s) / self.width_s - 1e-6)), 1)

    def place(self, t_s: Floats) -> npt.NDArray[np.int64]:
        """The window of each moment; moments outside have a number outside."""
        return np.floor((t_s - self.start_s) / self.width_s + 1e-6).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Series:
    """One trial's sends, a value a window; NaN is not measured. `backlog` is the highest in the window."""

    generation: str
    trial: int
    span: Span
    offered_per_s: Floats
    goodput_per_s: Floats
    backlog: Floats
    p50_ms: Floats
    p95_ms: Floats


@dataclass(frozen=True, slots=True)
class Curve:
    """Latency by percentile: `ms[i]` is at quantile `quantile[i]`, which rises. `n` values are behind it."""

    n: int
    quantile: Floats
    ms: Floats


def fitting_width_s(start_s: float, end_s: float, bin_width_s: float, rate_per_s: float) -> float:
    """The least usual width of windows that are not too many, and of which each has 100 arrivals."""
    needed_s = max((end_s - start_s) / MOST_WINDOWS, ARRIVALS_PER_BIN / rate_per_s if rate_per_s else 0.0)
    whole = [width_s for width_s in WIDTHS_S if width_s >= bin_width_s - 1e-9]
    return next((width_s for width_s in whole if width_s >= needed_s - 1e-9), WIDTHS_S[-1])


def series_of(evidence: Evidence, generation: str, spans: Mapping[int, Span]) -> tuple[Series, ...]:
    """The series of one generation's trials, by number, each within its span."""
    timeline = evidence.timeline
    sends = timeline[(timeline["generation"] == generation) & timeline["operation"].isin(TRANSACTIONS)]
    table = HistogramTable.of(evidence.histograms)
    return tuple(
        _series(generation, trial, span, sends[sends["trial"] == trial], table)
        for trial, span in spans.items()
    )


def over_trials(values: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
    """Median, lowest and highest of each window; NaN where no trial has a value."""
    longest = max(len(one) for one in values)
    stacked = np.full((len(values), longest), np.nan)
    for row, one in zip(stacked, values, strict=True):
        row[: len(one)] = one
    there = ~np.isnan(stacked).all(axis=0)
    found = np.full((3, longest), np.nan)
    if there.any():
        known = stacked[:, there]
        found[0, there] = np.nanmedian(known, axis=0)
        found[1, there] = np.nanmin(known, axis=0)
        found[2, there] = np.nanmax(known, axis=0)
    return found[0], found[1], found[2]


def merged(
    evidence: Evidence, generation: str, trials: Sequence[int], phase: str | None, measure: Measure
) -> Histogram:
    """All values of a measure of sends in one phase of these trials, of the outcomes that it counts."""
    table = HistogramTable.of(evidence.histograms)
    chosen = [
        number
        for number, tag in enumerate(table.tags)
        if (tag.generation, tag.phase, tag.measure) == (generation, phase, measure)
        and tag.trial in trials
        and tag.operation in TRANSACTIONS
        and tag.outcome in OUTCOMES_COUNTED[measure]
    ]
    return merge(table.select(table.lines_of(chosen)).merged_by_tag().values())


def curve(histogram: Histogram) -> Curve:
    """The histogram's percentiles, as far as at least ten values lie beyond them."""
    total = histogram.total
    if not total:
        return Curve(0, np.zeros(0), np.zeros(0))
    reached = np.cumsum(histogram.count.astype(np.int64)) / total
    values_ms = highest_value(histogram.index) / 1000
    told = np.array([enough_for(float(quantile), total) for quantile in reached], dtype=np.bool_)
    quantile, ms = reached[told], values_ms[told]
    if len(quantile) > CURVE_POINTS:  # evenly on the figure's axis, 1/(1-q)
        axis = np.log10(1 / (1 - quantile))
        wanted = np.linspace(axis[0], axis[-1], CURVE_POINTS)
        kept = np.unique(np.minimum(np.searchsorted(axis, wanted), len(axis) - 1))
        quantile, ms = quantile[kept], ms[kept]
    return Curve(total, quantile, ms)


def bin_width_s(evidence: Evidence) -> float:
    """The width of the run's bins; 1 s where it has none."""
    widths = evidence.timeline["bin_width_s"]
    return float(widths.max()) if len(widths) else 1.0


def rate_per_s(evidence: Evidence, generation: str) -> float:
    """What was offered a second, in the mean over all bins of the generation's trials."""
    timeline = evidence.timeline
    sends = timeline[(timeline["generation"] == generation) & timeline["operation"].isin(TRANSACTIONS)]
    sends = sends[sends["offered"] > 0]
    bins = sends[["trial", "bin_start_s", "bin_width_s"]].drop_duplicates()
    length_s = float(bins["bin_width_s"].sum())
    return float(sends["offered"].sum()) / length_s if length_s else 0.0


def _series(generation: str, trial: int, span: Span, sends: pd.DataFrame, table: HistogramTable) -> Series:
    many = span.windows
    place = span.place(sends["bin_start_s"].to_numpy(dtype=np.float64))
    inside = (place >= 0) & (place < many)
    place = place[inside]
    sums = {
        name: np.bincount(place, sends[name].to_numpy(dtype=np.float64)[inside], minlength=many)
        for name in COLUMNS
    }
    covered_s = _covered_s(sends[inside], place, many)
    backlog = np.full(many, np.nan)
    by_bin = sends[inside].groupby("bin_start_s")["backlog"].sum()
    bins_s = by_bin.index.to_numpy(dtype=np.float64)
    np.fmax.at(backlog, span.place(bins_s), by_bin.to_numpy(dtype=np.float64))
    chosen = [
        number
        for number, tag in enumerate(table.tags)
        if (tag.generation, tag.trial, tag.measure, tag.outcome) == (generation, trial, "response", "ok")
        and tag.operation in TRANSACTIONS
        and tag.phase != "login"
    ]
    lines = table.lines_of(chosen)
    groups = span.place(table.start_s[lines])
    within = (groups >= 0) & (groups < many)
    own = table.select(lines[within])
    totals, percentiles_us = own.percentiles_us(groups[within], many, (0.5, 0.95))
    percentiles_us[totals < FEWEST_FOR_P95] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        offered_per_s = np.where(covered_s > 0, sums["offered"] / covered_s, np.nan)
        goodput_per_s = np.where(covered_s > 0, sums["on_time"] / covered_s, np.nan)
    return Series(
        generation, trial, span, offered_per_s, goodput_per_s, backlog,
        percentiles_us[:, 0] / 1000, percentiles_us[:, 1] / 1000,
    )  # fmt: skip


def _covered_s(sends: pd.DataFrame, place: npt.NDArray[np.int64], many: int) -> Floats:
    """How much of each window bins were written for: all of it but at the ends."""
    once = ~sends["bin_start_s"].duplicated().to_numpy()
    widths = sends["bin_width_s"].to_numpy(dtype=np.float64)
    found: Floats = np.bincount(place[once], widths[once], minlength=many).astype(np.float64)
    return found

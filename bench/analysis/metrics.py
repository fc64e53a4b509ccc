"""Figures of each phase of each trial: rates, latencies, the SLO, and what they cost in CPU.

Rows of summary.csv. Per operation (column `operation`), `n` being the arrivals or samples behind it:

    offered attempted shed ok failed unknown on_time     counts, by intended start
    acknowledged delivered                               counts, by the clock
    offered_rate attempted_rate acknowledged_rate delivered_rate       those over the phase's wall time
    slo_share                                            on_time / offered
    response_p50 … service_p50 … lag_p50 … delivery_p50 …       from merged histograms

Response and service are of acknowledged operations only, so that a quick refusal flatters nobody; lag
and delivery are of all. A percentile q is given where n(1-q) >= 10, else it is missing.

Per phase (`operation` empty): `tps`, acknowledged sends of every kind over the phase's wall time, with
`offered_rate` and `slo_share` of the same;
`cpu_us_per_transaction` and `cpu_us_per_transaction:<node>`; the generator's and the host's readings
as mean and as highest (`…_max`). The wall time of a phase that was cut short is up to the last bin.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from bench.analysis.planned import stages
from bench.evidence import Evidence
from bench.histogram_table import HistogramTable
from bench.histograms import Histogram, merge, percentile
from bench.manifest import Phase
from bench.records import MEASURES, SummaryRow

TRANSACTIONS = ("send", "group_send")
"""The operations whose acknowledgements are transactions."""
QUANTILES: Mapping[str, float] = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
ENOUGH_BEYOND = 10
"""How many samples must lie beyond a percentile for it to be given."""
OUTCOMES_COUNTED: Mapping[str, frozenset[str]] = {
    "response": frozenset({"ok"}),
    "service": frozenset({"ok"}),
    "lag": frozenset({"ok", "failed", "unknown"}),
    "delivery": frozenset({"ok", "failed", "unknown"}),
}
COUNTS: Mapping[str, str] = {
    "offered": "offered",
    "attempted": "sent",
    "shed": "shed",
    "ok": "ok",
    "failed": "failed",
    "unknown": "unknown",
    "on_time": "on_time",
    "acknowledged": "acknowledged_in_bin",
    "delivered": "delivered_in_bin",
}
"""Metric by name: the column of timeline.csv whose sum it is."""
RATES = ("offered", "attempted", "acknowledged", "delivered")
COUNTERS = frozenset({"cpu_seconds", "failed_samples"})
"""Metrics of telemetry of which a mean says nothing."""


def is_node(subjects: pd.Series) -> pd.Series:
    """Which subjects of telemetry are nodes of the system: not the host, the harness, or a load process."""
    return ~(subjects.isin({"host", "harness"}) | subjects.str.startswith("generator"))


def enough_for(quantile: float, n: int) -> bool:
    """Whether `n` samples carry this percentile: n(1-q) >= 10, whatever floating point makes of it."""
    return n * (1 - quantile) >= ENOUGH_BEYOND - 1e-6


def percentile_ms(histogram: Histogram, quantile: float) -> float | None:
    """The percentile in ms, or None where the histogram holds too few samples for it."""
    if not enough_for(quantile, histogram.total):
        return None
    value_us = percentile(histogram, quantile)
    return None if value_us is None else value_us / 1000


def summarise(evidence: Evidence) -> tuple[SummaryRow, ...]:
    """Every figure of every phase, in the order of the manifest's trials and their phases; pure."""
    merged = _merged(evidence)
    rows: list[SummaryRow] = []
    for trial in evidence.manifest.trials:
        timeline = _of(evidence.timeline, trial.generation, trial.trial)
        telemetry = _of(evidence.telemetry, trial.generation, trial.trial)
        spans = trial.phases or [Phase(s.name, s.start_s, s.end_s) for s in stages(evidence.plan)]
        for phase in spans:
            bins = timeline[timeline["phase"] == phase.name]
            key = (trial.generation, trial.trial, phase.name)
            end_s = phase.end_s if trial.status == "complete" else min(phase.end_s, _last_s(timeline))
            span = (phase.start_s, end_s)
            duration_s = end_s - phase.start_s
            for operation in sorted(set(bins["operation"])):
                of_operation = bins[bins["operation"] == operation]
                rows += _counted(key, operation, of_operation, duration_s)
                rows += _latencies(key, operation, merged)
            transactions = bins[bins["operation"].isin(TRANSACTIONS)]
            acknowledged = int(transactions["acknowledged_in_bin"].sum())
            if len(transactions):
                rows += _transactions(key, transactions, duration_s)
            rows += _costs(key, telemetry, span, acknowledged)
            rows += _readings(key, telemetry, span)
    return tuple(rows)


Key = tuple[str, int, str]


def _transactions(key: "Key", bins: pd.DataFrame, duration_s: float) -> Iterator[SummaryRow]:
    acknowledged, offered, on_time = (
        int(bins[column].sum()) for column in ("acknowledged_in_bin", "offered", "on_time")
    )
    yield _row(key, "", "tps", _ratio(acknowledged, duration_s), "1/s", acknowledged)
    yield _row(key, "", "offered_rate", _ratio(offered, duration_s), "1/s", offered)
    yield _row(key, "", "slo_share", _ratio(on_time, offered), "ratio", offered)


def _row(key: Key, operation: str, metric: str, value: float | None, unit: str, n: int) -> SummaryRow:
    return SummaryRow(*key, operation, metric, value, unit, n)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _of(table: pd.DataFrame, generation: str, trial: int) -> pd.DataFrame:
    return table[(table["generation"] == generation) & (table["trial"] == trial)]


def _last_s(timeline: pd.DataFrame) -> float:
    """Where the bins end: a trial cut short says so in no other way."""
    if timeline.empty:
        return 0.0
    return float((timeline["bin_start_s"] + timeline["bin_width_s"]).max())


def _merged(evidence: Evidence) -> dict[tuple[str, int, str, str, str], Histogram]:
    """By generation, trial, phase, operation and measure, over the outcomes that count for the measure."""
    parts: dict[tuple[str, int, str, str, str], list[Histogram]] = {}
    for tag, histogram in HistogramTable.of(evidence.histograms).merged_by_tag().items():
        generation, trial, phase, operation, outcome, measure = tag
        if outcome in OUTCOMES_COUNTED[measure]:
            parts.setdefault((generation, trial, phase, operation, measure), []).append(histogram)
    return {key: merge(histograms) for key, histograms in parts.items()}


def _counted(key: Key, operation: str, bins: pd.DataFrame, duration_s: float) -> Iterator[SummaryRow]:
    sums = {metric: int(bins[column].sum()) for metric, column in COUNTS.items()}
    offered = sums["offered"]
    for metric, count in sums.items():
        yield _row(key, operation, metric, count, "count", offered)
    for metric in RATES:
        yield _row(key, operation, f"{metric}_rate", _ratio(sums[metric], duration_s), "1/s", sums[metric])
    yield _row(key, operation, "slo_share", _ratio(sums["on_time"], offered), "ratio", offered)


def _latencies(
    key: Key, operation: str, merged: Mapping[tuple[str, int, str, str, str], Histogram]
) -> Iterator[SummaryRow]:
    for measure in MEASURES:
        histogram = merged.get((*key, operation, measure))
        if histogram is None:
            continue
        for name, quantile in QUANTILES.items():
            value = percentile_ms(histogram, quantile)
            yield _row(key, operation, f"{measure}_{name}", value, "ms", histogram.total)


def cpu_seconds_between(
    t_s: Sequence[float], cpu_seconds: Sequence[float], start_s: float, end_s: float
) -> float:
    """CPU seconds used between two moments, from readings of a counter that restarts at 0 with its process.

    Readings are by rising time; between them the use is taken as even, outside them as none. What a
    process used after its last reading before it died is in no reading, and not in the figure.
    """
    if not len(t_s):
        return 0.0
    used = np.asarray(cpu_seconds, dtype=np.float64)
    steps = np.diff(used, prepend=used[:1])
    grown = np.where(steps < 0, used, steps)  # a counter that fell is a new process, from 0
    total = np.cumsum(grown)
    edges = np.interp([start_s, end_s], np.asarray(t_s, dtype=np.float64), total)
    return float(edges[1] - edges[0])


def _costs(
    key: Key, telemetry: pd.DataFrame, span: tuple[float, float], transactions: int
) -> Iterator[SummaryRow]:
    readings = telemetry[telemetry["metric"] == "cpu_seconds"]
    readings = readings[is_node(readings["subject"])]
    inside = readings["t_s"].between(*span)
    if not inside.any() or transactions == 0:
        return
    used_s: dict[str, float] = {}
    first_s = float(readings["t_s"].min())
    for node, own in readings.sort_values("t_s").groupby("subject", sort=True):
        t_s, cpu_seconds = own["t_s"].tolist(), own["value"].tolist()
        if t_s[0] > first_s + 2 * _interval_s(readings):  # it began after the others: from 0
            t_s, cpu_seconds = [t_s[0] - _interval_s(readings), *t_s], [0.0, *cpu_seconds]
        used_s[str(node)] = cpu_seconds_between(t_s, cpu_seconds, *span)
    whole_us = sum(used_s.values()) / transactions * 1e6
    yield _row(key, "", "cpu_us_per_transaction", whole_us, "us", transactions)
    for node, seconds in used_s.items():
        each_us = seconds / transactions * 1e6
        yield _row(key, "", f"cpu_us_per_transaction:{node}", each_us, "us", transactions)


def _interval_s(readings: pd.DataFrame) -> float:
    """How far apart a node's readings are, usually."""
    moments = np.unique(readings["t_s"].to_numpy(dtype=np.float64).round(1))
    return float(np.median(np.diff(moments))) if len(moments) > 1 else 1.0


def _readings(key: Key, telemetry: pd.DataFrame, span: tuple[float, float]) -> Iterator[SummaryRow]:
    gauges = telemetry[~is_node(telemetry["subject"]) & telemetry["t_s"].between(*span)]
    gauges = gauges[~gauges["metric"].isin(COUNTERS)]
    for (subject, metric, unit), own in gauges.groupby(["subject", "metric", "unit"], sort=True):
        name = f"{subject}_{metric}"
        yield _row(key, "", name, float(own["value"].mean()), str(unit), len(own))
        yield _row(key, "", f"{name}_max", float(own["value"].max()), str(unit), len(own))

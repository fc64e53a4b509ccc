"""The figures of a run, in the order in which a page shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.analyse import Analysis, believed
from bench.analysis.planned import stages
from bench.analysis.series import (
    Span,
    bin_width_s,
    curve,
    fitting_width_s,
    merged,
    rate_per_s,
    series_of,
)
from bench.evidence import Evidence
from bench.records import RecoveryRow, SummaryRow
from bench.report.figures.cost import cost
from bench.report.figures.fault import fault, span_of
from bench.report.figures.figure import Figure
from bench.report.figures.load import Loaded, against_load
from bench.report.figures.over_time import over_time
from bench.report.figures.percentiles import MEASURES, percentiles
from bench.report.figures.phases import phases

NODE = "cpu_us_per_transaction:"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A run's figures: generations side by side, and by generation its course and its faults."""

    across: tuple[Figure, ...]
    courses: dict[str, Figure]
    faults: dict[str, tuple[Figure, ...]]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All of them."""
        return (*self.across, *self.courses.values(), *(one for own in self.faults.values() for one in own))


def drawing(analysis: Analysis, evidence: Evidence) -> Drawing:
    """Everything there is to draw of a run."""
    names = [headline.generation for headline in analysis.headlines]
    trials = {name: _believed(evidence, name) for name in names}
    return Drawing(
        across=tuple(one for one in _across(analysis, evidence, trials) if one is not None),
        courses={name: one for name in names if (one := _course(analysis, evidence, name, trials[name]))},
        faults={name: _faults(analysis, evidence, name) for name in names},
    )


def _believed(evidence: Evidence, generation: str) -> list[int]:
    return [t.trial for t in believed([t for t in evidence.manifest.trials if t.generation == generation])]


def _across(analysis: Analysis, evidence: Evidence, trials: dict[str, list[int]]) -> Sequence[Figure | None]:
    if not trials:
        return ()
    measures = {
        title: {
            name: curve(merged(evidence, name, numbers, analysis.phase, measure))
            for name, numbers in trials.items()
        }
        for measure, title in MEASURES.items()
    }
    by_node_us = {name: own for name in trials if (own := _by_node_us(analysis, name, trials[name]))}
    return (
        percentiles(
            "percentiles",
            "Latency by percentile",
            f"The {analysis.phase} phase, all believed trials of a generation merged, as far out as ten "
            "messages lie beyond. Each step to the right is ten times rarer. Both times count from the "
            "intended start.",
            measures,
        ),
        against_load(
            _loaded(analysis, evidence, trials),
            "Each point is one stage of one trial, at the rate that was offered in it.",
        ),
        cost(by_node_us, analysis.phase or "whole") if by_node_us else None,
        phases(analysis.recovery),
    )


def _course(analysis: Analysis, evidence: Evidence, generation: str, trials: Sequence[int]) -> Figure | None:
    if not trials:
        return None
    planned = stages(evidence.plan)
    rate = rate_per_s(evidence, generation)
    end_s = _end_s(evidence, generation, planned[-1].end_s)
    width_s = fitting_width_s(0.0, end_s, bin_width_s(evidence), rate)
    series = series_of(evidence, generation, {trial: Span(0.0, end_s, width_s) for trial in trials})
    recovery = [row for row in analysis.recovery if row.generation == generation and row.trial in trials]
    reached = [stage for stage in planned if stage.start_s < end_s]
    return over_time(series, recovery, reached, analysis.slo_response_ms)


def _faults(analysis: Analysis, evidence: Evidence, generation: str) -> tuple[Figure, ...]:
    end_s = stages(evidence.plan)[-1].end_s
    rate, width_s = rate_per_s(evidence, generation), bin_width_s(evidence)
    rows = [row for row in analysis.recovery if row.generation == generation and row.injected_s is not None]
    return tuple(
        _fault(row, evidence, span_of(row, end_s, width_s, rate), analysis.slo_response_ms) for row in rows
    )


def _fault(row: RecoveryRow, evidence: Evidence, span: Span, slo_ms: float) -> Figure:
    (series,) = series_of(evidence, row.generation, {row.trial: span})
    return fault(row, series, slo_ms)


def _end_s(evidence: Evidence, generation: str, planned_s: float) -> float:
    """Where the generation's bins end, at the latest where its stages should."""
    own = evidence.timeline[evidence.timeline["generation"] == generation]
    last_s = float((own["bin_start_s"] + own["bin_width_s"]).max()) if len(own) else planned_s
    return max(min(planned_s, last_s), 1.0)


def _by_node_us(analysis: Analysis, generation: str, trials: Sequence[int]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for row in analysis.summary:
        own = (row.generation, row.phase) == (generation, analysis.phase) and row.trial in trials
        if own and row.metric.startswith(NODE) and row.value is not None:
            found.setdefault(row.metric.removeprefix(NODE), []).append(row.value)
    return {node: float(np.median(values)) for node, values in found.items()}


def _loaded(analysis: Analysis, evidence: Evidence, trials: dict[str, list[int]]) -> list[Loaded]:
    """A point for each level stage without faults of each believed trial."""
    level = {stage.name for stage in stages(evidence.plan) if stage.kind == "steady" and stage.level}
    by_place: dict[tuple[str, int, str], dict[tuple[str, str], SummaryRow]] = {}
    for row in analysis.summary:
        if row.phase in level and row.trial in trials.get(row.generation, ()):
            place = by_place.setdefault((row.generation, row.trial, row.phase), {})
            place[row.operation, row.metric] = row
    points = []
    for (generation, trial, phase), rows in by_place.items():
        offered, tps = rows.get(("", "offered_rate")), rows.get(("", "tps"))
        p50, p99 = rows.get(("send", "response_p50")), rows.get(("send", "response_p99"))
        if offered is None or not offered.value or tps is None:
            continue
        points.append(
            Loaded(
                generation,
                f"trial {trial}, {phase}",
                offered.value,
                p50.value if p50 else None,
                p99.value if p99 else None,
                (tps.value or 0.0) >= 0.99 * offered.value,
            )
        )
    return points

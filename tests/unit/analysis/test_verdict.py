"""Whose number it is: each rule of the verdict broken alone, and the machine that is only busy believed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.analysis.planned import Slo, Stage
from bench.analysis.verdict import Signs, judge, signs
from bench.histograms import Histogram, LogLine
from bench.records import HistogramTag, TelemetryRow
from tests.unit.analysis.synthetic import Scripted, evidence

SLO = Slo(response_ms=300, share=0.99)
WELL = Signs(
    stage="steady",
    kind="steady",
    offered_per_s=150.0,
    on_time_share=1.0,
    lag_p99_ms=4.0,
    generator_cpu_ratio=0.11,
    generator_wait_ratio=0.02,
    steal_ratio=0.0,
    busy_ratio=0.56,
    foreign_cpu_ratio=0.5,
    sleep_overshoot_p90_ms=0.2,
)


def test_a_machine_with_one_busy_core_of_two_is_no_reason_to_disbelieve() -> None:
    verdict = judge([WELL], SLO, ceiling_per_s=10_000)
    assert (verdict.word, verdict.void) == ("sut_bound", False)
    assert "11 %" in verdict.reason
    assert "upper bounds" in verdict.reason


@pytest.mark.parametrize(
    ("changes", "word", "figure"),
    [
        ({"generator_cpu_ratio": 0.81}, "generator_bound", "81 %"),
        ({"offered_per_s": 6_001.0}, "generator_bound", "6,001/s"),
        ({"lag_p99_ms": 15.5}, "generator_bound", "15.5 ms"),
        ({"lag_p99_ms": 15.5, "generator_wait_ratio": 0.2}, "noisy", "waited 20 %"),
        ({"steal_ratio": 0.12}, "noisy", "12 %"),
        ({"sleep_overshoot_p90_ms": 16.0}, "noisy", "16.0 ms"),
        ({"busy_ratio": 0.97, "on_time_share": 0.98}, "noisy", "50 %"),
        ({"kind": "fault", "busy_ratio": 0.97, "foreign_cpu_ratio": 0.51}, "noisy", "51 %"),
    ],
)
def test_each_rule_alone_makes_a_trial_void(changes: dict[str, Any], word: str, figure: str) -> None:
    verdict = judge([WELL, replace(WELL, stage="late", **changes)], SLO, ceiling_per_s=10_000)
    assert (verdict.word, verdict.void) == (word, True)
    assert verdict.reason.startswith("late: ")
    assert figure in verdict.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"busy_ratio": 0.97},  # full, but the SLO was met
        {"busy_ratio": 0.9, "on_time_share": 0.5},  # missed, but not for want of CPU
        {"busy_ratio": 1.0, "on_time_share": 0.5, "foreign_cpu_ratio": 0.2},  # full of the system itself
        {"kind": "fault", "busy_ratio": 1.0, "on_time_share": 0.5, "foreign_cpu_ratio": 0.3},
        {"lag_p99_ms": 15.0, "generator_cpu_ratio": 0.8, "steal_ratio": 0.1},  # at the limits, not above
        dict.fromkeys(("lag_p99_ms", "generator_cpu_ratio", "steal_ratio", "busy_ratio", "on_time_share")),
    ],
)
def test_what_cannot_have_distorted_the_figures_makes_no_trial_void(changes: dict[str, Any]) -> None:
    assert not judge([replace(WELL, **changes)], SLO).void


def test_only_a_rate_near_the_ceiling_is_not_worth_a_retry() -> None:
    assert judge([replace(WELL, offered_per_s=601)], SLO, ceiling_per_s=1_000).lasting
    assert not judge([replace(WELL, lag_p99_ms=99)], SLO, ceiling_per_s=1_000).lasting


def reading(t_s: float, subject: str, metric: str, value: float) -> TelemetryRow:
    return TelemetryRow("monolith", 1, t_s, subject, metric, value, "")


def test_signs_are_of_the_measured_stages_alone_and_by_stage() -> None:
    stages = [
        Stage("warmup", "warmup", 0, 6),
        Stage("steady", "steady", 6, 20),
        Stage("fault", "fault", 20, 60),
    ]
    telemetry = [
        reading(3, "generator", "cpu_ratio", 1.0),
        *(reading(t_s, "generator", "cpu_ratio", 0.1) for t_s in (7, 8)),
        *(reading(t_s, "generator-worker-1", "cpu_ratio", 0.3) for t_s in (7, 8)),
        *(reading(t_s, "generator-worker-2", "cpu_ratio", 0.5) for t_s in (7, 8)),
        *(reading(10 + n, "host", "sleep_overshoot_ms", 20.0 if n == 0 else 0.1) for n in range(10)),
        reading(30, "host", "steal_ratio", 0.04),
    ]
    tag = HistogramTag("monolith", 1, "steady", "send", "ok", "lag")
    lags = [LogLine(tag, 6.0, 1.0, Histogram.of_values(np.array([100.0] * 980 + [40_000.0] * 20)))]
    given = evidence(Scripted())
    timeline = list(given.timeline.itertuples(index=False))
    steady, fault = signs(stages, timeline, telemetry, lags)  # type: ignore[arg-type]
    assert (steady.stage, fault.stage) == ("steady", "fault")
    assert steady.generator_cpu_ratio == pytest.approx(0.9), "on one core they add up"
    assert steady.offered_per_s == pytest.approx(400, rel=0.1)
    assert steady.on_time_share == 1.0
    assert steady.lag_p99_ms == pytest.approx(40, rel=0.01)
    assert steady.sleep_overshoot_p90_ms is not None
    assert steady.sleep_overshoot_p90_ms < 15, "once in ten seconds is not often"
    assert (steady.steal_ratio, fault.steal_ratio) == (None, 0.04)
    assert (fault.lag_p99_ms, fault.generator_cpu_ratio) == (None, None)
    spread = signs(stages, timeline, telemetry, lags, generator_cores=3)[0]  # type: ignore[arg-type]
    assert spread.generator_cpu_ratio == pytest.approx(0.5), "on cores of their own the busiest counts"

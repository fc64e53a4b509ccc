"""Figures of known truth: rates, percentiles only where there are enough, CPU across a restart."""

from dataclasses import replace

import numpy as np
import pytest

from bench.analysis.metrics import cpu_seconds_between, enough_for, summarise
from bench.records import SummaryRow, TelemetryRow
from bench.tables import frame
from tests.unit.analysis.synthetic import Outage, Scripted, evidence, replace_telemetry


def by_metric(rows: tuple[SummaryRow, ...], phase: str) -> dict[str, SummaryRow]:
    return {row.metric: row for row in rows if row.phase == phase}


def test_a_steady_trial_gives_its_scripted_figures() -> None:
    scripted = Scripted(rate_per_s=400, mean_response_ms=4, cpu_us=800)
    steady = by_metric(summarise(evidence(scripted)), "steady")
    assert steady["tps"].value == pytest.approx(400, rel=0.05)
    assert steady["tps"].value == steady["acknowledged_rate"].value
    assert steady["response_p50"].value == pytest.approx(4 * np.log(2), rel=0.05)
    assert steady["response_p99"].value == pytest.approx(4 * np.log(100), rel=0.1)
    assert steady["delivery_p50"].value == pytest.approx(1 + 4 * np.log(2), rel=0.05)
    assert steady["slo_share"].value == 1.0
    assert steady["cpu_us_per_transaction"].value == pytest.approx(800, rel=0.05)
    assert steady["cpu_us_per_transaction:server"].value == steady["cpu_us_per_transaction"].value
    assert steady["generator_cpu_ratio"].value == 0.25
    assert steady["offered"].value == steady["offered"].n == steady["response_p50"].n


def test_percentiles_need_ten_samples_beyond_them() -> None:
    few = by_metric(summarise(evidence(Scripted(rate_per_s=40))), "steady")  # some 560 sends
    assert few["response_p90"].value is not None
    assert (few["response_p99"].value, few["response_p99.9"].value) == (None, None)
    assert [enough_for(0.99, n) for n in (999, 1000)] == [False, True]
    assert [enough_for(0.999, n) for n in (9_999, 10_000)] == [False, True]


def test_tps_is_over_the_wall_time_and_counts_what_was_acknowledged_in_it() -> None:
    rows = summarise(evidence(Scripted(outages=[Outage(13, 25)])))
    steady, fault = by_metric(rows, "steady"), by_metric(rows, "fault")
    assert steady["tps"].value == pytest.approx(200, rel=0.1)  # half the phase
    assert fault["tps"].value == pytest.approx((60 - 13) / 40 * 400, rel=0.05)  # and the backlog after it
    assert steady["slo_share"].value == pytest.approx(0.5, abs=0.05)


def test_a_phase_that_was_cut_short_is_as_long_as_its_bins() -> None:
    given = evidence(Scripted(status="interrupted"))
    cut = replace(given, timeline=given.timeline[given.timeline["bin_start_s"] < 13])
    rows = summarise(cut)
    assert by_metric(rows, "steady")["tps"].value == pytest.approx(400, rel=0.05)
    assert "tps" not in by_metric(rows, "fault")


@pytest.mark.parametrize(
    ("t_s", "cpu_seconds", "span", "used_s"),
    [
        ([0, 10], [0, 5], (0, 10), 5.0),
        ([0, 10], [100, 105], (2, 4), 1.0),  # between readings the use is even
        ([0, 5, 6, 10], [3, 8, 0.5, 2.5], (0, 10), 7.5),  # killed after 5, a new process from 0
        ([0, 5], [3, 8], (6, 10), 0.0),  # outside the readings nothing is known
        ([], [], (0, 10), 0.0),
    ],
)  # fmt: skip
def test_cpu_is_counted_across_a_restart(
    t_s: list[float], cpu_seconds: list[float], span: tuple[float, float], used_s: float
) -> None:
    assert cpu_seconds_between(t_s, cpu_seconds, *span) == pytest.approx(used_s)


def test_a_node_that_began_later_counts_from_nothing() -> None:
    given = evidence(Scripted(rate_per_s=100))
    late = [
        TelemetryRow("monolith", 1, float(t), "second", "cpu_seconds", (t - 9) * 0.5, "s")
        for t in range(10, 62)
    ]
    steady = by_metric(summarise(replace_telemetry(given, late)), "steady")
    transactions = steady["tps"].n
    assert steady["cpu_us_per_transaction:second"].value == pytest.approx(11 * 0.5 / transactions * 1e6)


def test_a_phase_without_readings_or_sends_has_no_cost() -> None:
    given = replace_telemetry(evidence(Scripted()), [], keep=False)
    assert "cpu_us_per_transaction" not in by_metric(summarise(given), "steady")
    assert len(given.telemetry) == len(frame(TelemetryRow, []))

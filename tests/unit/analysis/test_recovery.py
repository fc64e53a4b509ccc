"""The recovery engine gives back the outages that were written down, and none that were not."""

from dataclasses import replace

import numpy as np
import pytest

from bench.analysis.bins import Bin, widen
from bench.analysis.health import baseline_of, course_of, hold, judge
from bench.analysis.recovery import recoveries
from bench.histograms import Histogram
from bench.records import RecoveryRow
from tests.unit.analysis.synthetic import Outage, Scripted, evidence, wandering

INJECTED_S = 21.03


def recovery_of(scripted: Scripted) -> RecoveryRow:
    (row,) = recoveries(evidence(scripted))
    return row


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("length_s", [1.5, 4.0, 12.0])
def test_an_outage_is_as_long_as_it_was_within_a_bin(length_s: float, seed: int) -> None:
    outage = Outage(INJECTED_S, INJECTED_S + length_s)
    row = recovery_of(Scripted(outages=[outage], injected_s=[INJECTED_S], seed=seed))
    assert row.outcome == "recovered"
    assert row.resolution_s == pytest.approx(0.1)
    # What was sent within the last half SLO before the end is answered in time, and so healthy.
    assert row.time_to_recover_s is not None
    assert length_s - 0.15 - 0.1 <= row.time_to_recover_s <= length_s + 0.1
    assert row.impact_s == pytest.approx(INJECTED_S, abs=0.1)
    assert row.first_success_s == pytest.approx(outage.end_s, abs=0.11)
    assert row.caught_up_s == pytest.approx(outage.end_s, abs=0.11)
    assert row.relapses == 0
    assert row.lost_goodput_messages == pytest.approx((length_s - 0.3) * 400, rel=0.2)
    assert row.unhealthy_s == pytest.approx(length_s, abs=0.3)


@pytest.mark.parametrize("rate_per_s", [60, 150, 2000])
def test_a_blink_right_after_the_injection_is_an_impact_as_long_as_it_was(rate_per_s: float) -> None:
    outage = Outage(INJECTED_S, INJECTED_S + 0.8)
    row = recovery_of(Scripted(outages=[outage], injected_s=[INJECTED_S], rate_per_s=rate_per_s))
    assert row.resolution_s is not None
    assert row.outcome == "recovered"
    assert row.time_to_recover_s == pytest.approx(0.75, abs=row.resolution_s + 0.1)


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_outage(seed: int) -> None:
    row = recovery_of(Scripted(injected_s=[INJECTED_S], seed=seed, rate_per_s=150))
    assert (row.outcome, row.time_to_recover_s, row.impact_s) == ("no impact", 0.0, None)
    assert row.caught_up_s == INJECTED_S


def test_a_hold_of_only_good_bins_would_fail_on_noise_alone() -> None:
    """The experiment behind `hold`: exponential response times, 100 a bin, against 1.25 x their true p95."""
    source = np.random.default_rng(3)
    p95 = np.quantile(source.exponential(1.0, (4000, 14, 100)), 0.95, axis=2)
    good = p95 <= 1.25 * np.log(20)
    assert 0.03 < 1 - good.mean() < 0.07  # one bin in twenty is not good, by chance
    assert 0.4 < good.all(axis=1).mean() < 0.65  # so all of fourteen are, every other time
    two_in_a_row = (~good[:, 1:] & ~good[:, :-1]).any(axis=1)
    assert two_in_a_row.mean() < 0.05


@pytest.mark.parametrize("seed", range(8))
def test_a_machine_that_drifts_is_not_ill(seed: int) -> None:
    drifting = Scripted(injected_s=[INJECTED_S], seed=seed, rate_per_s=150, slower=wandering(0.4, 3.0, seed))
    assert recovery_of(drifting).outcome == "no impact"
    row = recovery_of(replace(drifting, outages=[Outage(INJECTED_S, 25)]))
    assert row.outcome == "recovered"
    assert row.time_to_recover_s == pytest.approx(25 - INJECTED_S, abs=1)


def test_a_fault_that_touches_nobody_has_no_impact() -> None:
    row = recovery_of(Scripted(injected_s=[INJECTED_S], outages=[Outage(21.1, 21.25)]))
    assert (row.outcome, row.time_to_recover_s, row.censored_at_s) == ("no impact", 0.0, None)


def test_a_system_that_stays_down_is_censored_at_the_end_of_the_watch() -> None:
    row = recovery_of(Scripted(injected_s=[INJECTED_S], outages=[Outage(INJECTED_S, 1000)]))
    assert row.outcome == "not recovered"
    assert (row.time_to_recover_s, row.restored_s, row.caught_up_s, row.first_success_s) == (None,) * 4
    assert row.censored_at_s == pytest.approx(60 - INJECTED_S)
    assert "unhealthy to the end" in row.detail


def test_a_recovery_too_late_to_be_seen_holding_is_censored_and_says_since_when() -> None:
    row = recovery_of(Scripted(injected_s=[INJECTED_S], outages=[Outage(INJECTED_S, 55.0)]))
    assert (row.outcome, row.time_to_recover_s) == ("not recovered", None)
    assert row.detail.startswith("healthy from 55.")


def test_a_system_that_comes_back_slower_has_not_recovered() -> None:
    scripted = Scripted(
        injected_s=[INJECTED_S],
        outages=[Outage(INJECTED_S, 25)],
        slower=lambda t_s: np.where(t_s > INJECTED_S, 20.0, 1.0),
    )
    assert recovery_of(scripted).outcome == "not recovered"


def test_a_relapse_reopens_the_incident() -> None:
    outages = [Outage(INJECTED_S, 24), Outage(38, 41)]
    row = recovery_of(Scripted(injected_s=[INJECTED_S], outages=outages))
    assert (row.outcome, row.relapses) == ("recovered", 1)
    assert row.restored_s == pytest.approx(41, abs=0.5)
    assert row.unhealthy_s == pytest.approx(6, abs=1)


def test_a_stumble_within_the_hold_is_the_same_incident() -> None:
    outages = [Outage(INJECTED_S, 24), Outage(27, 29)]
    row = recovery_of(Scripted(injected_s=[INJECTED_S], outages=outages))
    assert (row.outcome, row.relapses) == ("recovered", 0)
    assert row.restored_s == pytest.approx(29, abs=0.5)


def test_two_faults_have_each_their_own_recovery_and_the_first_ones_baseline() -> None:
    outages = [Outage(21, 23), Outage(40, 45)]
    first, second = recoveries(evidence(Scripted(injected_s=[21, 40], outages=outages)))
    assert first.time_to_recover_s == pytest.approx(2, abs=0.5)
    assert second.time_to_recover_s == pytest.approx(5, abs=0.5)
    assert first.baseline_p95_ms == second.baseline_p95_ms


def test_a_system_down_at_the_next_fault_is_censored_there() -> None:
    first, second = recoveries(evidence(Scripted(injected_s=[21, 40], outages=[Outage(21, 44)])))
    assert first.outcome == "not recovered"
    assert first.censored_at_s == pytest.approx(19, abs=0.2)
    assert second.time_to_recover_s == pytest.approx(4, abs=0.5)


def test_without_enough_before_the_fault_nothing_is_claimed() -> None:
    stages = (("warmup", "warmup", 0.0, 20.0), ("fault", "fault", 20.0, 60.0))
    row = recovery_of(Scripted(stages=stages, injected_s=[INJECTED_S], outages=[Outage(INJECTED_S, 25)]))
    assert (row.outcome, row.time_to_recover_s) == ("unknown", None)
    assert "no baseline" in row.detail


def test_a_system_that_was_unwell_before_the_fault_has_no_baseline() -> None:
    row = recovery_of(Scripted(injected_s=[INJECTED_S], mean_response_ms=500))
    assert row.outcome == "unknown"
    assert "on time before the first fault" in row.detail


def test_an_injection_that_was_not_confirmed_is_unknown_with_its_reason() -> None:
    row = recovery_of(Scripted(injected_s=[None]))
    assert (row.outcome, row.injected_s) == ("unknown", None)
    assert "still running" in row.detail


def test_a_load_that_ends_with_the_fault_leaves_nothing_to_watch() -> None:
    row = recovery_of(Scripted(injected_s=[59.95], outages=[Outage(59.95, 70)]))
    assert row.outcome == "unknown"
    assert "nothing to watch" in row.detail


def test_detection_is_the_first_the_nodes_said_after_the_injection() -> None:
    events = [(10.0, "detected"), (22.5, "promoted"), (21.8, "detected"), (23.0, "detected")]
    row = recovery_of(Scripted(injected_s=[INJECTED_S], outages=[Outage(INJECTED_S, 24)], events=events))
    assert row.detected_s == 21.8


def test_a_death_seen_before_it_was_confirmed_is_of_its_own_fault_and_of_no_earlier_one() -> None:
    first_s, second_s = INJECTED_S, INJECTED_S + 15
    scripted = Scripted(
        injected_s=[first_s, second_s],
        outages=[Outage(first_s, first_s + 1), Outage(second_s, second_s + 1)],
        events=[(second_s - 0.0005, "detected")],  # injections are asked for 1 ms before they are confirmed
    )
    first, second = recoveries(evidence(scripted))
    assert first.detected_s is None
    assert second.detected_s == second_s


def test_a_trial_without_faults_has_no_recovery() -> None:
    assert recoveries(evidence(Scripted())) == ()


def test_without_histograms_goodput_alone_decides() -> None:
    given = evidence(Scripted(injected_s=[INJECTED_S], outages=[Outage(INJECTED_S, 25)]))
    (row,) = recoveries(replace(given, histograms=()))
    assert row.outcome == "recovered"
    assert row.time_to_recover_s == pytest.approx(4, abs=0.6)
    assert (row.baseline_p95_ms, row.caught_up_s, row.first_success_s) == (None, None, None)


def a_bin(start_s: float, offered: int = 100, on_time: int = 100, response_us: int = 4000) -> Bin:
    values = Histogram.of_values(np.full(on_time, response_us))
    return Bin(start_s, start_s + 1, offered, on_time, 0, (values,), (values,))


def test_bins_widen_to_a_hundred_arrivals_and_the_rest_joins_the_last() -> None:
    bins = [a_bin(float(at), offered=40, on_time=40) for at in range(8)]
    assert [(b.start_s, b.end_s, b.offered) for b in widen(bins)] == [(0, 3, 120), (3, 8, 200)]
    assert widen([]) == []


def test_between_good_and_bad_there_is_room_for_neither() -> None:
    baseline = baseline_of([a_bin(0.0)], material_ms=0.0)
    bins = [
        a_bin(0, 100, 100),
        a_bin(1, 100, 92),
        a_bin(2, 100, 89),
        a_bin(3, response_us=5500),
        a_bin(4, response_us=7000),
    ]
    bad, good = judge(bins, baseline)
    assert bad.tolist() == [False, False, True, False, True]
    assert good.tolist() == [True, False, False, False, False]


def test_what_is_immaterial_is_never_ill() -> None:
    baseline = baseline_of([a_bin(0.0)], material_ms=30.0)
    bad, good = judge([a_bin(0, response_us=29_000), a_bin(1, response_us=40_000)], baseline)
    assert (bad.tolist(), good.tolist()) == ([False, True], [True, False])
    assert baseline.backlog == 3.0  # 100/s at 30 ms


@pytest.mark.parametrize(
    ("pattern", "restored", "relapses"),
    [
        ("gggggggggggg", None, 0),  # never unhealthy
        ("ggbggggggggggg", None, 0),  # one bad bin alone is none
        ("gbgggggggggg", 2, 0),  # unless it is where one is expected
        ("ggbbgggggggggg", 4, 0),
        ("bbgggggggggg", 2, 0),
        ("bbgbgggggggggggg", 4, 0),  # a lone good bin begins no hold
        ("bbggbggggggggg", 2, 0),  # a lone bad bin does not break one
        ("bbggbbgggggggggg", 6, 0),  # two do
        ("bbggbgbgbgbgbgbgbgbgbg", None, 0),  # nor may every other bin be bad
        ("bbggggggggggbbgggggggggg", 14, 1),
        ("bbggggggggggbb", None, 1),
        ("bbggggggggg", None, 0),  # nine are not ten
    ],
)
def test_outages_and_holds_in_a_row_of_bins(pattern: str, restored: int | None, relapses: int) -> None:
    bins = [a_bin(float(at)) for at in range(len(pattern))]
    bad = np.array([letter == "b" for letter in pattern])
    course = course_of(bins, bad, ~bad)
    assert (course.restored, course.relapses) == (restored, relapses)


def test_a_hold_lasts_ten_seconds_even_where_ten_bins_are_shorter() -> None:
    bins = [replace(a_bin(at * 0.5), end_s=at * 0.5 + 0.5) for at in range(19)]
    assert hold(bins, np.ones(19, dtype=bool), 0) == (None, 0.0)
    bins.append(replace(a_bin(9.5), end_s=10.0))
    assert hold(bins, np.ones(20, dtype=bool), 0) == (0, None)

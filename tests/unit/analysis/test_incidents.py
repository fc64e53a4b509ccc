"""Injections of one fault are pooled over trials; what cannot be told from the control says so."""

from dataclasses import replace

import pytest

from bench.analysis.incidents import headline_recoveries, incidents, median_recovery, recovery_by_trial
from bench.records import PhaseRow, RecoveryRow

KILL = RecoveryRow(
    "sharded", 1, 1, "kill", "shard-0-primary", "recovered", injected_s=20.0, impact_s=20.0, detected_s=21.0,
    first_success_s=21.5, restored_s=22.0, caught_up_s=22.5, redundant_s=30.0, time_to_recover_s=2.0,
    human_s=0.0, time_to_catch_up_s=2.5, censored_at_s=None, resolution_s=0.1, unhealthy_s=2.0, relapses=0,
    lost_goodput_messages=300.0, touched_clients=50, touched_ratio=1.0, baseline_p95_ms=4.0, detail="",
)  # fmt: skip
CONTROL = replace(
    KILL, kind="none", node="", outcome="no impact", impact_s=None, time_to_recover_s=0.0, unhealthy_s=0.0,
    lost_goodput_messages=4.0, touched_ratio=0.04,
)  # fmt: skip
LOST = replace(
    KILL, outcome="not recovered", time_to_recover_s=None, time_to_catch_up_s=None, restored_s=None,
    censored_at_s=19.0, detail="unhealthy to the end",
)  # fmt: skip


def took(seconds: float, trial: int = 1, fault: int = 1) -> RecoveryRow:
    return replace(KILL, trial=trial, fault=fault, time_to_recover_s=seconds)


def test_all_injections_of_one_kind_and_node_are_one_incident_whatever_their_number_and_trial() -> None:
    rows = [CONTROL, *(took(n, trial=n, fault=n + 1) for n in (1, 2, 3)), took(4, 3, 9), took(5, 3, 10)]
    rows.append(replace(took(100), kind="pause"))
    kill, pause, control = incidents(rows)
    assert (kill.injections, kill.trials, kill.recovered_after_s) == (5, 3, 3)
    assert kill.interval is not None
    assert (kill.interval.low, kill.interval.high, kill.interval.coverage) == (1, 5, 0.9375)
    assert (pause.kind, pause.interval) == ("pause", None)
    assert control.is_control


def test_one_that_was_not_recovered_from_counts_as_longer_than_all_and_k_of_n_is_told() -> None:
    (incident,) = incidents([took(1), took(2), took(3), took(4), LOST])
    assert (incident.recovered, incident.injections, incident.censored) == (4, 5, False)
    assert incident.recovered_after_s == 3
    assert incident.interval is not None
    assert incident.interval.high == float("inf")


def test_where_the_middle_never_came_the_figure_is_a_bound_and_never_blank() -> None:
    (incident,) = incidents([took(1), LOST, replace(LOST, censored_at_s=12.0)])
    assert (incident.recovered_after_s, incident.censored, incident.caught_up_after_s) == (12.0, True, None)
    assert median_recovery([LOST]) == (19.0, True)


def test_the_machines_time_is_without_the_operators() -> None:
    waited = [replace(took(62.0 + n), human_s=60.0) for n in range(3)]
    (incident,) = incidents(waited)
    assert (incident.recovered_after_s, incident.machine_after_s) == (63.0, 3.0)
    (bound,) = incidents([replace(LOST, human_s=5.0)])
    assert (bound.recovered_after_s, bound.machine_after_s) == (19.0, 14.0)


def test_the_floor_is_the_worst_control_and_what_is_not_above_it_says_so() -> None:
    mild = replace(KILL, lost_goodput_messages=3.0, touched_ratio=0.05)
    kill, control = incidents([CONTROL, replace(CONTROL, fault=2, lost_goodput_messages=2.0), mild])
    assert kill.floor is not None
    assert kill.floor.lost_goodput_messages == 4.0
    assert kill.within_floor == ("late sends",)
    assert (control.floor, control.within_floor) == (None, ())


def test_without_a_control_nothing_is_said_of_a_floor() -> None:
    (kill,) = incidents([KILL])
    assert (kill.floor, kill.within_floor) == (None, ())


def test_another_generations_control_is_no_floor_here() -> None:
    found = incidents([replace(CONTROL, generation="monolith"), KILL])
    assert [one.floor for one in found] == [None, None]


def test_steps_are_medians_over_the_injections_after_which_they_were_told() -> None:
    def step(fault: int, phase: str, after_s: float, source: str = "failover") -> PhaseRow:
        return PhaseRow("sharded", 1, fault, phase, 20 + after_s, after_s, "shard-0-replica", source)  # type: ignore[arg-type]

    rows = [took(2, fault=1), took(2, fault=2)]
    steps = [
        step(1, "detected", 1.0), step(1, "detected", 1.5, "api-1"), step(2, "detected", 2.0),
        step(1, "redundant", 7.0), step(1, "redundant", 9.0, "x"), step(1, "restarted", 5.0, "operator"),
    ]  # fmt: skip
    (incident,) = incidents(rows, steps)
    told = [(s.phase, s.after_s, s.injections, s.by_operator) for s in incident.steps]
    assert told == [
        ("detected", 1.5, 2, False), ("restarted", 5.0, 1, True), ("redundant", 9.0, 1, False),
    ]  # fmt: skip


def test_the_headline_is_of_the_first_fault_that_is_no_control_however_often() -> None:
    rows = [CONTROL, took(1, fault=2), replace(took(9, fault=3), node="api-1"), took(3, 2, 2), took(7, 2, 4)]
    chosen = headline_recoveries(rows)
    assert [row.time_to_recover_s for row in chosen] == [1, 3, 7]
    assert recovery_by_trial(chosen) == [1, 5]
    assert headline_recoveries([CONTROL]) == []


@pytest.mark.parametrize("outcome", ["unknown"])
def test_what_cannot_be_told_is_in_no_figure(outcome: str) -> None:
    untold = replace(KILL, outcome=outcome, time_to_recover_s=None, detail="the injection was not confirmed")  # type: ignore[arg-type]
    (incident,) = incidents([untold, took(2)])
    assert (incident.unknown, incident.recovered_after_s, incident.detail) == (1, 2, untold.detail)
    assert median_recovery([untold]) == (None, False)

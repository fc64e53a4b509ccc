"""Lines through times to recover whose truth is written down."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.recovery import recoveries
from bench.analysis.sweep import alike, fits, line, orders, points, summed
from bench.errors import RunFolderError
from bench.evidence import NodeEvent
from bench.records import RecoveryDataRow, RecoveryFitRow
from tests.unit.analysis.synthetic import PUBLISHED, Outage, Scripted, evidence

NOISE = (0.0, 0.04, -0.03, 0.02, -0.05)


def row(data: float, time_s: float | None, *, trial: int = 1, users: float = 1.0) -> RecoveryDataRow:
    return RecoveryDataRow(
        generation="monolith",
        trial=trial,
        fault=1,
        kind="kill",
        node="server",
        data_factor=data,
        users_factor=users,
        messages=round(100_000 * data),
        data_bytes=round(40e6 * data),
        users_online=round(60 * users),
        outcome="not recovered" if time_s is None else "recovered",
        time_to_recover_s=time_s,
        censored_at_s=20.0 if time_s is None else None,
        replay_s=None,
    )


def swept(base_s: float, per_gb_s: float, noise: Sequence[float] = NOISE) -> list[RecoveryDataRow]:
    """Five faults at each of four volumes of 40 MB times the factor."""
    return [
        row(factor, base_s + per_gb_s * 0.04 * factor + wobble) for factor in (1, 2, 4, 8) for wobble in noise
    ]


def the(found: Sequence[RecoveryFitRow]) -> RecoveryFitRow:
    (one,) = found
    return one


def test_a_known_line_is_got_back_and_projected_to_the_published_time() -> None:
    fit = the(fits(swept(1.0, 25.0), PUBLISHED))
    assert fit.verdict == "projected"
    assert fit.slope_s == pytest.approx(25.0, rel=0.02)
    assert fit.slope_lower_s is not None
    assert fit.slope_upper_s is not None
    assert fit.slope_lower_s < 25.0 < fit.slope_upper_s
    assert fit.at_zero_s == pytest.approx(1.0, abs=0.06)
    assert fit.published_recovery_s == 43_200
    assert fit.reached_at is not None
    assert fit.reached_at == pytest.approx((43_200 - 1) / 25 * 1e9, rel=0.03)
    assert fit.reached_at_lower is not None
    assert fit.reached_at_upper is not None
    assert fit.reached_at_lower < fit.reached_at < fit.reached_at_upper


def test_an_exact_line_is_projected_to_a_point() -> None:
    fit = the(fits(swept(0.0, 100.0, noise=[0.0] * 5), PUBLISHED))
    assert (fit.slope_s, fit.slope_lower_s, fit.slope_upper_s) == pytest.approx((100.0, 100.0, 100.0))
    assert fit.reached_at == pytest.approx(432e9)


def test_where_size_changes_nothing_no_dependence_is_seen_and_nothing_projected() -> None:
    fit = the(fits(swept(4.0, 0.0), PUBLISHED))
    assert fit.verdict == "no dependence seen"
    assert fit.slope_lower_s is not None
    assert fit.slope_upper_s is not None
    assert fit.slope_lower_s <= 0 <= fit.slope_upper_s
    assert fit.reached_at is None


def test_one_wild_time_does_not_move_the_line() -> None:
    wild = [*swept(1.0, 25.0)[:-1], row(8, 60.0)]
    assert the(fits(wild, PUBLISHED)).slope_s == pytest.approx(25.0, rel=0.05)


def test_what_had_not_recovered_counts_as_a_lower_bound_and_is_told() -> None:
    rows = [*swept(1.0, 25.0)[:-2], row(8, None), row(8, None)]
    fit = the(fits(rows, PUBLISHED))
    assert (fit.points, fit.censored) == (20, 2)
    assert fit.note.startswith("2 of 20 had not recovered")
    last = summed(rows)[-1]
    assert (last.median_censored, last.most_censored, last.most_s) == (False, True, 20.0)


def test_a_time_that_falls_as_the_size_grows_is_not_projected() -> None:
    fit = the(fits(swept(20.0, -25.0), PUBLISHED))
    assert fit.verdict == "not projected"
    assert "falls" in fit.note


def test_a_published_time_below_what_was_measured_is_not_projected() -> None:
    cheap = [replace(claim, recovery_time_s=0.5) for claim in PUBLISHED]
    fit = the(fits(swept(1.0, 25.0), cheap))
    assert (fit.verdict, fit.reached_at) == ("not projected", None)
    assert "reached at what was measured" in fit.note


def test_too_few_points_have_no_interval_and_say_so() -> None:
    fit = the(fits([row(factor, factor * 1.0) for factor in (1, 2, 4)], PUBLISHED))
    assert (fit.slope_s, fit.verdict) == (None, "not projected")
    assert fit.note == "too few for an interval: points 3, sizes 3, different times 3"


def test_perfect_order_must_be_rarer_than_one_in_twenty() -> None:
    # Of one of two sizes: 3 against 3 can be dealt in 20 ways, 4 against 4 in 70.
    assert orders({1.0: 3, 2.0: 3}) == 20
    assert orders({1.0: 4, 2.0: 4}) == 70
    assert line([(1.0, 1.0)] * 20) is None


def test_faults_that_nobody_felt_show_no_dependence_and_one_that_was_felt_no_line() -> None:
    unfelt = swept(0.0, 0.0, noise=[0.0] * 5)
    assert the(fits(unfelt, PUBLISHED)).verdict == "no dependence seen"
    assert line([(1.0, 0.0)] * 10 + [(2.0, 0.0)] * 9 + [(2.0, 3.0)]) is None


def test_people_and_data_are_told_apart() -> None:
    rows = swept(1.0, 25.0)
    rows += [row(1, 2.0 + 1.5 * factor + wobble, users=factor) for factor in (2, 4) for wobble in NOISE]
    by_data, by_users = fits(rows, PUBLISHED)
    assert (by_data.against, by_users.against) == ("data_bytes", "users_online")
    assert by_data.points == 20, "only those with the fewest people"
    assert by_users.points == 15, "only those with the least data"
    assert (by_users.per, by_users.slope_s is not None and by_users.slope_s > 0) == (1_000, True)


def test_another_fault_is_another_recovery() -> None:
    rows = [row(1, 1.0), replace(row(1, 9.0), node="other"), row(2, 2.0)]
    assert alike(rows) == (rows[0], rows[2])


@settings(max_examples=25)
@given(
    times=st.lists(st.floats(0, 60), min_size=20, max_size=20),
    moved_s=st.floats(-5, 100),
)
def test_the_interval_holds_the_slope_and_does_not_care_where_times_begin(
    times: list[float], moved_s: float
) -> None:
    sizes = [float(1 + n % 4) for n in range(20)]
    times = [round(time_s, 3) for time_s in times]
    found = line(list(zip(sizes, times, strict=True)))
    moved = line([(x, y + moved_s) for x, y in zip(sizes, times, strict=True)])
    if found is None or moved is None:
        assert len(set(times)) < len(times), "only ties are too much alike"
        return
    assert found.lower <= found.slope <= found.upper
    assert moved.slope == pytest.approx(found.slope, abs=1e-6)


def sweep_of(*trials: tuple[int, float]) -> list[dict[str, object]]:
    return [
        {
            "generation": "monolith",
            "trial": trial,
            "data_factor": factor,
            "users_factor": 1.0,
            "messages": round(1_000 * factor),
            "clients": 60,
        }
        for trial, factor in trials
    ]


def test_points_come_from_the_run_folder_alone_and_a_retry_has_the_setting_of_what_it_repeats() -> None:
    one = Scripted(trial=1, injected_s=(20.0,), outages=(Outage(20.0, 22.0),))
    two = Scripted(trial=3, injected_s=(20.0,), outages=(Outage(20.0, 24.0),))
    told = evidence(one, two, sweep=sweep_of((1, 1.0), (2, 4.0)))
    trials = [replace(trial, retry_of=2 if trial.trial == 3 else None) for trial in told.manifest.trials]
    events = []
    for trial, many, seconds in ((1, 1_000, 0.5), (3, 4_000, 1.5)):
        events += [
            NodeEvent("monolith", trial, -9.0, "history", "preloaded", {"bytes": many * 400}),
            NodeEvent("monolith", trial, -5.0, "server", "replayed", {"seconds": 99.0}),
            NodeEvent("monolith", trial, 21.0, "server", "replayed", {"seconds": seconds}),
        ]
    told = replace(told, manifest=replace(told.manifest, trials=tuple(trials)), events=tuple(events))
    rows = points(told, recoveries(told))
    assert [(r.trial, r.data_factor, r.messages, r.data_bytes, r.replay_s) for r in rows] == [
        (1, 1.0, 1_000, 400_000, 0.5),
        (3, 4.0, 4_000, 1_600_000, 1.5),
    ]
    times = [r.time_to_recover_s for r in rows]
    assert times == pytest.approx([2.0, 4.0], abs=0.3)


def test_a_sweep_that_ended_before_its_first_fault_has_no_points_and_no_lines() -> None:
    told = evidence(Scripted(), sweep=sweep_of((1, 1.0)))
    assert points(told, recoveries(told)) == ()
    assert (summed(()), fits((), PUBLISHED)) == ((), ())


def test_a_plan_without_settings_is_refused() -> None:
    told = evidence(Scripted(injected_s=(20.0,), outages=(Outage(20.0, 22.0),)))
    with pytest.raises(RunFolderError, match="sweep"):
        points(told, recoveries(told))

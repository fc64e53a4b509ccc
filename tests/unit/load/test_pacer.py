import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.load.pacer import CHUNK, Offered, intended_times_ns, think_times_s
from bench.plan import PlannedStage
from tests.unit.load.stages import ramp


def stage(start_s: float, end_s: float, rate: float, end_rate: float | None = None) -> PlannedStage:
    return ramp("x", "steady", start_s, end_s, rate, rate if end_rate is None else end_rate)


def times_s(
    stages: list[PlannedStage], *, poisson: bool, seed: int = 1, worker: int = 0, workers: int = 1
) -> np.ndarray:
    chunks = list(intended_times_ns(stages, poisson=poisson, seed=seed, worker=worker, workers=workers))
    assert all(len(chunk) <= CHUNK for chunk in chunks)
    return np.concatenate(chunks) / 1e9 if chunks else np.array([])


def test_uniform_arrivals_are_evenly_spaced_and_complete() -> None:
    found = times_s([stage(0, 10, 100)], poisson=False)
    assert len(found) == 1000
    assert np.diff(found) == pytest.approx(0.01)
    assert found[0] == pytest.approx(0.005)


def test_uniform_arrivals_follow_a_ramp() -> None:
    found = times_s([stage(0, 10, 0, 100)], poisson=False)
    assert len(found) == 500
    # Λ(t) = 5t², so the k-th of them is due at sqrt((k + 0.5) / 5)
    assert found == pytest.approx(np.sqrt((np.arange(500) + 0.5) / 5), abs=1e-6)


def test_a_stage_of_rate_zero_is_silent() -> None:
    found = times_s([stage(0, 2, 50), stage(2, 4, 0), stage(4, 6, 50)], poisson=True)
    assert not ((found >= 2) & (found < 4)).any()
    assert (found >= 4).any()


def test_poisson_arrivals_have_the_mean_and_variance_of_their_name() -> None:
    found = times_s([stage(0, 1000, 50)], poisson=True)
    counts = np.bincount(found.astype(int), minlength=1000)
    assert counts.mean() == pytest.approx(50, rel=0.02)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.15)
    gaps = np.diff(found)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.03)


def test_times_never_go_back_and_stay_inside_the_stages() -> None:
    found = times_s([stage(0, 3, 500, 2000), stage(3, 5, 2000, 10)], poisson=True)
    assert (np.diff(found) >= 0).all()
    assert found[0] >= 0
    assert found[-1] < 5


def test_the_seed_decides_everything() -> None:
    stages = [stage(0, 10, 100)]
    assert (times_s(stages, poisson=True, seed=3) == times_s(stages, poisson=True, seed=3)).all()
    assert times_s(stages, poisson=True, seed=3)[0] != times_s(stages, poisson=True, seed=4)[0]


def test_no_load_gives_no_times() -> None:
    assert len(times_s([stage(0, 10, 0)], poisson=True)) == 0


@st.composite
def shapes(draw: st.DrawFn) -> list[PlannedStage]:
    """Stages of any piecewise linear rate, with jumps and silences."""
    stages, start_s = [], 0.0
    for _ in range(draw(st.integers(1, 4))):
        rates = st.one_of(st.just(0.0), st.floats(0.01, 400))
        knots = [(start_s, draw(rates))]
        for _ in range(draw(st.integers(1, 5))):
            length_s = draw(st.one_of(st.just(0.0), st.floats(0.001, 10)))
            knots.append((knots[-1][0] + length_s, draw(rates)))
        knots.append((knots[-1][0] + draw(st.floats(0.01, 10)), draw(rates)))
        end_s = knots[-1][0]
        stages.append(PlannedStage("x", "steady", start_s, end_s, tuple(knots)))
        start_s = end_s
    return stages


@settings(max_examples=150, deadline=None)
@given(stages=shapes(), seed=st.integers(0, 999), data=st.data())
def test_of_any_shape_as_many_arrive_as_are_expected_in_order_and_inside(
    stages: list[PlannedStage], seed: int, data: st.DataObject
) -> None:
    expected = sum(one.arrivals for one in stages)
    workers = data.draw(st.integers(1, 3))
    poisson = data.draw(st.booleans())
    each = [times_s(stages, poisson=poisson, seed=seed, worker=n, workers=workers) for n in range(workers)]
    for found in each:
        assert (np.diff(found) >= 0).all()
        assert ((found >= 0) & (found <= stages[-1].end_s)).all()
    if poisson:
        assert abs(sum(map(len, each)) - expected) <= 6 * math.sqrt(expected) + 6
    else:
        assert sum(map(len, each)) == pytest.approx(expected, abs=0.5 + 1e-6)
        together, alone = np.sort(np.concatenate(each)), times_s(stages, poisson=False)
        assert together == pytest.approx(alone, abs=1e-9)
    silent = [(one[0], two[0]) for s in stages for one, two in pairwise(s.knots) if one[1] == two[1] == 0]
    for found in each:
        for from_s, to_s in silent:
            assert not ((found > from_s + 1e-6) & (found < to_s - 1e-6)).any()


@settings(max_examples=150, deadline=None)
@given(stages=shapes(), at=st.lists(st.floats(0, 0.999_999), min_size=1))
def test_the_time_of_a_count_is_where_that_count_is_reached(
    stages: list[PlannedStage], at: list[float]
) -> None:
    offered = Offered.of(stages)
    assert offered.total == pytest.approx(sum(one.arrivals for one in stages))
    if offered.total:
        counts = np.array(at) * offered.total
        assert offered.count_until(offered.time_s(counts)) == pytest.approx(
            counts, abs=1e-6 * (1 + offered.total)
        )


def test_workers_of_a_poisson_process_are_poisson_processes_of_their_own() -> None:
    each = [times_s([stage(0, 500, 60)], poisson=True, worker=n, workers=3) for n in range(3)]
    for found in each:
        assert len(found) == pytest.approx(10_000, abs=5 * 100)
    together = np.sort(np.concatenate(each))
    gaps = np.diff(together)
    assert gaps.mean() == pytest.approx(1 / 60, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.03)
    # Independent: the counts of two workers in the same seconds do not go together.
    one, other = (np.bincount(found.astype(int), minlength=500) for found in each[:2])
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2


def test_people_think_for_the_mean_asked_for_and_as_an_exponential_does() -> None:
    think_s = think_times_s(5, seed=1, worker=0)
    found = np.array([think_s() for _ in range(20_000)])
    assert found.mean() == pytest.approx(5, rel=0.03)
    assert found.std() / found.mean() == pytest.approx(1, abs=0.03)
    again, other = think_times_s(5, seed=1, worker=0), think_times_s(5, seed=1, worker=1)
    assert [again() for _ in range(3)] == found[:3].tolist()
    assert other() != found[0]
    assert think_times_s(0, seed=1, worker=0)() == 0

import numpy as np
import pytest

from bench.load.pacer import CHUNK, intended_times_ns
from bench.plan import PlannedStage


def stage(start_s: float, end_s: float, rate: float, end_rate: float | None = None) -> PlannedStage:
    return PlannedStage("x", "steady", start_s, end_s, rate, rate if end_rate is None else end_rate)


def times_s(stages: list[PlannedStage], *, poisson: bool, seed: int = 1) -> np.ndarray:
    chunks = list(intended_times_ns(stages, poisson=poisson, seed=seed))
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

"""Steady state by synthetic truth: rest is called rest, and a warm-up, a drift and a growing backlog are not."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bench.analysis.bins import Bin
from bench.analysis.steady_state import backlog_growth, by_second, mser, steady_state
from bench.histograms import Histogram

SLO_MS = 300.0
RATE_PER_S = 200
Floats = npt.NDArray[np.floating[Any]]


def bins(
    mean_ms: Floats,
    *,
    seed: int = 1,
    backlog: Floats | None = None,
    missed: Floats | None = None,
    width_s: float = 1.0,
) -> list[Bin]:
    """One bin a value: Poisson arrivals, exponential response times of that mean; from 6 s on."""
    source = np.random.default_rng(seed)
    made = []
    for n, mean in enumerate(mean_ms):
        offered = int(source.poisson(RATE_PER_S * width_s))
        on_time = offered if missed is None else round(offered * (1 - missed[n]))
        response = Histogram.of_values(np.maximum(source.exponential(mean * 1000, offered), 1))
        left = int(source.integers(0, 4)) if backlog is None else int(backlog[n])
        start_s = 6.0 + n * width_s
        made.append(Bin(start_s, start_s + width_s, offered, on_time, left, (response,), (response,)))
    return made


@pytest.mark.parametrize("length", [12, 30, 120])
def test_a_system_at_rest_is_called_steady_nearly_always_and_mostly_from_the_start(length: int) -> None:
    found = [steady_state(bins(np.full(length, 20.0), seed=seed), SLO_MS) for seed in range(60)]
    assert sum(state.word == "steady" for state in found) >= 57
    starts = [state.from_s for state in found if state.from_s is not None]
    assert np.median(starts) <= 6 + length / 4


@pytest.mark.parametrize("length", [60, 100])
def test_a_warm_up_is_cut_where_it_ends_or_somewhat_later_and_never_before(length: int) -> None:
    found = [
        steady_state(bins(np.where(np.arange(length) < 15, 100.0, 20.0), seed=n), SLO_MS) for n in range(10)
    ]
    assert sum(state.word == "steady" for state in found) >= 9
    ends_s = [state.from_s for state in found if state.from_s is not None]
    assert min(ends_s) >= 21
    assert np.median(ends_s) <= 27


@pytest.mark.parametrize("length", [40, 100])
def test_a_warm_up_of_more_than_half_is_refused(length: int) -> None:
    mean_ms = np.where(np.arange(length) < 0.7 * length, 100.0, 20.0)
    state = steady_state(bins(mean_ms), SLO_MS)
    assert (state.word, state.from_s) == ("no_steady_state", None)
    assert f"p95 still warming up at half of {length} s" in state.reason


def test_a_backlog_that_grows_is_no_steady_state() -> None:
    source = np.random.default_rng(5)
    backlog = 20 + 4.0 * np.arange(30) + source.normal(0, 3, 30)
    state = steady_state(bins(np.full(30, 20.0), backlog=backlog), SLO_MS)
    assert state.word == "no_steady_state"
    assert state.reason.startswith("the backlog grows by ")


def test_a_p95_that_drifts_beyond_five_per_cent_is_no_steady_state_but_within_a_hundredth_of_the_slo_it_is() -> (
    None
):
    drifting = steady_state(bins(20 + 0.4 * np.arange(60)), SLO_MS)
    assert drifting.word == "no_steady_state"
    assert "p95 of the halves differs" in drifting.reason or "p95 still warming up" in drifting.reason
    assert steady_state(bins(0.2 + 0.004 * np.arange(60)), SLO_MS).word != "unknown"
    small = steady_state(bins(np.where(np.arange(60) < 30, 0.5, 0.8)), SLO_MS)
    assert "differs" not in small.reason


def test_goodput_that_falls_is_no_steady_state() -> None:
    state = steady_state(bins(np.full(40, 20.0), missed=np.where(np.arange(40) < 26, 0.0, 0.2)), SLO_MS)
    assert state.word == "no_steady_state"


def test_few_seconds_tell_nothing_and_no_bin_tells_nothing() -> None:
    assert steady_state(bins(np.full(9, 20.0)), SLO_MS).word == "unknown"
    assert steady_state([], SLO_MS).word == "unknown"


def test_bins_are_joined_to_whole_seconds_and_the_cut_off_one_goes() -> None:
    seconds = by_second(bins(np.full(25, 5.0), width_s=0.1))
    assert [(round(one.start_s, 6), round(one.end_s, 6)) for one in seconds] == [(6.0, 7.0), (7.0, 8.0)]


def test_mser_cuts_a_step_exactly_and_a_constant_not_at_all() -> None:
    assert mser(np.ones(20)) == 0
    assert mser(np.array([9.0] * 4 + [1.0, 1.1] * 10)) == 4
    assert mser(np.array([9.0] * 10 + [1.0, 1.1] * 40)) == 10, "in batches of five"


def test_the_slope_of_a_straight_backlog_is_its_own_and_its_interval_closes_on_it() -> None:
    t_s = np.arange(20.0)
    assert backlog_growth(t_s, 3 * t_s) == pytest.approx((3, 3, 3))
    assert backlog_growth(np.arange(3600.0), 3 * np.arange(3600.0)) == pytest.approx((3, 3, 3)), "thinned"
    _, low, high = backlog_growth(t_s, np.tile([0.0, 1.0], 10))
    assert low <= 0 <= high

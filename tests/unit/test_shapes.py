import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import shapes

RATES = st.floats(0.1, 10_000)
SPANS = st.floats(0.01, 10_000)


def rate_at(knots: shapes.Knots, t_s: float) -> float:
    times_s, rates_per_s = zip(*knots, strict=True)
    return float(np.interp(t_s, times_s, rates_per_s))


def mean_rate(knots: shapes.Knots) -> float:
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(knots))
    return area / knots[-1][0]


@given(duration=SPANS, low=RATES, high=RATES, count=st.integers(2, 40), share=st.floats(0, 0.999), tau=SPANS)
def test_every_shape_begins_at_0_ends_with_the_stage_and_never_goes_back(
    duration: float, low: float, high: float, count: int, share: float, tau: float
) -> None:
    for knots in (
        shapes.line(duration, low, high),
        shapes.steps(duration, low, high, count),
        shapes.burst(duration, low, low + high, share * duration, tau),
        shapes.diurnal(duration, low, low * (1.01 + count / 3), share * shapes.DAY_S),
    ):
        times_s = [t_s for t_s, _ in knots]
        assert times_s[0] == 0
        assert times_s[-1] == pytest.approx(duration, rel=1e-12)
        assert times_s == sorted(times_s)
        assert all(rate >= 0 for _, rate in knots)


def test_steps_are_level_and_equal() -> None:
    assert shapes.steps(10, 100, 500, 5) == [
        (0, 100), (2, 100), (2, 200), (4, 200), (4, 300), (6, 300), (6, 400), (8, 400), (8, 500), (10, 500),
    ]  # fmt: skip


def test_a_burst_jumps_and_decays_by_its_time_constant() -> None:
    knots = shapes.burst(100, 50, 450, 20, 10)
    assert knots[:3] == [(0, 50), (20, 50), (20, 450)]
    for after_s in np.linspace(0.01, 69.9, 200):
        assert rate_at(knots, 20 + after_s) == pytest.approx(50 + 400 * math.exp(-after_s / 10), rel=0.0025)
    assert rate_at(knots, 95) == 50
    assert shapes.burst(100, 50, 450, 0, 10)[0] == (0, 450)


def test_a_burst_that_outlasts_its_stage_is_cut_off() -> None:
    knots = shapes.burst(30, 50, 450, 20, 10)
    assert knots[-1][0] == 30
    assert knots[-1][1] == pytest.approx(50 + 400 / math.e)


@pytest.mark.parametrize("ratio", [1.2, 3, 10, 20])
def test_a_day_has_the_mean_and_the_peak_asked_for_at_the_hour_asked_for(ratio: float) -> None:
    knots = shapes.diurnal(240, 100, 100 * ratio, 21 * 3_600)
    assert mean_rate(knots) == pytest.approx(100, rel=0.005)
    peak_s, peak_per_s = max(knots, key=lambda knot: knot[1])
    assert peak_per_s == pytest.approx(100 * ratio, rel=0.001)
    assert peak_s == pytest.approx(210)
    assert knots[0][1] == pytest.approx(knots[-1][1])
    low_s, _ = min(knots, key=lambda knot: knot[1])
    assert low_s == pytest.approx(90)  # twelve hours from the peak

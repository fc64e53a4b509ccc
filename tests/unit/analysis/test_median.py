"""The interval of a median holds what it says, and says what it holds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.median import FEWEST_FOR_INTERVAL, median, median_interval

NEVER = math.inf
TIMES = st.lists(st.floats(0, 1000) | st.just(NEVER), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("n", "low_rank", "coverage"),
    [  # 1 - 2 P(B < r), B binomial (n, 1/2), by hand
        (5, 1, 1 - 2 / 32),
        (6, 1, 1 - 2 / 64),
        (8, 1, 1 - 2 / 256),
        (9, 2, 1 - 2 * 10 / 512),
        (20, 6, 0.95861),
    ],
)
def test_the_interval_lies_between_the_ranks_of_the_textbook(n: int, low_rank: int, coverage: float) -> None:
    interval = median_interval([float(value) for value in range(n, 0, -1)])
    assert interval is not None
    assert (interval.low, interval.high) == (low_rank, n + 1 - low_rank)
    assert interval.coverage == pytest.approx(coverage, abs=1e-5)


def test_fewer_than_five_have_no_interval() -> None:
    assert median_interval([1.0] * (FEWEST_FOR_INTERVAL - 1)) is None


def test_what_never_came_is_longer_than_anything() -> None:
    interval = median_interval([1.0, 2.0, 3.0, 4.0, NEVER])
    assert interval is not None
    assert (interval.low, interval.high) == (1.0, NEVER)
    assert median([1.0, NEVER, NEVER]) == NEVER
    assert median([1.0, 2.0, NEVER, NEVER]) == NEVER


def test_it_covers_the_median_as_often_as_it_says() -> None:
    source = np.random.default_rng(7)
    samples = source.exponential(1.0, (4000, 5))
    held = [i.low <= math.log(2) <= i.high for s in samples if (i := median_interval(s.tolist()))]
    assert np.mean(held) == pytest.approx(0.9375, abs=0.015)


@given(TIMES)
def test_the_median_lies_within_its_interval(times: list[float]) -> None:
    middle, interval = median(times), median_interval(times)
    assert middle is not None
    if interval is not None:
        assert interval.low <= middle <= interval.high
        assert interval.coverage >= 0.9375

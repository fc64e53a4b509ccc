"""Ratios of known answers: exact permutation p, Hodges-Lehmann, Holm, and figures that never came."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.ratios import (
    _rank_sum_counts,
    hodges_lehmann,
    holm,
    least_p,
    log_deviation,
    permutation_p,
    ratio_interval,
)

FIGURES = st.lists(st.floats(0.1, 1000), min_size=4, max_size=6)


def test_the_ratio_is_the_median_of_all_pairs() -> None:
    assert hodges_lehmann([1, 2, 4], [2, 4, 8]) == pytest.approx(2)
    assert hodges_lehmann([10, 10], [8, 8]) == pytest.approx(0.8)


def test_the_permutation_test_is_exact() -> None:
    # All of one side below all of the other: 2 of C(8, 4) = 70 splits are as far apart.
    assert permutation_p([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(2 / 70)
    assert permutation_p([1, 2, 3], [10, 20, 30]) == pytest.approx(2 / 20)  # never below 0.05
    assert permutation_p([1, 2, 3, 4], [1, 2, 3, 4]) == 1.0
    assert least_p(4, 4) == pytest.approx(2 / 70)


def test_with_many_trials_the_permutations_are_drawn_and_never_nought() -> None:
    one, other = list(np.linspace(1, 2, 14)), list(np.linspace(10, 20, 14))
    assert 0 < permutation_p(one, other) < 0.001


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (4, 4), (5, 3)])
def test_the_rank_sums_distribution_is_that_of_counting_them(m: int, n: int) -> None:
    counted = np.zeros(m * n + 1)
    for ranks in combinations(range(m + n), m):
        counted[sum(ranks) - m * (m - 1) // 2] += 1
    assert _rank_sum_counts(m, n).tolist() == counted.tolist()


def test_the_interval_of_four_v_four_spans_all_pairs() -> None:
    # P(U = 0) = 1/70 = 0.014 and P(U <= 1) = 0.029, so k is 1.
    low, high = ratio_interval([1, 2, 3, 4], [10, 20, 30, 40])
    assert [low, high] == pytest.approx([10 / 4, 40 / 1])


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    source = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        low, high = ratio_interval(
            source.lognormal(0, 0.3, 6).tolist(), source.lognormal(math.log(1.5), 0.3, 6).tolist()
        )
        covered += low <= 1.5 <= high
    assert covered / 400 >= 0.93


def test_a_figure_that_never_came_is_beyond_all_that_did() -> None:
    never = [math.inf] * 4
    assert hodges_lehmann([1, 2, 3, 4], never) == math.inf
    assert ratio_interval([1, 2, 3, 4], never) == (math.inf, math.inf)
    assert permutation_p([1, 2, 3, 4], never) == pytest.approx(2 / 70)  # by ranks
    assert (hodges_lehmann(never, never), permutation_p(never, never)) == (1.0, 1.0)
    assert hodges_lehmann([0.0, 0.0], [0.0, 0.0]) == 1.0
    assert hodges_lehmann([1.0, 1.0], [0.0, 0.0]) == 0.0


@given(FIGURES, FIGURES)
def test_swapping_the_sides_turns_the_ratio_over_and_leaves_p(one: list[float], other: list[float]) -> None:
    low, high = ratio_interval(one, other)
    assert [1 / high, 1 / low] == pytest.approx(list(ratio_interval(other, one)))
    assert low <= hodges_lehmann(one, other) * (1 + 1e-9)
    assert permutation_p(one, other) == pytest.approx(permutation_p(other, one))


def test_holm_adjusts_the_smallest_most_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([0.5, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()


def test_scatter_is_pooled_within_sides_so_that_a_difference_between_them_is_none() -> None:
    assert log_deviation([1, math.e], [100, 100 * math.e]) == pytest.approx(math.sqrt(0.5))
    assert log_deviation([1.0], [2.0]) is None
    assert log_deviation([1, math.e, math.inf]) == pytest.approx(math.sqrt(0.5))

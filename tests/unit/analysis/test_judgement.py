"""Words on samples of known truth, their symmetry, and how often they are wrong."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.judgement import Better, Sample, Word, describe, judge, judge_one, margin, overall

STEADY = [100.0, 101.0, 99.5, 100.5, 99.0, 100.2]
OPPOSITE: dict[Word, Word] = {"better": "worse", "worse": "better"}


def times(factor: float, values: list[float] = STEADY) -> list[float]:
    return [value * factor for value in values]


@pytest.mark.parametrize(
    ("factor", "better", "word"),
    [(1.2, "lower", "worse"), (1.2, "higher", "better"), (0.8, "lower", "better"), (0.8, "higher", "worse"),
     (1.0, "lower", "equivalent"), (1.02, "lower", "equivalent"), (1.05, "lower", "inconclusive")],
)  # fmt: skip
def test_the_word_follows_from_interval_and_margin(factor: float, better: Better, word: Word) -> None:
    judged = judge_one(STEADY, times(factor), better)
    assert judged.word == word
    assert judged.ratio == pytest.approx(factor, rel=0.01)


@given(st.lists(st.floats(1, 3), min_size=4, max_size=6), st.lists(st.floats(1, 3), min_size=4, max_size=6))
def test_swapping_the_sides_swaps_the_words(one: list[float], other: list[float]) -> None:
    there, back = judge_one(one, other).word, judge_one(other, one).word
    assert back == OPPOSITE.get(there, there)


def test_below_four_v_four_there_is_no_word_and_it_says_how_many_are_missing() -> None:
    judged = judge_one(STEADY[:3], times(2)[:3])
    assert (judged.word, judged.interval, judged.p, judged.further_trials) == (
        "descriptive only",
        None,
        None,
        1,
    )
    assert judged.ratio == pytest.approx(2, rel=0.02)


def test_with_too_few_trials_for_the_number_of_figures_it_is_descriptive_too() -> None:
    samples = [Sample(str(n), "lower", STEADY[:4], times(2)[:4]) for n in range(5)]
    judged = judge(samples)
    assert {one.word for one in judged} == {"descriptive only"}  # the least p after Holm is 5 x 2/70
    assert judged[0].further_trials == 1
    assert {one.word for one in judge([Sample("", "lower", STEADY[:5], times(2)[:5])] * 5)} == {"worse"}


def test_the_margin_grows_with_the_scatter_of_equal_trials() -> None:
    assert margin(Sample("", "lower", STEADY, STEADY)) == 0.05
    wild = [100.0, 120.0, 80.0, 110.0, 95.0, 130.0]
    assert 0.3 < margin(Sample("", "lower", wild, wild)) < 0.4
    # What differs from run to run is noise too, when runs of equal systems are given.
    assert margin(Sample("", "lower", STEADY, STEADY, noise=(times(1.2), times(0.9)))) > 0.2


def test_nothing_is_equivalent_where_trials_scatter_beyond_a_quarter() -> None:
    wild = [10.0, 100.0, 30.0, 80.0, 20.0, 60.0]
    judged = judge_one(wild, wild)
    assert judged.word == "inconclusive"
    assert "scatter too much" in judged.reason


def test_the_number_of_further_trials_would_indeed_settle_it() -> None:
    source = np.random.default_rng(3)
    one, other = source.lognormal(0, 0.03, 5).tolist(), source.lognormal(math.log(1.13), 0.03, 5).tolist()
    judged = judge_one(one, other)
    assert judged.word == "inconclusive"
    assert judged.further_trials is not None
    settled = 0
    for _ in range(20):
        each = 5 + judged.further_trials
        again = judge_one(
            source.lognormal(0, 0.03, each).tolist(),
            source.lognormal(math.log(judged.ratio or 0), 0.03, each).tolist(),
        )
        settled += again.word == "worse"
    assert settled >= 10


def test_a_recovery_that_never_came_is_worse_than_those_that_did() -> None:
    judged = judge_one([2.0, 2.1, 1.9, 2.2, 2.0], [math.inf] * 5)
    assert (judged.word, judged.ratio) == ("worse", math.inf)


def test_a_side_without_the_figure_is_said_to_lack_it() -> None:
    assert judge_one([], STEADY).word == "no figure"
    assert describe(Sample("", "lower", STEADY, STEADY), "why").reason == "why"


def test_worse_in_one_is_worse_and_equivalent_only_where_all_are() -> None:
    assert overall(["better", "worse", "equivalent"]) == "worse"
    assert overall(["better", "inconclusive"]) == "better"
    assert overall(["equivalent", "inconclusive"]) == "inconclusive"
    assert overall(["equivalent", "descriptive only"]) == "descriptive only"
    assert overall(["equivalent", "no figure"]) == "equivalent"
    assert overall([]) == "no figure"

"""Comparisons of known answers: exact permutation p, Hodges-Lehmann ratios, and refusals."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from bench.analysis.analyse import analyse
from bench.analysis.comparison import (
    Comparison,
    Comparisons,
    _rank_sum_counts,
    compare,
    difference,
    hodges_lehmann,
    permutation_p,
    ratio_interval,
)
from bench.errors import UserError
from bench.evidence import Evidence
from tests.unit.analysis.synthetic import HOST, Scripted, evidence, with_manifest

SHORT = (("warmup", "warmup", 0.0, 1.0), ("steady", "steady", 1.0, 4.0))


def a_run(trials: int, *, faster: float = 1.0, seed: int = 0) -> Evidence:
    return evidence(
        *(
            Scripted(trial=n, mean_response_ms=4 / faster, seed=seed + n, stages=SHORT, cpu_us=800 / faster)
            for n in range(1, trials + 1)
        )
    )


def compared(baseline: Evidence, contender: Evidence, *, force: bool = False) -> Comparisons:
    return compare((baseline, analyse(baseline)), (contender, analyse(contender)), force=force)


def figure(comparisons: Comparisons, name: str) -> Comparison:
    return next(row for row in comparisons.rows if row.figure == name)


def test_the_ratio_is_the_median_of_all_pairs() -> None:
    assert hodges_lehmann([1, 2, 4], [2, 4, 8]) == pytest.approx(2)
    assert hodges_lehmann([10, 10], [8, 8]) == pytest.approx(0.8)


def test_the_permutation_test_is_exact() -> None:
    # All of one side below all of the other: 2 of C(8, 4) = 70 splits are as far apart.
    assert permutation_p([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(2 / 70)
    assert permutation_p([1, 2, 3], [10, 20, 30]) == pytest.approx(2 / 20)  # never below 0.05
    assert permutation_p([1, 2, 3, 4], [1, 2, 3, 4]) == 1.0


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


def test_below_four_v_four_all_is_descriptive() -> None:
    rows = compared(a_run(3), a_run(3, faster=2, seed=50))
    response = figure(rows, "response_p50_ms")
    assert response.ratio == pytest.approx(0.5, rel=0.1)
    assert (response.word, response.interval, response.p) == ("descriptive only", None, None)


def test_twice_as_quick_is_better_and_half_is_worse() -> None:
    slow, quick = a_run(4), a_run(4, faster=2, seed=50)
    better, worse = (
        figure(compared(slow, quick), "response_p50_ms"),
        figure(compared(quick, slow), "response_p50_ms"),
    )
    assert (better.word, worse.word) == ("better", "worse")
    assert better.p == pytest.approx(2 / 70)
    assert figure(compared(slow, quick), "cpu_us_per_transaction").word == "better"


def test_the_same_system_twice_is_neither() -> None:
    rows = compared(a_run(4), a_run(4, seed=90))
    assert {row.word for row in rows.rows} <= {"inconclusive", "descriptive only", "no figure"}


def test_losses_are_shown_though_nothing_has_no_ratio() -> None:
    lost = figure(compared(a_run(1), a_run(1)), "lost")
    assert (lost.baseline, lost.contender, lost.ratio, lost.word) == (0, 0, None, "descriptive only")


def test_a_figure_that_one_side_lacks_is_said_to_lack() -> None:
    assert figure(compared(a_run(1), a_run(1)), "time_to_recover_s").word == "no figure"


def test_runs_that_differ_in_anything_else_are_refused_with_the_keys() -> None:
    baseline = a_run(1)
    other = with_manifest(
        baseline,
        plan_digest="def",
        host=replace(HOST, fingerprint="beef"),
        versions={"python": "3.12", "uvloop": "1"},
    )
    assert difference(baseline, baseline) == ()
    assert difference(baseline, other) == (
        "host: f00d v beef",
        "plan: abc v def",
        "version of python: 3.11.2 v 3.12",
        "version of uvloop: none v 1",
    )
    with pytest.raises(UserError, match=r"host: f00d v beef; plan: abc v def; .* --force"):
        compared(baseline, other)
    forced = compared(baseline, other, force=True)
    assert len(forced.differing) == 4
    assert forced.rows


def test_runs_without_a_common_generation_cannot_be_compared() -> None:
    one, other = a_run(1), evidence(Scripted("sharded", stages=SHORT))
    with pytest.raises(UserError, match="no generation in common"):
        compared(one, other)


def test_a_search_for_capacity_is_no_run_to_compare() -> None:
    given = evidence(Scripted())
    search = with_manifest(given, kind="capacity")
    with pytest.raises(UserError, match="is of a search for capacity"):
        compare((given, analyse(given)), (search, analyse(search)))

"""Runs of known truth side by side: words, refusals, what is lacking, and what an audit forbids."""

import math
from dataclasses import replace

import pytest

from bench.analysis.comparability import differences
from bench.analysis.comparison import Comparison, Row, compare, median
from bench.analysis.comparison_rows import comparison_rows
from bench.analysis.subject import Recorded
from bench.errors import UserError
from bench.evidence import Evidence
from tests.unit.analysis.synthetic import HOST, Outage, Scripted, evidence, recorded, with_manifest

SHORT = (("warmup", "warmup", 0.0, 1.0), ("steady", "steady", 1.0, 4.0))


def a_run(trials: int, *, faster: float = 1.0, seed: int = 0, lost: int = 0) -> Evidence:
    return evidence(
        *(
            Scripted(
                trial=n,
                mean_response_ms=4 / faster,
                seed=seed + n,
                stages=SHORT,
                cpu_us=800 / faster,
                lost=lost,
            )
            for n in range(1, trials + 1)
        )
    )


SLOW, QUICK = a_run(5), a_run(5, faster=2, seed=50)
READ_SLOW, READ_QUICK = recorded(SLOW), recorded(QUICK)


def read(given: Evidence) -> Recorded:
    """As recorded; of the two runs above only manifest and plan are looked at again."""
    for whole in (READ_SLOW, READ_QUICK):
        if whole.audit is given.audit and len(given.manifest.trials) == 5:
            return replace(whole, manifest=given.manifest, plan=given.plan, name=given.manifest.run)
    return recorded(given)


def compared(baseline: Evidence, contender: Evidence, *, force: bool = False) -> Comparison:
    return compare(read(baseline), read(contender), force=force)


def figure(comparison: Comparison, name: str) -> Row:
    return next(row for row in comparison.pairs[0].rows if row.figure == name)


def test_twice_as_quick_is_better_and_half_is_worse() -> None:
    better, worse = compared(SLOW, QUICK), compared(QUICK, SLOW)
    for name in ("response_p50_ms", "cpu_us_per_transaction"):
        assert (figure(better, name).judgement.word, figure(worse, name).judgement.word) == (
            "better",
            "worse",
        )
    assert (better.word, worse.word) == ("better", "worse")
    assert figure(better, "response_p50_ms").judgement.p == pytest.approx(2 / 252)


def test_the_same_system_twice_is_neither() -> None:
    words = {row.judgement.word for row in compared(SLOW, a_run(5, seed=90)).pairs[0].rows}
    assert words <= {"equivalent", "inconclusive", "descriptive only", "no figure"}


def test_figures_that_are_not_primary_are_shown_without_a_word() -> None:
    row = figure(compared(SLOW, QUICK), "delivery_p99_ms")
    assert (row.primary, row.judgement.word) == (False, "descriptive only")
    assert row.judgement.ratio is not None
    assert row.judgement.ratio < 0.8


def test_a_figure_that_one_side_lacks_is_said_to_lack() -> None:
    assert figure(compared(SLOW, QUICK), "time_to_recover_s").judgement.word == "no figure"


def test_losing_messages_where_the_other_lost_none_is_worse_however_quick() -> None:
    lossy = a_run(5, faster=2, seed=50, lost=3)
    comparison = compared(SLOW, lossy)
    assert comparison.word == "worse"
    assert figure(comparison, "lost").contender == 15
    response = figure(comparison, "response_p50_ms").judgement
    assert response.word == "inconclusive"
    assert "cannot win: 15 acknowledged messages lost" in response.reason
    assert compared(lossy, SLOW).word == "better"  # the other way round it is a loss mended


def test_without_an_audit_nothing_is_better() -> None:
    comparison = compare(read(SLOW), replace(READ_QUICK, audit=None))
    assert figure(comparison, "response_p50_ms").judgement.word == "inconclusive"
    assert any("no audit.csv" in text for text in comparison.lacking)
    assert compare(replace(READ_SLOW, audit=None), read(QUICK)).word == "better"


def test_runs_that_differ_in_anything_else_are_refused_with_the_keys() -> None:
    other = with_manifest(
        SLOW,
        plan_digest="def",
        host=replace(HOST, fingerprint="beef"),
        versions={"python": "3.12", "uvloop": "1"},
    )
    other = replace(other, plan={**SLOW.plan, "slo": {"response_ms": 100.0, "share": 0.99}})
    assert differences(read(SLOW), read(SLOW)) == ()
    assert [str(one) for one in differences(read(SLOW), read(other))] == [
        "plan: slo.response_ms: 300.0 v 100.0",
        "version of python: 3.11.2 v 3.12",
        "version of uvloop: none v 1",
        "host: f00d (A CPU, 2 cores) v beef (A CPU, 2 cores)",
    ]
    with pytest.raises(UserError, match=r"slo\.response_ms: .* --between plan --between version .* --force"):
        compared(SLOW, other)
    assert len(compared(SLOW, other, force=True).differing) == 4


def test_what_the_comparison_is_about_may_differ_and_is_told() -> None:
    other = with_manifest(SLOW, versions={"python": "3.12"})
    comparison = compare(read(SLOW), read(other), between=["version"])
    assert comparison.differing == ()
    assert [str(one) for one in comparison.allowed] == ["version of python: 3.11.2 v 3.12"]


def test_more_trials_of_the_same_plan_are_no_difference_and_other_seeds_are() -> None:
    plan = {"trials": [{"generation": "monolith", "trial": n, "seed": n} for n in (1, 2)]}
    one = replace(with_manifest(SLOW, plan_digest="abc"), plan={**SLOW.plan, **plan})
    longer = {"trials": [*plan["trials"], {"generation": "monolith", "trial": 3, "seed": 3}], "name": "other"}
    more = replace(with_manifest(SLOW, plan_digest="def"), plan={**one.plan, **longer})
    assert differences(read(one), read(more)) == ()
    seeds = {"trials": [{"generation": "monolith", "trial": n, "seed": 9 + n} for n in (1, 2)]}
    reseeded = replace(more, plan={**one.plan, **seeds})
    assert [one.key for one in differences(read(one), read(reseeded))] == ["plan: seeds of the trials"]


def test_two_generations_of_one_run_are_a_pair() -> None:
    run = recorded(
        evidence(
            *(
                Scripted(name, trial=n, mean_response_ms=ms, seed=n, stages=SHORT)
                for name, ms in (("monolith", 4.0), ("sharded", 8.0))
                for n in range(1, 6)
            )
        )
    )
    comparison = compare(replace(run, only="monolith"), replace(run, only="sharded"))
    (pair,) = comparison.pairs
    assert (pair.baseline.generation, pair.contender.generation, pair.word) == (
        "monolith",
        "sharded",
        "worse",
    )
    assert len(compare(run, run).pairs) == 2
    assert [p.baseline.generation for p in compare(replace(run, only="sharded"), run).pairs] == ["sharded"]


def test_runs_without_a_common_generation_cannot_be_compared() -> None:
    with pytest.raises(UserError, match="no generation in common"):
        compared(a_run(1), evidence(Scripted("sharded", stages=SHORT)))


def test_a_run_without_a_trial_cannot_be_compared() -> None:
    empty = recorded(with_manifest(SLOW, trials=()))
    with pytest.raises(UserError, match="no trial to be believed was measured"):
        compare(read(SLOW), empty)


def test_a_run_that_never_finished_is_compared_and_says_so() -> None:
    cut = with_manifest(SLOW, ended="running", trials=SLOW.manifest.trials[:4])
    assert compared(SLOW, cut).lacking == (f"{SLOW.manifest.run}: the run never finished: 4 of 5 trials",)


def test_a_search_for_capacity_is_no_run_to_compare() -> None:
    with pytest.raises(UserError, match="is of a search for capacity"):
        compared(SLOW, with_manifest(SLOW, kind="capacity"))


def test_figures_alone_are_compared_and_say_what_they_lack() -> None:
    def alone(given: Evidence) -> Recorded:
        return replace(read(given), manifest=None, plan=None, recovery=None, audit=None)

    comparison = compare(alone(QUICK), alone(SLOW))
    assert len(comparison.lacking) == 4
    assert figure(comparison, "response_p50_ms").judgement.word == "inconclusive"  # nothing can win unaudited
    assert figure(comparison, "response_p50_ms").judgement.ratio == pytest.approx(2, rel=0.1)


def test_a_recovery_that_never_came_has_no_number_in_the_rows() -> None:
    stages = (("steady", "steady", 0.0, 8.0), ("fault", "fault", 8.0, 30.0))

    def faulty(until_s: float) -> Evidence:
        trials = (
            Scripted(trial=n, injected_s=(9.0,), outages=(Outage(9.0, until_s),), seed=n, stages=stages)
            for n in (1, 2)
        )
        return evidence(*trials)

    comparison = compared(faulty(11.0), faulty(30.0))
    row = figure(comparison, "time_to_recover_s")
    assert row.contender == math.inf
    told = next(one for one in comparison_rows([comparison]) if one.figure == "time_to_recover_s")
    assert (told.contender, told.ratio, told.baseline_trials) == (None, None, 2)


def test_a_median_half_of_which_never_came_is_infinite() -> None:
    assert median([]) is None
    assert median([1, 2, 3, math.inf]) == 2.5
    assert median([1, 2, math.inf, math.inf]) == math.inf

"""The search for capacity against systems whose capacity is written down, and its bounds from the trials alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from bench.analysis.capacity import (
    Answer,
    Bounds,
    Question,
    Search,
    answers,
    ask,
    bounds_of,
    carries,
    outcome,
)
from bench.histograms import Histogram, LogLine
from bench.records import AuditRow, CapacityTrialRow, HistogramTag, TimelineRow

SEARCH = Search((150.0, 300.0, 800.0), 0.99, 50.0, 4_000.0, 1.0, 2.0, 4.0, 12.0, 0.1)
NAMES = ("p99<=150ms", "p99<=300ms", "p99<=800ms", "max")
GOALS = len(NAMES)


def answer(capacities: Sequence[float], rate_per_s: float) -> Answer:
    failed = sum(rate_per_s > capacity for capacity in capacities)
    return Answer(failed, min(1.0, capacities[-1] / rate_per_s))


def searched(
    capacities: Sequence[float], *, wrong_every: int = 0, seed: int = 0
) -> tuple[Mapping[str, Bounds], list[tuple[Question, Answer]]]:
    """The search against a system that fails each goal above its capacity, one trial in so many the other way."""
    source = np.random.default_rng(seed)
    tried: list[tuple[Question, Answer]] = []
    asking = ask(SEARCH, SEARCH.highest_per_s)
    question = next(asking)
    while True:
        said = answer(capacities, question.rate_per_s)
        if wrong_every and source.integers(wrong_every) == 0:
            said = Answer(GOALS - said.failed_goals, 0.9)
        tried.append((question, said))
        try:
            question = asking.send(said)
        except StopIteration as end:
            return end.value, tried


@pytest.mark.parametrize(
    "capacities",
    [
        (1_000, 1_200, 1_300, 1_500),
        (1_000,) * 4,
        (100, 900, 1_000, 3_000),
        (60, 61, 3_900, 3_950),
        (77, 77, 77, 400),
    ],
)
def test_each_goals_capacity_is_bracketed_as_closely_as_asked_for_in_one_search(
    capacities: Sequence[float],
) -> None:
    found, tried = searched(capacities)
    assert tuple(found) == NAMES
    for capacity, (lower, upper) in zip(capacities, found.values(), strict=True):
        assert lower is not None
        assert upper is not None
        assert lower <= capacity <= upper
        assert upper <= lower * (1 + 1.2 * SEARCH.width)
    assert len(tried) <= 45


def test_a_system_that_never_gives_out_or_always_has_an_open_interval() -> None:
    assert set(searched((9_999,) * 4)[0].values()) == {(4_000.0, None)}
    assert set(searched((10,) * 4)[0].values()) == {(None, 50.0)}


@pytest.mark.parametrize("seed", range(5))
def test_one_wrong_trial_in_eight_moves_the_interval_by_a_few_widths_at_most(seed: int) -> None:
    found, _ = searched((1_000,) * 4, wrong_every=8, seed=seed)
    lower, upper = found["max"]
    assert lower is not None
    assert upper is not None
    assert 700 < lower < upper < 1_430


@pytest.mark.parametrize("seed", range(5))
def test_the_trials_alone_prove_the_same_bounds(seed: int) -> None:
    for capacities in ((1_000, 1_200, 1_300, 1_500), (10,) * 4, (9_999,) * 4):
        found, tried = searched(capacities, wrong_every=9 if seed else 0, seed=seed)
        assert bounds_of(SEARCH, tried) == found


def test_a_search_that_was_cut_short_has_the_bounds_of_what_was_tried() -> None:
    good, bad = Answer(0, 1.0), Answer(GOALS, 0.5)
    once, long = Question(500.0, 4.0), [(Question(900.0, 4.0), bad)] * 3
    assert bounds_of(SEARCH, []) == dict.fromkeys(NAMES, (None, None))
    assert bounds_of(SEARCH, [(once, good)])["max"] == (None, None), "4 s of 12 s decide nothing"
    assert bounds_of(SEARCH, [(once, good), (once, good), *long])["max"] == (500.0, 900.0)


def row(
    rate_per_s: float,
    failed: int,
    *,
    trial: int = 1,
    void: bool = False,
    purpose: str = "search",
    why: str = "",
) -> CapacityTrialRow:
    return CapacityTrialRow(
        "monolith", trial, purpose, rate_per_s, 12.0, None, 100, 1.0, False, 0, 1.0, 2.0, failed, void, why  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_answer_is_an_interval_a_goal_and_their_geometric_mean() -> None:
    rows = [row(100, 0), row(200, 1), row(400, 2), row(800, 3), row(1_600, 4), row(640, 0, purpose="latency")]
    found = {one.goal: one for one in answers(SEARCH, "monolith", rows, ceiling_per_s=10_000)}
    assert tuple(found) == (*NAMES, "critical")
    assert [(one.lower_per_s, one.upper_per_s) for one in found.values()] == [
        (100, 200), (200, 400), (400, 800), (800, 1_600), (pytest.approx(200), pytest.approx(400)),
    ]  # fmt: skip
    assert {one.believed for one in found.values()} == {"yes"}
    assert {(one.trials, one.trial_s) for one in found.values()} == {(5, 60.0)}
    assert answers(SEARCH, "sharded", rows, ceiling_per_s=None) == ()


def test_what_is_above_sixty_per_cent_of_the_ceiling_is_not_believed_and_without_one_it_is_not_known() -> (
    None
):
    rows = [row(100, 0), row(200, 1), row(1_600, 4)]
    found = {one.goal: one for one in answers(SEARCH, "monolith", rows, ceiling_per_s=1_000)}
    assert (found["p99<=150ms"].believed, found["max"].believed, found["critical"].believed) == (
        "yes",
        "no",
        "no",
    )
    assert "60 % of the generator's ceiling, 600/s" in found["max"].note
    assert {one.believed for one in answers(SEARCH, "monolith", rows, ceiling_per_s=None)} == {"unknown"}


def test_a_void_trial_bounds_nothing_and_is_named_where_it_would_have() -> None:
    rows = [row(100, 0), row(200, 4, trial=2, void=True, why="steal")]
    found = {one.goal: one for one in answers(SEARCH, "monolith", rows, ceiling_per_s=10_000)}
    assert (found["max"].lower_per_s, found["max"].upper_per_s) == (100, None)
    assert "gave out: steal" in found["max"].note


def test_a_goal_that_the_lowest_rate_misses_leaves_no_mean() -> None:
    rows = [row(50, 1), row(100, 4)]
    *_, critical = answers(SEARCH, "monolith", rows, ceiling_per_s=None)
    assert (critical.goal, critical.lower_per_s) == ("critical", None)
    assert "p99<=150ms" in critical.note


OFFERED = 4_000


def judged(
    *,
    late: Sequence[tuple[float, int]] = (),
    acknowledged: float = 1.0,
    growth_per_s: float = 0.0,
    lost: int = 0,
    phantom: int = 0,
    corrupt: int = 0,
    drained: bool = True,
) -> tuple[int, str]:
    """A trial of 4 s whose answers take 20 ms, but for those that are `late` (ms, how many)."""
    width_s, bins = 0.25, 16
    each = OFFERED // bins
    timeline = [
        TimelineRow(
            "monolith", 1, "steady", 1 + n * width_s, width_s, "send", each, each, 0, each, 0, 0, each,
            round(each * acknowledged), each, round(5 + growth_per_s * n * width_s), None, None, None, None, None,
        )
        for n in range(bins)
    ]  # fmt: skip
    slow = [ms * 1000.0 for ms, count in late for _ in range(count)]
    values = np.array([20_000.0] * (OFFERED - len(slow)) + slow)
    tag = HistogramTag("monolith", 1, "steady", "send", "ok", "response")
    verdict: Any = "violated" if lost or phantom or corrupt else "complete" if drained else "unknown"
    audit = AuditRow(
        "monolith", 1, "all", OFFERED, OFFERED, 0, 0, OFFERED, lost, phantom, 0, 0, 0, corrupt, 0, drained, verdict, "busy"
    )  # fmt: skip
    found = outcome(
        SEARCH, "steady", timeline, [LogLine(tag, 1.0, 4.0, Histogram.of_values(values))], [audit]
    )
    return found.failed_goals, found.why


@pytest.mark.parametrize(
    ("trial", "failed", "why"),
    [
        ({}, 0, ""),
        ({"late": [(200, 40)]}, 0, ""),  # 1 % exactly
        ({"late": [(200, 41)]}, 1, "1.0 % beyond p99<=150ms"),
        ({"late": [(200, 20), (500, 41)]}, 2, "1.0 % beyond p99<=300ms"),
        ({"late": [(900, 100)]}, 3, "2.5 % beyond p99<=800ms"),
        ({"acknowledged": 0.98}, 4, "98.0 % of what was offered"),
        ({"growth_per_s": 30.0}, 4, "the backlog grows"),
        ({"growth_per_s": 5.0}, 0, ""),
        ({"lost": 1}, 4, "1 acknowledged messages lost"),
        ({"corrupt": 2}, 4, "2 corrupt"),
        ({"phantom": 1}, 4, "1 phantom"),
        ({"drained": False}, 4, "audit unknown: busy"),
    ],
)
def test_a_trial_is_bad_for_each_reason_alone(trial: dict[str, object], failed: int, why: str) -> None:
    goals, said = judged(**trial)  # type: ignore[arg-type]
    assert goals == failed
    assert said.startswith(why)


def test_a_trial_in_which_nothing_was_offered_proves_nothing_good() -> None:
    assert outcome(SEARCH, "steady", [], [], []).failed_goals == GOALS


def test_whether_a_rate_is_carried_is_decided_by_sums_of_durations() -> None:
    good, late, bad = Answer(0, 1.0), Answer(GOALS - 1, 1.0), Answer(GOALS, 0.5)
    question = Question(500.0, 4.0)
    for said, word in (
        ([], None), ([good], None), ([bad], None), ([good, good], True), ([bad, good, good], True),
        ([bad, bad], False), ([good, bad, bad], False), ([late, late], True),
    ):  # fmt: skip
        assert carries(SEARCH, [(question, one) for one in said], 500.0) is word, said


def test_a_search_stays_below_what_would_be_believed_and_says_where_that_ended_it() -> None:
    assert SEARCH.within(None) == SEARCH
    assert SEARCH.within(100_000.0) == SEARCH
    within = SEARCH.within(1_000.0)
    assert within.highest_per_s == pytest.approx(570)
    found = {one.goal: one for one in answers(SEARCH, "monolith", [row(570, 0)], ceiling_per_s=1_000)}
    assert (found["max"].lower_per_s, found["max"].upper_per_s, found["max"].believed) == (570, None, "yes")
    assert "no figure would be the system's" in found["max"].note


def test_a_search_with_a_node_down_says_which_of_each_generation() -> None:
    degraded = replace(SEARCH, down="core")
    assert Search.of({"search": asdict(degraded)}) == degraded
    assert [degraded.down_node(name) for name in ("sharded", "microservices")] == [
        "shard-0-primary",
        "nats-1",
    ]
    assert SEARCH.down_node("sharded") is None
    rows = [replace(row(100, 0), generation="sharded")]
    assert {one.down for one in answers(degraded, "sharded", rows, ceiling_per_s=None)} == {"shard-0-primary"}
    assert {one.down for one in answers(SEARCH, "sharded", rows, ceiling_per_s=None)} == {""}


def test_a_search_of_before_nodes_could_be_down_is_still_read() -> None:
    old = asdict(SEARCH)
    del old["down"]
    assert Search.of({"search": old}) == SEARCH

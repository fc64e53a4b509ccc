"""Each cell's word follows from intervals, and says why; what was not put to the test is not called tested."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bench.analysis.published import Capacity, Cell, Measured, Projection, beside_published, ratio
from bench.evidence import PublishedRow
from tests.unit.analysis.synthetic import PUBLISHED

EVEN = (0.98, 0.99, 1.0, 1.01, 1.02)


def around(middle: float, spread: Sequence[float] = EVEN) -> tuple[float, ...]:
    return tuple(middle * factor for factor in spread)


def response(generation: str, p50_ms: float, p99_ms: float, spread: Sequence[float] = EVEN) -> Measured:
    by_trial = {"response_p50_ms": around(p50_ms, spread), "response_p99_ms": around(p99_ms, spread)}
    return Measured(generation, {"response_p50_ms": p50_ms}, by_trial)


def cell(first: Measured, second: Measured, published: Sequence[PublishedRow] = PUBLISHED) -> Cell:
    return beside_published([first, second], published)[-1]


def capacity(generation: str, lower: float | None, upper: float | None, believed: str = "yes") -> Measured:
    return Measured(generation, {"tps": lower}, capacity=Capacity(lower, upper, believed))


def test_each_cell_holds_the_figure_the_claim_and_both_ratios() -> None:
    found = cell(response("monolith", 4, 9), response("sharded", 2, 4))
    assert (found.measured, found.published, found.published_ratio) == (2, 300, 0.375)
    assert found.measured_ratio == pytest.approx(0.5)
    assert found.ratio_low is not None
    assert found.ratio_low < 0.5


def test_a_ratio_within_the_interval_is_consistent_and_outside_contradicted() -> None:
    assert cell(response("monolith", 800, 900), response("sharded", 300, 400)).ratio == "consistent"
    contradicted = cell(response("monolith", 4, 9), response("sharded", 12, 30))
    assert contradicted.ratio == "contradicted"
    assert "×0.375 lies outside ×" in contradicted.ratio_reason
    assert "same offered load" in contradicted.ratio_reason


def test_a_response_is_contradicted_only_where_p50_and_p99_both_are() -> None:
    found = cell(response("monolith", 4, 100), response("sharded", 12, 37.5))
    assert found.ratio == "consistent"
    assert "not at p50, but at p99" in found.ratio_reason


def test_with_too_few_trials_a_ratio_is_measured_and_no_more() -> None:
    found = cell(response("monolith", 4, 9, (1, 1, 1)), response("sharded", 2, 4, (1, 1, 1)))
    assert (found.ratio, found.measured_ratio) == ("measured", 0.5)
    assert "3 v 3 trials" in found.ratio_reason


def test_tps_at_a_load_that_both_carried_says_nothing_of_their_capacity() -> None:
    found = cell(Measured("monolith", {"tps": 200.0}), Measured("sharded", {"tps": 200.0}))
    assert (found.ratio, found.measured_ratio) == ("untestable here", 1.0)
    assert "no capacity" in found.ratio_reason


@pytest.mark.parametrize(
    ("ours", "theirs", "word"),
    [((1000, 1100), (5800, 6400), "consistent"), ((1000, 1100), (500, 600), "contradicted"),
     ((1000, 1100), (4000, None), "measured"), ((1000, None), (500, 600), "contradicted"),
     ((None, None), (500, None), "untestable here")],
)  # fmt: skip
def test_throughput_is_tested_by_the_bounds_of_capacity(
    ours: tuple[float | None, float | None], theirs: tuple[float | None, float | None], word: str
) -> None:
    assert cell(capacity("monolith", *ours), capacity("sharded", *theirs)).ratio == word


def test_a_capacity_that_may_be_the_generators_is_not_tested_by() -> None:
    found = cell(capacity("monolith", 1000, 1100), capacity("sharded", 5900, 6100, "no"))
    assert (found.ratio, found.ratio_reason[:13]) == ("untestable here", "the generator")


def test_a_recovery_that_never_came_contradicts_a_claim_of_being_quicker() -> None:
    one = Measured("monolith", {"time_to_recover_s": 2.0}, {"time_to_recover_s": around(2)})
    other = Measured("sharded", {"time_to_recover_s": None}, {"time_to_recover_s": (math.inf,) * 5})
    found = cell(one, other)
    assert (found.ratio, found.measured_ratio, found.ratio_high) == ("contradicted", None, None)


def test_absolute_figures_are_untestable_but_by_a_projection() -> None:
    plain = cell(response("monolith", 4, 9), response("sharded", 2, 4))
    assert (plain.absolute, "cluster" in plain.absolute_reason) == ("untestable here", True)
    fitted = Measured(
        "sharded",
        {"time_to_recover_s": 3.0},
        projections={
            "time_to_recover_s": Projection(
                1800, 3200, 2500, None, "GB of data", "a line through 20 recoveries at 5 sizes"
            )
        },
    )
    found = cell(Measured("monolith", {"time_to_recover_s": 2.0}), fitted)
    assert found.absolute == "projected"
    other = tuple(replace(row, recovery_time_s=60.0) for row in PUBLISHED)
    first = Measured("monolith", {"time_to_recover_s": 2.0})
    assert cell(first, fitted, other).absolute == "untestable here"  # it was of another claim
    assert found.absolute_reason == (
        "it would be reached at 3,200 GB of data (2,500 to no bound at 95 %): "
        "a line through 20 recoveries at 5 sizes"
    )


def test_a_system_that_lost_messages_is_tested_by_nothing() -> None:
    lossy = replace(response("sharded", 300, 400), objection="3 acknowledged messages lost")
    found = cell(response("monolith", 800, 900), lossy)
    assert (found.ratio, found.measured_ratio) == ("untestable here", 0.375)
    assert found.ratio_reason.startswith("sharded: 3 acknowledged messages lost")


def test_what_the_table_does_not_have_is_measured_without_a_claim() -> None:
    noop = beside_published([Measured("noop", {"tps": 10.0, "response_p99_ms": None})], PUBLISHED)
    assert [(one.published, one.absolute) for one in noop] == [(None, "measured"), (None, "untestable here")]
    p99 = cell(Measured("monolith", {"response_p99_ms": 9.0}), Measured("sharded", {"response_p99_ms": 18.0}))
    assert (p99.measured_ratio, p99.published, p99.ratio) == (2.0, None, "measured")
    assert beside_published([], PUBLISHED) == ()


def test_the_first_generation_is_what_the_others_are_set_beside() -> None:
    first = beside_published([response("monolith", 4, 9)], PUBLISHED)[0]
    assert (first.ratio, first.measured_ratio) == ("untestable here", 1.0)


def test_a_ratio_to_nothing_is_no_ratio() -> None:
    assert (ratio(1, 0), ratio(1, None), ratio(None, 1), ratio(0, 2)) == (None, None, None, 0)

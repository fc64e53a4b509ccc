"""Measured figures stand beside the published ones, as ratios to the first generation."""

from bench.analysis.published import beside_published, ratio
from tests.unit.analysis.synthetic import PUBLISHED

MEASURED: dict[str, dict[str, float | None]] = {
    "monolith": {"tps": 200.0, "response_p50_ms": 4.0, "time_to_recover_s": None, "response_p99_ms": 9.0},
    "sharded": {"tps": 400.0, "response_p50_ms": None, "time_to_recover_s": 3.0, "response_p99_ms": 18.0},
}


def test_each_cell_holds_the_figure_the_claim_and_both_ratios() -> None:
    cells = {(cell.generation, cell.figure): cell for cell in beside_published(MEASURED, PUBLISHED)}
    tps = cells["sharded", "tps"]
    assert (tps.measured, tps.measured_ratio, tps.published, tps.published_ratio) == (400, 2.0, 300_000, 6.0)
    assert (tps.absolute, tps.ratio) == ("untestable here", "measured")


def test_a_ratio_without_a_figure_or_a_claim_is_untestable_and_missing() -> None:
    cells = {(cell.generation, cell.figure): cell for cell in beside_published(MEASURED, PUBLISHED)}
    assert cells["sharded", "response_p50_ms"].measured_ratio is None
    assert cells["sharded", "response_p50_ms"].ratio == "untestable here"
    assert cells["sharded", "time_to_recover_s"].measured_ratio is None
    assert cells["sharded", "response_p99_ms"].published is None
    assert cells["sharded", "response_p99_ms"].measured_ratio == 2.0
    assert cells["monolith", "tps"].ratio == "untestable here"  # nothing to compare the first with


def test_a_generation_the_table_does_not_have_has_no_claim() -> None:
    cells = beside_published({"noop": {"tps": 10.0}}, PUBLISHED)
    assert (cells[0].published, cells[0].published_ratio, cells[0].measured_ratio) == (None, None, 1.0)
    assert beside_published({}, PUBLISHED) == ()


def test_a_ratio_to_nothing_is_no_ratio() -> None:
    assert (ratio(1, 0), ratio(1, None), ratio(None, 1), ratio(0, 2)) == (None, None, None, 0)

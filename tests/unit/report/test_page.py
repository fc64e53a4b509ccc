"""The page and its figures: what they say, as a golden file; what they must not let through.

`python -m tests.unit.report.test_page` writes the golden file anew, to be read in the diff.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.analyse import Analysis, analyse
from bench.evidence import Evidence
from bench.report.figures.comparison import Side, overlaid_percentiles, overlaid_timeline
from bench.report.figures.drawing import Drawing, drawing
from bench.report.figures.figure import Figure
from bench.report.figures.load import Loaded, against_load
from bench.report.figures.static import drawn
from bench.report.machine import to_json
from bench.report.page.document import document, inert
from tests.unit.analysis.synthetic import PUBLISHED, Outage, Scripted, evidence, with_manifest

GOLDEN = Path(__file__).parents[1] / "golden" / "page.txt"
HOSTILE = "</script><img src=x onerror=alert(1)>&'\"{{ 7 * 7 }}"
SCRIPT = "window.vegaEmbed = () => '</script>';"


@cache
def run() -> tuple[Analysis, Evidence]:
    given = evidence(
        Scripted(rate_per_s=120, outages=[Outage(21, 25)], injected_s=[21], events=[(21.2, "detected")]),
        Scripted(trial=2, rate_per_s=120, outages=[Outage(21, 26)], injected_s=[21], seed=2),
        Scripted(
            "sharded", rate_per_s=120, mean_response_ms=9, outages=[Outage(21.3, 80)], injected_s=[21], node="shard-0-primary",
        ),
        description="Two generations",
    )  # fmt: skip
    return analyse(given, PUBLISHED), given


@cache
def drawing_of_run() -> Drawing:
    return drawing(*run())


@cache
def page() -> str:
    return document(*run(), drawing_of_run(), SCRIPT)


def said(figures: Iterator[Figure]) -> str:
    """Titles, captions, tables, and how many rows of data: everything of a figure but its drawing."""
    parts = []
    for one in figures:
        rows = {name: len(data) for name, data in one.spec["datasets"].items()}
        parts += [f"## {one.name}: {one.title}", one.caption, f"rows: {rows}"]
        if one.table is not None:
            parts += [" | ".join(row) for row in (one.table.heads, *one.table.rows)]
        parts.append("")
    return "\n".join(parts)


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    value: dict[str, Any] = json.loads(found[1])
    return value


def test_what_the_figures_say_is_the_golden_file() -> None:
    assert said(iter(drawing_of_run().figures)) == GOLDEN.read_text()


def test_every_figure_of_a_run_with_faults_is_there_and_in_the_page() -> None:
    names = {one.name for one in drawing_of_run().figures}
    assert names == {
        "percentiles", "cpu", "recovery-phases", "over-time-monolith", "over-time-sharded",
        "fault-monolith-1-1", "fault-monolith-2-1", "fault-sharded-1-1",
    }  # fmt: skip
    assert set(data_of(page())["figures"]) == names
    assert all(f'data-figure="{name}"' in page() for name in names)


def test_a_fault_is_shaded_from_its_injection_until_service_was_restored() -> None:
    (analysis, _), figures = run(), {one.name: one for one in drawing_of_run().figures}
    row = next(row for row in analysis.recovery if (row.generation, row.trial) == ("monolith", 1))
    (shaded,) = figures["fault-monolith-1-1"].spec["datasets"]["fault"]
    assert shaded["from"] == 21
    assert row.restored_s is not None
    assert shaded["to"] == pytest.approx(row.restored_s, rel=1e-3)
    names = [one["name"] for one in figures["fault-monolith-1-1"].spec["datasets"]["moment"]]
    assert names[0] == "injected"
    assert {"impact", "detected", "first success", "restored", "caught up"} <= set(names)
    (endless,) = figures["fault-sharded-1-1"].spec["datasets"]["fault"]
    assert endless["to"] == 60


def test_goodput_is_what_was_on_time_and_the_outage_shows_in_it() -> None:
    rows = {one["t"]: one for one in drawing_of_run().courses["monolith"].spec["datasets"]["time"]}
    assert rows[10]["good"] == rows[10]["offered"]
    assert rows[22]["good"] < 0.3 * rows[22]["offered"]
    assert rows[22]["p95"] > 1000
    assert rows[22]["p95_low"] <= rows[22]["p95"] <= rows[22]["p95_high"]


def test_the_same_folder_gives_the_same_page_byte_for_byte() -> None:
    analysis, given = run()
    assert document(analyse(given, PUBLISHED), given, drawing(analysis, given), SCRIPT) == page()


def test_the_page_names_no_address_and_forbids_every_request() -> None:
    outside = page().replace("https://vega.github.io/schema/vega-lite/v6.json", "")
    assert re.findall(r"""(?:src|href)=["'](?!#|data:)[^"']*""", outside) == []
    assert "http://" not in outside
    assert "https://" not in outside
    assert "default-src 'none'" in outside


def test_text_of_a_run_folder_cannot_become_markup() -> None:
    _, given = run()
    given = with_manifest(given, profile=HOSTILE, ended="failed", error=HOSTILE, reached=HOSTILE)
    given = replace(
        given,
        plan={**given.plan, "description": HOSTILE, "deployment": HOSTILE},
        faults=given.faults.assign(node=HOSTILE),
        audit=given.audit.assign(detail=HOSTILE, verdict="unknown"),
    )
    analysis = analyse(given, PUBLISHED)
    html = document(analysis, given, drawing(analysis, given), SCRIPT)
    assert "<img" not in html
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", html)[0]
    assert html.count("</script>") == 3
    assert data_of(html)["figures"]["fault-monolith-1-1"]["spec"]["description"].count(HOSTILE) == 1


def test_json_in_a_page_ends_no_script_element() -> None:
    assert "<" not in inert({"a": "</script><!--"})
    assert json.loads(inert({"a": "</script>&"})) == {"a": "</script>&"}


def test_a_run_that_broke_before_its_first_trial_has_a_page_that_says_so() -> None:
    _, given = run()
    given = with_manifest(given, trials=(), ended="failed", reached="", error="mariadbd is missing")
    empty = {name: getattr(given, name).iloc[:0] for name in ("timeline", "faults", "telemetry", "audit")}
    given = replace(given, histograms=(), events=(), **empty)
    analysis = analyse(given)
    html = document(analysis, given, drawing(analysis, given), SCRIPT)
    assert "No trial was measured." in html
    assert "Failed: nothing was reached (0 of 3 trials kept). mariadbd is missing" in html


def test_void_trials_are_listed_with_their_reason_and_are_in_no_course() -> None:
    _, given = run()
    first, second, third = given.manifest.trials
    void = replace(second, status="void", verdict="noisy", verdict_reason="others had the machine")
    given = with_manifest(given, trials=(first, void, third))
    analysis = analyse(given, PUBLISHED)
    own = drawing(analysis, given)
    assert "one trial" in own.courses["monolith"].caption
    assert "others had the machine" in document(analysis, given, own, SCRIPT)


def test_response_against_load_needs_two_loads() -> None:
    points = [Loaded("monolith", "trial 1", rate, 2.0, 9.0, met) for rate, met in ((100, True), (400, False))]
    figure = against_load(points, "Made up.")
    assert figure is not None
    assert [row["met"] for row in figure.spec["datasets"]["point"]] == ["carried", "not carried"]
    assert against_load(points[:1] * 2, "Made up.") is None


def test_all_figures_are_drawn_as_svg_without_a_browser() -> None:
    _, given = run()
    sides = [Side("before", given, "monolith"), Side("after", given, "sharded")]
    for one in (*drawing_of_run().figures, overlaid_percentiles(sides), overlaid_timeline(sides)):
        assert drawn(one, "svg").startswith(b"<svg")
    assert drawn(drawing_of_run().across[0], "png").startswith(b"\x89PNG")


def test_the_analysis_as_json_has_what_the_table_shows() -> None:
    analysis, _ = run()
    said = json.loads(to_json(analysis))
    assert [one["generation"] for one in said["headlines"]] == ["monolith", "sharded"]
    assert said["headlines"][0]["tps"] == analysis.headlines[0].tps
    assert said["headlines"][1]["recovery_censored"] is True


if __name__ == "__main__":
    GOLDEN.write_text(said(iter(drawing_of_run().figures)))

"""The closing table and what stands beneath it, as golden files; never wider than 80 columns.

`pytest` compares; `python -m tests.unit.report.test_terminal` writes the golden files anew, to be read
in the diff.
"""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from bench.analysis.analyse import analyse
from bench.analysis.comparison import Comparison, compare
from bench.evidence import NodeEvent
from bench.manifest import Trial
from bench.records import AuditFindingRow
from bench.report.comparison import markdown, render_comparisons
from bench.report.terminal import render
from bench.tables import frame
from tests.unit.analysis.synthetic import HOST, PUBLISHED, Outage, Scripted, evidence, recorded, with_manifest

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDER = Path("results/20260301-123005-quick")


def quick(trial: int = 1) -> list[Scripted]:
    return [
        Scripted(trial=trial, seed=trial, outages=[Outage(21, 25)], injected_s=[21], events=[(21.2, "detected")]),
        Scripted(
            "sharded", trial, seed=trial, mean_response_ms=8, cpu_us=2100,
            outages=[Outage(21.3, 23), Outage(38, 39)], injected_s=[21], node="shard-0-primary",
        ),
        Scripted(
            "microservices", trial, seed=trial, mean_response_ms=12, cpu_us=3400, lost=2,
            outages=[Outage(21.3, 80)], injected_s=[21], node="nats-1",
        ),
    ]  # fmt: skip


def complete() -> RenderableType:
    return render(analyse(evidence(*quick()), PUBLISHED), FOLDER)


def three_trials() -> RenderableType:
    trials = [*quick(1), *quick(2), *quick(3)]
    trials[3] = replace(trials[3], status="void")
    trials[4] = replace(trials[4], outages=())
    return render(analyse(evidence(*trials), PUBLISHED), FOLDER)


def repeated() -> RenderableType:
    """Five kills and a control a trial, with an operator who takes 2 s; one kill is not recovered from."""
    stages = (
        ("warmup", "warmup", 0.0, 4.0),
        ("steady", "steady", 4.0, 10.0),
        ("fault", "fault", 10.0, 140.0),
    )
    injected_s = [12.0, *(35.0 + 20 * n for n in range(5))]
    kinds = ["none", *["kill"] * 5]

    def trial(generation: str, node: str, lengths_s: list[float], **more: Any) -> Scripted:
        struck = zip(injected_s[1:], lengths_s, strict=True)
        return Scripted(
            generation, stages=stages, injected_s=injected_s, kinds=kinds, node=node, rate_per_s=150,
            outages=[Outage(at_s, at_s + length_s) for at_s, length_s in struck], **more,
        )  # fmt: skip

    server = trial(
        "monolith", "server", [3.0, 3.4, 2.8, 3.1, 3.2],
        healed_s=[None, *(at_s + 2.0 for at_s in injected_s[1:])],
        events=[(at_s + 2.6, "replayed") for at_s in injected_s[1:]],
    )  # fmt: skip
    shard = trial(
        "sharded", "shard-0-primary", [1.3, 1.5, 20.0, 1.2, 1.4],
        healed_s=[None, *(at_s + 5.0 for at_s in injected_s[1:])],
        events=[
            NodeEvent("sharded", 1, at_s + after_s, "failover", step, {"target": node})
            for at_s in injected_s[1:]
            for step, after_s, node in [
                ("detected", 0.9, "shard-0-primary"), ("decided", 0.91, "shard-0-replica"),
                ("promoted", 0.95, "shard-0-replica"), ("redundant", 7.5, "shard-0-primary"),
            ]
        ],
    )  # fmt: skip
    given = evidence(server, shard, operator_notice_s=1.5, operator_decide_s=0.5)
    return render(analyse(given, PUBLISHED), FOLDER)


def interrupted() -> RenderableType:
    cut = replace(quick()[0], status="interrupted", outages=[], injected_s=[])
    given = with_manifest(
        evidence(cut, trials=[{}, {}, {}]),
        ended="interrupted",
        reached="monolith trial 1, in its steady phase, at 13 s",
    )
    return render(analyse(given, PUBLISHED), FOLDER)


def nothing() -> RenderableType:
    given = evidence(Scripted())
    given = with_manifest(
        given, trials=(), ended="failed", reached="", error="mariadbd is missing: apt-get install it"
    )
    return render(analyse(given), FOLDER)


def compared() -> RenderableType:
    return render_comparisons([comparison()])


def comparison() -> Comparison:
    stages = (("warmup", "warmup", 0.0, 1.0), ("steady", "steady", 1.0, 4.0))
    one, other = (
        evidence(
            *(
                Scripted(trial=n, stages=stages, seed=seed + n, mean_response_ms=ms, cpu_us=200 * ms)
                for n in range(1, 6)
            ),
            Scripted("sharded", stages=stages, seed=seed),
        )
        for seed, ms in ((0, 4.0), (50, 2.0))
    )
    other = with_manifest(other, host=replace(HOST, fingerprint="beef"), run="20260302-080000-quick")
    return compare(recorded(one), recorded(other), force=True)


VIEWS = {view.__name__: view for view in (complete, three_trials, repeated, interrupted, nothing, compared)}


def printed(view: RenderableType, *, width: int = 80, terminal: bool = False) -> str:
    out = io.StringIO()
    Console(
        file=out, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None
    ).print(view, crop=False)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


@pytest.mark.parametrize("name", VIEWS)
def test_the_view_is_the_golden_one(name: str) -> None:
    assert printed(VIEWS[name]()) == (GOLDEN / f"{name}.txt").read_text()


def test_the_markdown_is_the_golden_one() -> None:
    assert markdown([comparison()]) == (GOLDEN / "compared.md").read_text()


def test_text_from_a_run_folder_is_no_markup_in_markdown() -> None:
    hostile = replace(
        comparison(), contender="a`|<img>", lacking=("x: <script>alert(1)</script> @team [a](b)",)
    )
    text = markdown([hostile])
    assert "<script>" not in text
    assert "\\@team \\[a\\](b)" in text
    assert "`a'|<img>`" in text  # between backticks it stands as it is


@pytest.mark.parametrize("name", VIEWS)
def test_no_line_is_wider_than_80_columns_however_wide_the_terminal(name: str) -> None:
    for width in (80, 200):
        lines = printed(VIEWS[name](), width=width).splitlines()
        assert [line for line in lines if cell_len(line) > 80] == []


def test_piped_there_is_no_escape_and_in_a_terminal_there_is() -> None:
    view = complete()
    assert "\x1b" not in printed(view)
    assert "\x1b[1m" in printed(view, terminal=True)


def test_a_loss_and_a_recovery_that_never_came_are_red_in_a_terminal() -> None:
    text = printed(complete(), terminal=True)
    assert re.search(r"\x1b\[1;31m *>39\.0\x1b", text)
    assert re.search(r"\x1b\[1;31m *2\x1b", text)


def test_in_a_narrow_terminal_figures_are_folded_and_never_cut() -> None:
    text = printed(complete(), width=60)
    assert "…" not in text
    assert max(map(cell_len, text.splitlines()[:20])) <= 60
    row = text.splitlines().index(next(line for line in text.splitlines() if line.startswith("monoli")))
    assert {"402", "2.82", "18.0", "19.0", "3.90", "797"} <= set(text.splitlines()[row].split())


def test_the_published_figures_and_ratios_stand_in_the_table() -> None:
    text = printed(complete())
    for figure in (
        "50,000",
        "300,000",
        "1,000,000",
        "43,200",
        "1,800",
        "×6.00",
        "×20.0",
        "×0.375",
        "×0.00694",
    ):
        assert figure in text


def test_zero_losses_are_printed_with_their_bound() -> None:
    assert "0 of 24,005 lost: rate ≤ 0.013 % at 95 %" in printed(complete())


def test_an_unknown_audit_is_doubted_in_the_table_and_explained_beneath() -> None:
    given = evidence(quick()[0])
    given = replace(given, audit=given.audit.assign(verdict="unknown", detail="3 people were offline"))
    text = printed(render(analyse(given)))
    assert " 0? " in text
    assert "unknown, as not all was accounted for (3 people were offline)" in " ".join(text.split())


def test_what_the_audit_found_fault_with_is_named_by_kind_with_its_blame() -> None:
    given = evidence(quick()[0])
    lost = [
        AuditFindingRow("monolith", 1, "lost", f"1f.0.2.{n}", "u1", "u2", "fault", 21.5 + n, "")
        for n in range(5)
    ]
    twice = AuditFindingRow(
        "monolith", 1, "duplicated", "1f.0.9", "u3", "g1", "steady", 7.0, "at u5, sent once"
    )
    counts: dict[str, Any] = {
        "lost": 5,
        "duplicated": 1,
        "duplicated_by_resend": 0,
        "duplicated_by_server": 1,
        "verdict": "violated",
    }
    given = replace(
        given, findings=frame(AuditFindingRow, [*lost, twice]), audit=given.audit.assign(**counts)
    )
    text = printed(render(analyse(given)))
    assert max(map(cell_len, text.splitlines())) <= 80
    said = " ".join(text.split())
    assert "5 of 24,005 lost, 1 duplicated (0 sent again by their clients, 1 by the server)" in said
    assert (
        "lost: 1f.0.2.0, u1 → u2, trial 1, fault phase at 21.50 s, 0.50 s after kill server (fault 1)" in said
    )
    assert "lost: 2 more in audit_findings.csv" in said
    assert "duplicated: 1f.0.9, u3 → g1, trial 1, steady phase at 7.00 s, at u5, sent once" in said


def test_a_trial_that_failed_is_named_with_its_reason() -> None:
    given = evidence(quick()[0])
    failed = Trial("sharded", 1, "failed", 0, detail="api-1 ended with 1 while starting")
    view = render(analyse(with_manifest(given, trials=(*given.manifest.trials, failed)), PUBLISHED))
    text = printed(view)
    assert "sharded trial 1: failed: api-1 ended with 1 while starting" in text
    assert "sharded *" in text


def test_the_path_of_the_run_is_whole_on_a_narrow_terminal() -> None:
    folder = Path("a-folder" * 20)
    shown = printed(render(analyse(evidence(*quick())), folder), width=80)
    assert shown.splitlines()[-1] == str(folder)


if __name__ == "__main__":
    for view_name, view in VIEWS.items():
        (GOLDEN / f"{view_name}.txt").write_text(printed(view()))
    (GOLDEN / "compared.md").write_text(markdown([comparison()]))

"""`bench compare`, `published`, `history` and `export` as they are called: formats, exit codes, mistakes in one line."""

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli import main
from bench.results import RunFolder
from tests.unit.analysis.synthetic import with_manifest
from tests.unit.saved import NOW, analysed, saved, small

BASE = small(5)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five runs: two equal systems, one slower, one that lost messages, one of another plan."""
    root = tmp_path_factory.mktemp("results")
    days = iter(NOW + timedelta(days=n) for n in range(9))
    for name, given in (
        ("base", BASE),
        ("equal", BASE),
        ("slower", small(5, slower=2, seed=50)),
        ("lossy", small(5, slower=0.5, seed=70, lost=1)),
        ("other", replace(with_manifest(BASE, plan_digest="def"), plan={**BASE.plan, "clients": 9})),
    ):
        analysed(root, given, name, next(days))
    return root


def bench(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--results", str(root), *words])


def named(root: Path, name: str) -> str:
    return next(path.name for path in root.iterdir() if path.name.endswith(f"-{name}"))


@pytest.mark.parametrize(
    ("contenders", "code"),
    [(["slower"], 3), (["lossy"], 3), (["equal"], 0), (["equal", "slower"], 3)],
)
def test_the_exit_code_is_the_verdicts(root: Path, contenders: list[str], code: int) -> None:
    done = bench(root, "compare", named(root, "base"), *(named(root, name) for name in contenders))
    assert done.exit_code == code, done.output


def test_a_system_that_became_quicker_exits_0_and_too_few_trials_exit_5(root: Path, tmp_path: Path) -> None:
    assert bench(root, "compare", named(root, "slower"), named(root, "base")).exit_code == 0
    one = analysed(tmp_path, small(2), "one")
    assert bench(tmp_path, "compare", one.path.name, one.path.name).exit_code == 5


def test_json_and_csv_have_a_row_a_figure_and_say_the_same(root: Path) -> None:
    words = ("compare", named(root, "base"), named(root, "slower"))
    whole = json.loads(bench(root, *words, "--format", "json").output)
    rows = list(csv.DictReader(io.StringIO(bench(root, *words, "--format", "csv").output)))
    (comparison,) = whole["comparisons"]
    assert comparison["word"] == "worse"
    assert [row["word"] for row in rows] == [row["word"] for row in comparison["rows"]]
    cpu = next(row for row in rows if row["figure"] == "cpu_us_per_transaction")
    assert (cpu["word"], cpu["primary"], float(cpu["ratio"]) > 1.8) == ("worse", "true", True)


def test_markdown_begins_with_the_verdict(root: Path) -> None:
    done = bench(root, "compare", named(root, "base"), named(root, "slower"), "--format", "markdown")
    assert done.output.startswith("### ❌ worse: `")


def test_two_runs_of_different_plans_are_one_line_and_exit_2(root: Path) -> None:
    done = bench(root, "compare", named(root, "base"), named(root, "other"))
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "plan: clients: 50 v 9" in done.stderr
    assert "--between plan" in done.stderr
    forced = bench(root, "compare", named(root, "base"), named(root, "other"), "--force")
    assert "Forced: these runs are not comparable" in forced.output


def test_a_folder_of_a_run_that_never_finished_is_compared_and_says_so(root: Path, tmp_path: Path) -> None:
    cut = saved(tmp_path, with_manifest(BASE, ended="running", trials=BASE.manifest.trials[:2]), "cut")
    done = bench(root, "compare", named(root, "base"), str(cut.path))
    assert done.exit_code == 5
    assert "the run never finished: 2 of 5 trials" in done.output


def test_a_folder_in_which_nothing_was_measured_is_one_line_and_exit_2(root: Path, tmp_path: Path) -> None:
    empty = RunFolder.create(tmp_path, "empty", NOW)
    empty.write_manifest(with_manifest(BASE, trials=(), status="planned", ended="running").manifest)
    empty.write_plan(json.dumps(dict(BASE.plan)))
    done = bench(root, "compare", named(root, "base"), str(empty.path))
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert "there is nothing to compare" in done.stderr


def test_a_phase_that_is_not_there_is_named_with_those_that_are(root: Path) -> None:
    done = bench(root, "compare", named(root, "base"), named(root, "equal"), "--phase", "stable")
    assert done.exit_code == 2
    assert "no phase 'stable': expected one of warmup, steady" in done.stderr


def test_noise_of_further_runs_widens_the_margin(root: Path) -> None:
    words = ("compare", named(root, "base"), named(root, "equal"), "--format", "csv")

    def margin(*more: str) -> float:
        rows = csv.DictReader(io.StringIO(bench(root, *words, *more).output))
        return next(float(row["margin_ratio"]) for row in rows if row["figure"] == "cpu_us_per_transaction")

    assert margin("--noise", named(root, "slower")) > 2 * margin()
    done = bench(root, *words, "--noise", named(root, "other"))
    assert (done.exit_code, "is no further run of" in done.stderr) == (2, True)


def test_the_published_table_is_beside_a_run_and_another_can_be_named(root: Path, tmp_path: Path) -> None:
    run = named(root, "base")
    shown = bench(root, "published", run)
    assert shown.exit_code == 0, shown.output
    assert "untestable here: it is of a cluster" in shown.output
    assert max(len(line) for line in shown.output.splitlines()) <= 80
    other = tmp_path / "claims.csv"
    header = "generation,year,architecture,throughput_tps,response_time_ms,recovery_time_s\n"
    other.write_text(f"{header}monolith,2001,mainframe,7,8,9\n")
    cells = json.loads(bench(root, "published", run, "--table", str(other), "--format", "json").output)[
        "cells"
    ]
    assert [cell["published"] for cell in cells] == [7, 8, 9]
    other.write_text(f"{header}monolith,2001,mainframe,7,8,9\nmonolith,2001,mainframe,7,8,9\n")
    twice = bench(root, "published", run, "--table", str(other))
    assert (twice.exit_code, "line 3: monolith stands there a second time" in twice.stderr) == (2, True)


def test_one_generation_is_not_said_twice_to_the_published_table(root: Path) -> None:
    done = bench(root, "published", named(root, "base"), named(root, "equal"))
    assert (done.exit_code, "says the same of monolith" in done.stderr) == (2, True)


def test_history_has_a_series_a_plan_and_names_what_it_passes_over(root: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(bench(root, "history", "--format", "csv").output)))
    assert len({row["plan"] for row in rows}) == 2
    assert "4 runs" in bench(root, "history").output
    saved(tmp_path, BASE, "raw")
    assert "not analysed" in bench(tmp_path, "history").output


def test_a_table_is_printed_or_written(root: Path, tmp_path: Path) -> None:
    run = named(root, "base")
    printed = bench(root, "export", run, "--format", "json", "--table", "trials", "--to", "-")
    assert len(json.loads(printed.output)) == 5
    written = bench(root, "export", run, "--format", "csv", "--to", str(tmp_path / "out"))
    assert written.exit_code == 0, written.output
    assert (tmp_path / "out" / "summary.csv").exists()
    assert bench(root, "export", run, "--format", "csv", "--to", "-").exit_code == 2


def test_figures_lay_the_sides_over_each_other_and_need_run_folders(root: Path, tmp_path: Path) -> None:
    into = tmp_path / "figures"
    done = bench(root, "compare", named(root, "base"), named(root, "slower"), "--figures", str(into))
    assert done.exit_code == 3, done.output
    names = sorted(path.name for path in into.iterdir())
    assert len(names) % 4 == 0
    assert {name.split("-", 2)[2] for name in names} == {
        f"compared-{what}.{form}" for what in ("percentiles", "timeline") for form in ("svg", "png")
    }
    drawn = (into / names[1]).read_text()
    assert drawn.startswith("<svg")
    csv_alone = str(root / named(root, "base") / "summary.csv")
    refused = bench(root, "compare", csv_alone, csv_alone, "--figures", str(into))
    assert refused.exit_code == 2
    assert "holds no histograms" in refused.output

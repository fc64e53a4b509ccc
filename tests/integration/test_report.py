"""`bench report` on a run folder: the page, the figures, the JSON, and the same from a copy elsewhere."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli import main
from bench.results import RunFolder
from tests.unit.analysis.synthetic import Outage, Scripted, evidence
from tests.unit.analysis.test_analyse import write
from tests.unit.test_claims import search


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = evidence(Scripted(rate_per_s=60, outages=[Outage(21, 25)], injected_s=[21]))
    made = RunFolder.create(tmp_path_factory.mktemp("results"), "quick", datetime(2026, 3, 1, tzinfo=UTC))
    write(made, given)
    return made.path


def report(*words: str) -> Result:
    return CliRunner().invoke(main, ["report", *words])


def test_a_copied_folder_gives_the_same_page_and_the_same_words(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    first, again = report(str(folder)), report(str(copy))
    assert first.exit_code == again.exit_code == 0
    assert first.output.replace(str(folder), "X") == again.output.replace(str(copy), "X")
    assert f"page: {copy / 'report.html'}" in again.output
    assert (folder / "report.html").read_bytes() == (copy / "report.html").read_bytes()


def test_figures_are_written_as_svg_and_png(folder: Path, tmp_path: Path) -> None:
    said = report(str(folder), "--html", str(tmp_path / "page.html"), "--figures", str(tmp_path / "figures"))
    assert said.exit_code == 0
    assert (tmp_path / "page.html").is_file()
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert {"percentiles", "cpu", "recovery-phases", "over-time-monolith", "fault-monolith-1-1"} == names
    assert len(list((tmp_path / "figures").iterdir())) == 2 * len(names)


def test_json_is_all_that_is_printed_for_machines(folder: Path) -> None:
    said = report(str(folder), "--json")
    assert said.exit_code == 0
    assert json.loads(said.stdout)["headlines"][0]["generation"] == "monolith"


def test_a_place_that_cannot_be_written_to_is_one_line(folder: Path, tmp_path: Path) -> None:
    said = report(str(folder), "--html", str(tmp_path / "nowhere" / "page.html"))
    assert said.exit_code == 2
    assert said.stderr.splitlines()[-1].startswith(f"bench: {tmp_path / 'nowhere' / 'page.html'}: ")


def test_a_search_for_capacity_is_a_page_too(tmp_path: Path) -> None:
    said = report(str(search(tmp_path).path), "--figures", str(tmp_path / "figures"))
    assert said.exit_code == 0, said.output
    (written,) = tmp_path.glob("*/report.html")
    page = written.read_text()
    assert "5,880" in page
    assert "all goals met" in page
    assert "4 goals missed" in page

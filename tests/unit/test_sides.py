"""What a comparison is given on the command line: runs, generations, files, and everything that is wrong with them."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bench.errors import UserError
from bench.sides import MOST_BYTES, read_analysed, read_side
from tests.unit.saved import analysed, saved, small


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    analysed(root, small(2), "one")
    return root


@pytest.fixture
def summary(root: Path, tmp_path: Path) -> Path:
    """A summary.csv alone, to be spoilt."""
    (given,) = root.glob("*/summary.csv")
    copy = tmp_path / "summary.csv"
    copy.write_bytes(given.read_bytes())
    return copy


def test_a_run_is_found_by_name_and_a_generation_within_it(root: Path) -> None:
    whole, part = read_side(root, "latest"), read_side(root, "latest:monolith")
    assert (whole.only, part.only, whole.name) == (None, "monolith", part.name)
    with pytest.raises(UserError, match="no trial of sharded: expected one of monolith"):
        read_side(root, "latest:sharded")


def test_an_analysed_run_is_read_from_its_tables_and_another_is_analysed(root: Path, tmp_path: Path) -> None:
    folder = saved(tmp_path, small(2), "one")
    here, there = read_side(root, "latest"), read_side(tmp_path, "latest")
    assert here.summary is not None
    assert there.summary is not None
    pd.testing.assert_frame_equal(here.summary, there.summary)
    assert not (folder.path / "summary.csv").exists()  # it is not ours to write


def test_a_file_alone_and_a_folder_of_files_hold_what_they_hold(summary: Path, root: Path) -> None:
    alone = read_side(root, str(summary))
    assert (alone.manifest, alone.audit, alone.summary is not None) == (None, None, True)
    (audit,) = root.glob("*/audit.csv")
    (summary.parent / "audit.csv").write_bytes(audit.read_bytes())
    both = read_side(root, str(summary.parent))
    assert both.audit is not None
    assert both.summary is not None
    assert both.name == str(summary.parent)


def line(text: str, number: int, change: Callable[[str], str]) -> str:
    lines = text.splitlines(keepends=True)
    lines[number - 1] = change(lines[number - 1])
    return "".join(lines)


def number_of(text: str, metric: str) -> int:
    return next(at for at, row in enumerate(text.splitlines(), start=1) if f",{metric}," in row)


def changed(metric: str, change: Callable[[str], str]) -> Callable[[bytes], bytes]:
    return lambda data: line(data.decode(), number_of(data.decode(), metric), change).encode()


SPOILT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda data: data[:-10], r"line \d+: cut off"),
    "empty": (lambda data: b"", "line 1: the file is empty: expected a header"),
    "binary": (lambda data: bytes(range(256)) * 9, r"line 1: byte 0x80 is not UTF-8|zero byte"),
    "UTF-16": (lambda data: data.decode().encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
    "Latin-1": (lambda data: data.replace(b"steady", b"gr\xfcn", 1), r"line \d+: byte 0xfc is not UTF-8"),
    "an image": (lambda data: b"\x89PNG\r\n\x1a\n\0\0", "line 1: byte 0x89 is not UTF-8"),
    "another table": (lambda data: b"a,b\n1,2\n", "line 1: a,b: expected the header of summary.csv"),
    "future schema": (lambda data: data.replace(b",n\n", b",n,quality\n", 1), r"line 1: column 'quality' is not known up to"),
    "missing column": (lambda data: re.sub(rb",[^,\n]*\n", b"\n", data), "line 1: column 'n' is missing"),
    "NaN": (changed("tps", lambda row: re.sub(r"tps,[^,]*", "tps,NaN", row)), "column 'value': expected a number, or nothing, got 'NaN'"),
    "infinity": (changed("tps", lambda row: re.sub(r"tps,[^,]*", "tps,inf", row)), "column 'value': expected a number"),
    "negative": (changed("response_p99", lambda row: re.sub(r"p99,[^,]*", "p99,-3.5", row)), "column 'value': response_p99 of -"),
    "negative count": (changed("tps", lambda row: re.sub(r"[0-9]+$", "-1", row)), "column 'n': expected a whole number, not negative, got '-1'"),
    "mixed units": (changed("response_p99", lambda row: row.replace(",ms,", ",s,")), "column 'unit': response_p99 in 's': expected 'ms'"),
    "a row twice": (changed("tps", lambda row: row + row), "tps of monolith trial 1 in .* stands there a second time"),
    "a word for a number": (changed("tps", lambda row: row.replace("monolith,1", "monolith,one")), "column 'trial': expected a whole number"),
    "a trial beyond counting": (changed("tps", lambda row: row.replace("monolith,1", "monolith," + "9" * 400)), "column 'trial': expected a whole"),
    "a comma too many": (changed("tps", lambda row: "," + row), r"line \d+: 9 cells: expected 8"),
    "an open quote": (changed("tps", lambda row: '"' + row), "expected CSV"),
    "semicolons": (lambda data: data.replace(b",", b";"), "line 1: .*expected the header of summary.csv"),
    "a huge cell": (lambda data: data + b"x" * 200_000 + b"\n", "field larger than field limit|cells: expected"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_file_is_refused_in_one_line(what: str, summary: Path, root: Path) -> None:
    spoil, says = SPOILT[what]
    summary.write_bytes(spoil(summary.read_bytes()))
    with pytest.raises(UserError, match=says) as caught:
        read_side(root, str(summary))
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(summary))
    assert len(text) < 500
    assert caught.value.exit_code == 2


def test_a_file_larger_than_any_run_writes_is_not_even_read(summary: Path, root: Path) -> None:
    with summary.open("ab") as out:
        out.truncate(MOST_BYTES + 1)
    with pytest.raises(UserError, match="expected at most 1,073,741,824, which no run needs"):
        read_side(root, str(summary))


def test_trials_alone_hold_no_figure(root: Path) -> None:
    (trials,) = root.glob("*/trials.csv")
    with pytest.raises(UserError, match="holds no figure: expected summary.csv"):
        read_side(root, str(trials))


def test_a_folder_of_neither_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no manifest\.json in it: expected a run folder, or one with some of"
    ):
        read_side(root, str(tmp_path))


def test_what_cannot_be_read_is_passed_over_in_a_history_and_named(tmp_path: Path) -> None:
    analysed(tmp_path, small(), "good")
    saved(tmp_path, small(), "unanalysed")
    broken = analysed(tmp_path, small(), "zbroken")
    (broken.path / "summary.csv").write_text("half")
    future = json.loads((broken.path / "manifest.json").read_text())
    newer = analysed(tmp_path, small(), "znewer")
    (newer.path / "manifest.json").write_text(json.dumps({**future, "schema_version": 99}))
    runs, passed_over = read_analysed(tmp_path, None)
    assert len(runs) == 1
    assert [text.partition(": ")[2][:12] for text in passed_over] == [
        "not analysed",
        "line 1: cut ",
        "schema_versi",
    ]

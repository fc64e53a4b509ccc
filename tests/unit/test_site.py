from pathlib import Path

from bench.conductor.site import WORK, clear_leftovers, clear_work


def left_in(results: Path) -> Path:
    folder = results / WORK / "20261125-run-monolith-1" / "data"
    folder.mkdir(parents=True)
    (folder / "journal").write_bytes(bytes(3_000_000))
    return results


def test_what_a_killed_run_left_is_cleared_aloud(tmp_path: Path) -> None:
    said: list[str] = []
    clear_leftovers(left_in(tmp_path), said.append)
    assert not (tmp_path / WORK).exists()
    (line,) = said
    assert line.startswith("cleared what a run that was killed left: 1 folder(s), ")
    assert line.endswith(" MB")


def test_where_nothing_was_left_nothing_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    clear_leftovers(tmp_path, said.append)
    clear_work(left_in(tmp_path))
    assert not (tmp_path / WORK).exists()
    assert said == []

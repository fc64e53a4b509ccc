"""The parts of failover that can be known without a server."""

from pathlib import Path

import pytest

from services.sharded.rebuild import _after
from services.sharded.server import number
from services.sharded.state import ShardState, StateFile


@pytest.mark.parametrize(
    ("position", "expected"), [("", 0), ("0-1-57", 57), ("0-2-9,", 9), ("0-1-3,0-2-12", 12)]
)
def test_a_position_is_the_number_of_its_last_commit(position: str, expected: int) -> None:
    assert number(position) == expected


def test_rows_behind_a_key_are_spelled_out() -> None:
    assert _after(["a"], ["'1'"]) == "((`a`>'1'))"
    assert _after(["a", "b"], ["'1'", "'2'"]) == "((`a`>'1') OR (`a`='1' AND `b`>'2'))"


def test_what_was_put_is_there_in_the_next_life(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    first = StateFile(path, 2)
    assert first.get(1) == ShardState()
    changed = first.get(1).changed(epoch=3, primary=1, standing="former", fork=41, alone=True)
    first.put(1, changed)
    assert StateFile(path, 2).get(1) == changed
    assert StateFile(path, 2).get(0) == ShardState()
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_the_state_of_another_number_of_shards_is_refused(tmp_path: Path) -> None:
    StateFile(tmp_path / "state.json", 2).put(0, ShardState())
    with pytest.raises(ValueError, match="tells of 2 shards"):
        StateFile(tmp_path / "state.json", 3)

"""The messages of a history: the same from the same seed, whichever way one goes through them."""

import json
import zlib
from pathlib import Path

import pytest

from bench.load.message_id import MessageId
from services.history import History, HistoryConfig
from services.monolith.history import Config, _fill
from services.monolith.journal import Journal
from services.monolith.state import State
from services.runtime import ConfigError, Node, People

BODIES = ["é <&>", "two", "three"]


def config(folder: Path, messages: int = 1_000, persons: int = 7, count: int = 9) -> Config:
    (folder / "bodies.json").write_text(json.dumps(BODIES))
    return Config(
        node="history",
        people=People(count=count),
        messages=messages,
        persons=persons,
        seed=3,
        run=0xFEED,
        bodies_file=folder / "bodies.json",
        positions_file=folder / "positions.json",
        data_dir=folder / "data",
    )


def test_everybodys_messages_together_are_all_messages(tmp_path: Path) -> None:
    history = History(config(tmp_path))
    everything = list(history.in_order())
    assert sorted(m for person in range(7) for m in history.of(person)) == everything
    assert {m.addressee for m in everything} == set(range(7))
    assert all(m.sender != m.addressee and 0 <= m.sender < 7 for m in everything)
    assert {m.body for m in everything} == set(BODIES)


def test_a_longer_history_begins_with_the_shorter_one(tmp_path: Path) -> None:
    short, long = (list(History(config(tmp_path, n)).in_order()) for n in (50, 500))
    assert long[:50] == short


def test_ids_are_those_of_a_run_of_their_own_and_say_what_the_body_is(tmp_path: Path) -> None:
    messages = list(History(config(tmp_path)).in_order())
    assert len({m.message_id for m in messages}) == len(messages)
    for message in messages:
        parsed = MessageId.parse(message.message_id)
        assert parsed is not None
        assert (parsed.run, parsed.sequence) == (0xFEED, message.number)
        assert parsed.crc == zlib.crc32(message.body.encode())


def test_more_persons_than_accounts_and_no_bodies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="persons"):
        History(config(tmp_path, persons=10))
    sound: HistoryConfig = config(tmp_path)
    sound.bodies_file.write_text("[]")
    with pytest.raises(ConfigError, match="no body"):
        History(sound)


def test_the_monoliths_journal_is_sound_and_leaves_nothing_undelivered(tmp_path: Path) -> None:
    written = config(tmp_path)
    _fill(Node(written), written)
    state = State(250_000)
    _, replayed = Journal.open(written.data_dir, state)
    assert (replayed.truncated_bytes, replayed.snapshot_bytes) == (0, 0)
    assert replayed.bytes == sum(path.stat().st_size for path in written.data_dir.iterdir())
    assert not state.undelivered
    assert state.next_number == 1_001
    assert all(f"{m.sender} {m.message_id}" in state.taken for m in History(written).in_order())

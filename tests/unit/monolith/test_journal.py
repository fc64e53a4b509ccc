"""The journal after crashes at every point: what was flushed is there, what was torn is cut off."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from services.monolith import journal as journal_module
from services.monolith.journal import Journal, JournalDamaged, Replayed
from services.monolith.records import (
    MAGIC,
    Delivered,
    End,
    GroupMessage,
    Keys,
    Message,
    Record,
    encode,
    encode_all,
)
from services.monolith.state import RecentKeys, State

WINDOW = 1_000


def message(number: int) -> Message:
    return Message(
        number, 1_700_000_000_000 + number, number % 7, 3, f"id-{number}-ä", b"<message>%d</message>" % number
    )


def group_message(first: int, *addressees: int) -> GroupMessage:
    """A message to a group as it was taken: its numbers follow one another."""
    numbers = tuple(range(first, first + len(addressees)))
    stanza = b"<message>to all, %d</message>" % first
    return GroupMessage(1_700_000_000_000 + first, 5, f"g-{first}-ä", stanza, numbers, addressees)


def reopen(folder: Path) -> tuple[State, Replayed]:
    state = State(WINDOW)
    journal, replayed = Journal.open(folder, state)
    journal.close()
    return state, replayed


def written(folder: Path, *records: Record) -> None:
    journal, _ = Journal.open(folder, State(WINDOW))
    journal.write(b"".join(map(encode, records)))
    journal.close()


def test_what_was_written_is_replayed(tmp_path: Path) -> None:
    written(tmp_path, message(1), message(2), Delivered((1,)))
    written(tmp_path, message(3))
    state, replayed = reopen(tmp_path)
    assert state.undelivered == {2: message(2), 3: message(3)}
    assert message(1).key in state.taken
    assert state.next_number == 4
    assert replayed.records == 4
    assert replayed.truncated_bytes == 0


def test_a_message_to_a_group_is_replayed_for_each_who_does_not_have_it(tmp_path: Path) -> None:
    written(tmp_path, message(1), group_message(2, 9, 8, 7), message(5), Delivered((3, 5)))
    state, replayed = reopen(tmp_path)
    assert replayed.records == 4
    assert [(held.number, held.addressee) for held in state.undelivered.values()] == [(1, 3), (2, 9), (4, 7)]
    two, four = state.undelivered[2], state.undelivered[4]
    assert two.shared
    assert two.stanza is four.stanza
    assert (two.sender, two.message_id, two.stored_ms) == (5, "g-2-ä", 1_700_000_000_002)
    assert group_message(2, 9).key in state.taken
    assert state.next_number == 6


def test_a_message_to_a_group_of_one_is_only_remembered(tmp_path: Path) -> None:
    written(tmp_path, group_message(1))
    state, _ = reopen(tmp_path)
    assert not state.undelivered
    assert group_message(1).key in state.taken
    assert state.next_number == 1


def test_a_tail_torn_at_any_byte_is_cut_off_and_writing_goes_on(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    written(whole, message(1), group_message(2, 4, 6))
    data = (whole / "journal-00000001.log").read_bytes()
    first_end = len(MAGIC) + len(encode(message(1)))
    for size in range(len(data)):
        folder = tmp_path / f"torn-{size}"
        folder.mkdir()
        (folder / "journal-00000001.log").write_bytes(data[:size])
        written(folder, message(9))
        state, replayed = reopen(folder)
        assert list(state.undelivered) == ([1, 9] if size >= first_end else [9])
        assert replayed.truncated_bytes == 0


def test_a_record_with_a_wrong_checksum_ends_the_journal(tmp_path: Path) -> None:
    written(tmp_path, message(1), message(2))
    path = tmp_path / "journal-00000001.log"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    state, replayed = reopen(tmp_path)
    assert list(state.undelivered) == [1]
    assert replayed.truncated_bytes == len(encode(message(2)))
    assert path.stat().st_size == len(data) - replayed.truncated_bytes


def test_a_tail_of_zeros_is_no_record(tmp_path: Path) -> None:
    written(tmp_path, message(1))
    path = tmp_path / "journal-00000001.log"
    path.write_bytes(path.read_bytes() + bytes(4096))
    state, replayed = reopen(tmp_path)
    assert list(state.undelivered) == [1]
    assert replayed.truncated_bytes == 4096


def snapshotted(folder: Path) -> Journal:
    """A folder with messages 1 to 3, of which 1 arrived, at the moment a snapshot is due."""
    journal, _ = Journal.open(folder, State(WINDOW))
    records: list[Record] = [message(1), message(2), Delivered((1,)), message(3)]
    journal.write(b"".join(map(encode, records)))
    return journal


def state_bytes(folder: Path) -> bytes:
    state, _ = reopen(folder)
    return encode_all(state.records())


def test_a_snapshot_replaces_the_journals_before_it(tmp_path: Path) -> None:
    old = snapshotted(tmp_path)
    old.sync()
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tmp_path / "journal-00000001.log", copy)
    data = state_bytes(copy)
    following = old.rotate()
    following.keep_snapshot(data)
    following.write(encode(Delivered((2,))) + encode(message(4)))
    following.close()
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert names == ["journal-00000002.log", "snapshot-00000002.log"]
    state, replayed = reopen(tmp_path)
    assert list(state.undelivered) == [3, 4]
    assert all(message(number).key in state.taken for number in (1, 2, 3, 4))
    assert state.next_number == 5
    assert replayed.records == 2
    assert replayed.snapshot_bytes == len(data)


class Crash(Exception):
    """The process died here."""


@pytest.mark.parametrize(
    "step", ["created", "half written", "before rename", "after rename", "removing", "removed"]
)
def test_a_crash_at_any_step_of_a_snapshot_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    reference = tmp_path / "reference"
    snapshotted(reference).close()
    data = state_bytes(reference)
    folder = tmp_path / "crashed"
    following = snapshotted(folder).rotate()
    # What arrives meanwhile goes to the new journal, and the old one's messages may arrive there.
    following.write(encode(Delivered((2,))) + encode(message(4)))

    def crash(*_: object) -> None:
        raise Crash

    unlinked: list[Path] = []
    unlink = Path.unlink

    def unlink_once(path: Path) -> None:
        if unlinked:
            raise Crash
        unlinked.append(path)
        unlink(path)

    with monkeypatch.context() as patch:
        match step:
            case "half written":
                (folder / "snapshot-00000002.new").write_bytes(data[:-3])
            case "before rename":
                patch.setattr(Path, "rename", crash)
            case "after rename":
                patch.setattr(journal_module, "_remove_before", crash)
            case "removing":
                patch.setattr(Path, "unlink", unlink_once)
        if step in {"before rename", "after rename"}:
            with pytest.raises(Crash):
                following.keep_snapshot(data)
        elif step in {"removing", "removed"}:
            following.keep_snapshot(data)
    following.close()
    for _ in range(2):  # the second opening finds what the first one made of it
        state, _replayed = reopen(folder)
        assert list(state.undelivered) == [3, 4]
        assert all(message(number).key in state.taken for number in (1, 2, 3, 4))
        assert state.next_number == 5
        assert not list(folder.glob("*.new"))


def test_a_crash_while_the_next_journal_is_created_loses_nothing(tmp_path: Path) -> None:
    snapshotted(tmp_path).close()
    (tmp_path / "journal-00000002.log").write_bytes(MAGIC[:5])
    written(tmp_path, message(4))
    state, replayed = reopen(tmp_path)
    assert list(state.undelivered) == [2, 3, 4]
    assert replayed.records == 5


def test_damage_that_no_crash_can_leave_is_refused(tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    snapshotted(torn).rotate().close()
    path = torn / "journal-00000001.log"
    path.write_bytes(path.read_bytes()[:-1])
    missing = tmp_path / "missing"
    written(missing, message(1))
    (missing / "journal-00000001.log").rename(missing / "journal-00000002.log")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "journal-00000001.log").write_bytes(b"something else entirely")
    cut = tmp_path / "cut"
    following = snapshotted(cut).rotate()
    following.keep_snapshot(encode_all([message(2), End(4)])[:-1])
    following.close()
    for folder in (torn, missing, foreign, cut):
        with pytest.raises(JournalDamaged):
            Journal.open(folder, State(WINDOW))


def test_the_latest_keys_are_known_and_the_oldest_forgotten() -> None:
    keys = RecentKeys(100)
    for number in range(1_000):
        keys.add(str(number))
    assert all(str(number) in keys for number in range(900, 1_000))
    assert "0" not in keys
    assert len(list(keys)) <= 200
    assert list(keys)[-1] == "999"


def test_a_snapshot_of_a_state_gives_the_same_state() -> None:
    state = State(WINDOW)
    for number in range(1, 50):
        state.apply(message(number))
    state.apply(Delivered(tuple(range(1, 40))))
    state.apply(Keys(("1 other",)))
    copy = State(WINDOW)
    for record in state.records():
        copy.apply(record)
    assert copy.undelivered == state.undelivered
    assert copy.next_number == state.next_number
    assert set(copy.taken) == set(state.taken)


def test_a_snapshot_holds_a_message_to_a_group_once_for_all_who_still_wait() -> None:
    state = State(WINDOW)
    for taken in (message(1), group_message(2, 9, 8, 7), group_message(5, 9, 8), message(7)):
        state.apply(taken)
    state.apply(Delivered((1, 3, 5)))
    _, first, second, third, _ = state.records()
    assert first == replace(group_message(2), numbers=(2, 4), addressees=(9, 7))
    assert second == replace(group_message(5), numbers=(6,), addressees=(8,))
    assert third == message(7)
    copy = State(WINDOW)
    for record in state.records():
        copy.apply(record)
    assert copy.undelivered == state.undelivered
    assert copy.next_number == 8

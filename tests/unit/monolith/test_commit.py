"""Group commit: nothing is reported before its flush, everything in order, and no word after a failure."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.monolith.commit import GroupCommit
from services.monolith.journal import Journal
from services.monolith.metrics import Metrics
from services.monolith.records import Message
from services.monolith.state import State

WINDOW = 1_000


def message(number: int) -> Message:
    return Message(number, 0, 1, 2, f"id-{number}", b"<message>" + b"x" * 200 + b"</message>")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def journal_bytes(folder: Path) -> int:
    return next(folder.glob("journal-*.log")).stat().st_size


def opened(folder: Path, reported: list[int], *, snapshot_every_bytes: int = 0) -> GroupCommit[Message]:
    state = State(WINDOW)
    journal, _ = Journal.open(folder, state)

    def durable(entries: list[Message]) -> None:
        for entry in entries:
            state.apply(entry)
            reported.append(entry.number)

    return GroupCommit(
        journal,
        state,
        Metrics(CollectorRegistry()),
        snapshot_every_bytes=snapshot_every_bytes,
        on_durable=durable,
    )


async def test_nothing_is_reported_before_its_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[int] = []
    commit = opened(tmp_path, reported)
    gate = threading.Event()
    flushes = []
    sync = Journal.sync

    def gated(journal: Journal) -> None:
        flushes.append(journal.size_bytes)
        assert gate.wait(10)
        sync(journal)

    monkeypatch.setattr(Journal, "sync", gated)
    commit.submit(message(1), message(1))
    await until(lambda: len(flushes) == 1)
    for number in (2, 3, 4):
        commit.submit(message(number), message(number))
    commit.submit(message(5), None)  # a duplicate waits its turn too
    await asyncio.sleep(0)
    assert reported == []
    gate.set()
    await commit.flushed()
    assert reported == [1, 2, 3, 4, 5]
    assert len(flushes) == 2, "what gathered meanwhile shares one flush"
    await commit.close()
    state = State(WINDOW)
    Journal.open(tmp_path, state)[0].close()
    assert list(state.undelivered) == [1, 2, 3, 4]


async def test_after_a_failed_flush_nothing_is_reported_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[int] = []
    commit = opened(tmp_path, reported)

    def broken(_: Journal) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Journal, "sync", broken)
    commit.submit(message(1), message(1))
    with pytest.raises(OSError, match="Input/output"):
        await asyncio.wait_for(asyncio.shield(commit.failed), 10)
    monkeypatch.undo()
    commit.submit(message(2), message(2))
    await commit.close()
    assert reported == []


async def test_snapshots_are_taken_under_load_and_lose_nothing(tmp_path: Path) -> None:
    reported: list[int] = []
    commit = opened(tmp_path, reported, snapshot_every_bytes=2_000)
    for number in range(1, 301):
        commit.submit(message(number), message(number))
        if number % 3 == 0:
            await asyncio.sleep(0)
        if number % 50 == 0:
            await until(lambda number=number: len(reported) == number)  # type: ignore[misc]
            commit.note_delivered(number)
    await commit.flushed()
    await commit.close()
    assert reported == list(range(1, 301))
    state = State(WINDOW)
    journal, replayed = Journal.open(tmp_path, state)
    journal.close()
    assert replayed.snapshot_bytes > 0
    assert list(state.undelivered) == [number for number in range(1, 301) if number % 50]
    assert all(message(number).key in state.taken for number in range(1, 301))


async def test_notes_alone_reach_the_journal(tmp_path: Path) -> None:
    reported: list[int] = []
    commit = opened(tmp_path, reported)
    commit.submit(message(1), message(1))
    await commit.flushed()
    before = journal_bytes(tmp_path)
    commit.note_delivered(1)
    await until(lambda: journal_bytes(tmp_path) > before)
    await commit.close()
    state = State(WINDOW)
    Journal.open(tmp_path, state)[0].close()
    assert state.undelivered == {}

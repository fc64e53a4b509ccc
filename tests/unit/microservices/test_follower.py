"""Following a stream: every entry once, in order, whoever tells of it."""

import asyncio
from collections.abc import Callable

import pytest

from services.microservices import follower as follower_module
from services.microservices.bus import Unavailable
from services.microservices.follower import HOLE_AFTER_READS, Follower


class Stream:
    """A log that some server has up to `visible`; entries in `missing` are gone from all."""

    def __init__(self, count: int, *, page: int = 3, missing: frozenset[int] = frozenset()) -> None:
        self.count = count
        self.visible = count
        self.page = page
        self.missing = missing
        self.away = 0
        self.reads = 0

    async def read(self, after: int) -> tuple[list[tuple[int, bytes]], int]:
        await asyncio.sleep(0)
        self.reads += 1
        if self.away:
            self.away -= 1
            raise Unavailable("away")
        there = [n for n in range(after + 1, self.visible + 1) if n not in self.missing]
        return [(n, b"%d" % n) for n in there[: self.page]], max(0, len(there) - self.page)


class Following:
    """A follower, and what it applied and said."""

    def __init__(self, stream: Stream, *, last: int = 0) -> None:
        self.applied: list[int] = []
        self.fetched = 0
        self.retries = 0
        self.holes: list[tuple[int, int]] = []
        self.follower = Follower(
            stream,
            self._apply,
            last=last,
            fetched=self._fetch,
            retried=self._retry,
            hole=lambda after, to: self.holes.append((after, to)),
        )

    def _apply(self, sequence: int, record: bytes) -> None:
        assert record == b"%d" % sequence
        self.applied.append(sequence)

    def _fetch(self) -> None:
        self.fetched += 1

    def _retry(self) -> None:
        self.retries += 1

    async def run(self, *, until: Callable[[], bool]) -> None:
        task = asyncio.create_task(self.follower.run())
        async with asyncio.timeout(10):
            while not until():
                await asyncio.sleep(0)
        task.cancel()


async def test_all_that_is_there_is_fetched_before_it_has_caught_up() -> None:
    following = Following(Stream(10))
    await following.run(until=following.follower.caught_up.is_set)
    assert following.applied == list(range(1, 11))
    assert following.fetched == 10


async def test_it_begins_behind_what_is_known_already() -> None:
    following = Following(Stream(10), last=7)
    await following.run(until=following.follower.caught_up.is_set)
    assert following.applied == [8, 9, 10]


async def test_an_entry_told_of_is_taken_when_it_is_the_next_and_else_what_is_missing_is_fetched() -> None:
    stream = Stream(2)
    following = Following(stream)
    follower = following.follower
    await following.run(until=follower.caught_up.is_set)
    stream.count = stream.visible = 6
    assert follower.told(3, b"3")
    assert not follower.told(3, b"3")
    assert not follower.told(6, b"6")
    await following.run(until=lambda: len(following.applied) == 6)
    assert following.applied == [1, 2, 3, 4, 5, 6]
    assert following.fetched == 5


async def test_an_entry_that_is_only_known_of_is_fetched() -> None:
    stream = Stream(1)
    following = Following(stream)
    await following.run(until=following.follower.caught_up.is_set)
    stream.count = stream.visible = 2
    assert not following.follower.told(2, b"")
    await following.run(until=lambda: len(following.applied) == 2)
    assert following.applied == [1, 2]


async def test_a_log_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "RETRY_S", 0)
    stream = Stream(4)
    stream.away = 2
    following = Following(stream)
    await following.run(until=following.follower.caught_up.is_set)
    assert following.applied == [1, 2, 3, 4]
    assert following.retries == 2


async def test_a_hole_is_passed_and_said_only_once_it_is_sure() -> None:
    stream = Stream(6, missing=frozenset({3, 4}))
    following = Following(stream)
    await following.run(until=following.follower.caught_up.is_set)
    assert following.applied == [1, 2, 5, 6]
    assert following.holes == [(2, 5)]
    assert stream.reads > HOLE_AFTER_READS

"""Copying for a group's members: in order, whatever fails in between, and again after a death."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from prometheus_client import CollectorRegistry

from services.microservices import fan_out as fan_out_module
from services.microservices.bus import Unavailable
from services.microservices.fan_out import Copies, FanOut, parts
from services.microservices.groups import Groups
from services.microservices.log import partition_of
from services.microservices.mailbox import Mailboxes
from services.microservices.metrics import Operations
from services.runtime import People

PARTITION = 0
MEMBERS = [n for n in range(60) if partition_of(f"u{n}") == PARTITION][:4]
STRANGER = next(n for n in range(60) if partition_of(f"u{n}") != PARTITION)
NAMES = [f"u{n}" for n in MEMBERS]


class World:
    """A partition of the log, numbers, and a node that copies; either may be away for a few calls."""

    def __init__(self, folder: Path) -> None:
        path = folder / "groups.json"
        path.write_text(json.dumps([[*MEMBERS, STRANGER], [STRANGER]]))
        self.groups = Groups(People(count=60, groups_file=path))
        self.log: list[bytes] = []
        self.entry_ids: set[str] = set()
        self.fails = {"numbers": 0, "before": 0, "after": 0}
        self.room = 10**9
        self.numbers = 0
        self.copied = 0
        self.registry = CollectorRegistry()
        self._operations = Operations(self.registry, timed=["fan_out"], retried=["fan_out"])
        self._lives = 0

    def node(self, *, done: int = 0) -> FanOut:
        self._lives += 1
        return FanOut(
            PARTITION,
            f"group-{self._lives}",
            self.groups,
            done=done,
            take_numbers=self._take_numbers,
            store=self._store,
            operations=self._operations,
            copied=self._count,
        )

    def _count(self, copies: int) -> None:
        self.copied += copies

    def _fail(self, what: str) -> None:
        if self.fails[what]:
            self.fails[what] -= 1
            raise Unavailable(what)

    async def _take_numbers(self, users: list[str]) -> list[int]:
        self._fail("numbers")
        first, self.numbers = self.numbers + 1, self.numbers + len(users)
        return list(range(first, first + len(users)))

    async def _store(self, partition: int, entry_id: str, record: bytes) -> None:
        assert partition == PARTITION
        self._fail("before")
        if len(self.log) >= self.room:
            raise Unavailable("full")
        if entry_id not in self.entry_ids:  # as a stream does
            self.entry_ids.add(entry_id)
            self.log.append(record)
        self._fail("after")

    def mailbox(self, user: str) -> list[tuple[str, str]]:
        """(id, group) of each message of the user's, as `inbox` would fold the partition."""
        mailboxes = Mailboxes()
        for sequence, record in enumerate(self.log, 1):
            mailboxes.apply(sequence, record)
        items, _ = mailboxes.after(user, 0, most_items=10**6, most_bytes=10**9)
        told = [orjson.loads(item.frame) for item in items]
        return [(one["id"], one["group"]) for one in told]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def entry(*ids: str, sender: str = NAMES[0], group: str = "g0") -> bytes:
    return orjson.dumps([(sender, message_id, group, "body") for message_id in ids])


def retries(world: World) -> float:
    name, labels = "threegen_microservices_retries_total", {"operation": "fan_out"}
    return world.registry.get_sample_value(name, labels) or 0.0


async def run(node: FanOut, *, until: Callable[[], bool]) -> None:
    task = asyncio.create_task(node.run())
    async with asyncio.timeout(10):
        while not until():
            await asyncio.sleep(0)
    task.cancel()


async def test_every_member_but_the_sender_gets_a_copy_with_a_number_of_their_own(world: World) -> None:
    node = world.node()
    node.offer(1, entry("a"))
    node.offer(2, entry("b", sender=f"u{STRANGER}"))
    node.offer(3, entry("c", sender=f"u{STRANGER}", group="g1"))  # nobody here is in it
    await run(node, until=lambda: node.done == 3)
    assert world.mailbox(NAMES[0]) == [("b", "g0")]
    for name in NAMES[1:]:
        assert world.mailbox(name) == [("a", "g0"), ("b", "g0")]
    copies = [copy for record in world.log for copy in orjson.loads(record)]
    assert [number for copy in copies for number in copy[0]] == list(range(1, 8))
    assert world.copied == 7
    assert node.depth == 0


async def test_what_fails_is_tried_again_and_arrives_once_and_in_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out_module, "RETRY_S", 0)
    world.fails = {"numbers": 3, "before": 2, "after": 4}
    node = world.node()
    for sequence in range(1, 41):
        node.offer(sequence, entry(f"m{sequence}"))
    await run(node, until=lambda: node.done == 40)
    assert world.mailbox(NAMES[1]) == [(f"m{n}", "g0") for n in range(1, 41)]
    assert retries(world) == 9


async def test_done_does_not_pass_an_entry_that_is_not_stored_wholly(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out_module, "RETRY_S", 0)
    monkeypatch.setattr(fan_out_module, "PART_COPIES", 3)
    node = world.node()
    node.offer(1, entry("a", "b"))  # in two parts
    world.room = 1
    await run(node, until=lambda: retries(world) > 5)
    assert (len(world.log), node.done) == (1, 0)


@pytest.mark.parametrize("known", [0, 3, 5])
async def test_the_next_node_begins_where_it_was_last_known_and_nobody_gets_anything_twice(
    world: World, known: int
) -> None:
    first = world.node()
    entries = {n: entry(f"m{n}") for n in range(1, 9)}
    for n in range(1, 6):
        first.offer(n, entries[n])
    await run(first, until=lambda: first.done == 5)
    second = world.node(done=known)
    for n, record in entries.items():
        second.offer(n, record)
    await run(second, until=lambda: second.done == 8)
    for name in NAMES[1:]:
        assert world.mailbox(name) == [(f"m{n}", "g0") for n in range(1, 9)]


def test_parts_fit_into_a_record_and_keep_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out_module, "PART_COPIES", 5)
    monkeypatch.setattr(fan_out_module, "PART_BYTES", 100)
    sizes = [(2, 10), (3, 10), (1, 10), (9, 10), (1, 60), (1, 60), (1, 300), (1, 1)]
    copies = [Copies("u0", f"m{n}", "g0", "x" * size, ["u1"] * many) for n, (many, size) in enumerate(sizes)]
    divided = list(parts(copies))
    assert [one for part in divided for one in part] == copies
    assert [len(part) for part in divided] == [2, 1, 1, 1, 1, 1, 1]
    assert list(parts([])) == []

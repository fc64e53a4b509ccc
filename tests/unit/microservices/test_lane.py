import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import orjson
from prometheus_client import CollectorRegistry

from services.microservices import lane as lane_module
from services.microservices.bus import Unavailable
from services.microservices.lane import Lane
from services.microservices.metrics import Messages, Operations
from services.microservices.session import Session
from tests.unit.microservices.transport import Transport


def session(transport: Transport) -> Session:
    return Session("u1", 1, person=1, position=0, since=1, transport=transport)


def lane(
    ask: Callable[[bytes, float], Awaitable[bytes]],
    capacity: int = 10,
    registry: CollectorRegistry | None = None,
) -> Lane:
    registry = registry or CollectorRegistry()
    operations = Operations(registry, timed=["send_batch"], retried=["send_batch"])
    return Lane(0, "g", ask, operations, Messages(registry), capacity=capacity)


async def carried(subject: Lane, *, until: Callable[[], bool]) -> None:
    task = asyncio.create_task(subject.run())
    async with asyncio.timeout(10):
        while not until():
            await asyncio.sleep(0)
    task.cancel()


async def test_a_batch_without_an_answer_is_sent_again_the_same_before_the_next() -> None:
    asked: list[list[object]] = []

    async def ask(payload: bytes, _: float) -> bytes:
        asked.append(orjson.loads(payload))
        if len(asked) == 1:
            raise Unavailable("lost")
        if len(asked) == 2:
            return b'{"unavailable":"no leader"}'
        return b'{"refused":[]}'

    transport = Transport()
    subject, person = lane(ask), session(transport)
    assert subject.offer(person, ("u1", "a", "u2", "x"))
    task = asyncio.create_task(subject.run())
    while not asked:
        await asyncio.sleep(0)
    assert subject.offer(person, ("u1", "b", "u2", "y"))
    await asyncio.wait_for(subject.idle.wait(), 10)
    task.cancel()
    entry_ids = [request[1] for request in asked]
    ids = [[cast(list[str], send)[1] for send in cast(list[object], request[3])] for request in asked]
    assert ids == [["a"], ["a"], ["a"], ["b"]]
    assert len(set(entry_ids[:3])) == 1
    assert entry_ids[3] != entry_ids[0]
    assert transport.written == b'\x81\x15{"op":"ack","id":"a"}\x81\x15{"op":"ack","id":"b"}'


async def test_what_is_refused_is_told_and_the_rest_acknowledged() -> None:
    async def ask(_: bytes, __: float) -> bytes:
        return b'{"refused":[[1,"unknown addressee"]]}'

    transport = Transport()
    registry = CollectorRegistry()
    subject, person = lane(ask, registry=registry), session(transport)
    for name in ("a", "b", "c"):
        subject.offer(person, ("u1", name, "u2", "x"))
    await carried(subject, until=subject.idle.is_set)
    assert b'{"op":"ack","id":"a"}' in transport.written
    assert b'{"op":"refused","id":"b","reason":"unknown addressee"}' in transport.written
    assert b'{"op":"ack","id":"c"}' in transport.written
    assert transport.written.count(b'"ack"') == 2
    assert registry.get_sample_value("threegen_messages_acknowledged_total") == 2
    assert registry.get_sample_value("threegen_messages_refused_total") == 1


async def test_a_full_lane_takes_nothing_more() -> None:
    async def ask(_: bytes, __: float) -> bytes:
        return b'{"refused":[]}'

    subject, person = lane(ask, capacity=1), session(Transport())
    assert subject.offer(person, ("u1", "a", "u2", "x"))
    assert not subject.offer(person, ("u1", "b", "u2", "x"))
    assert subject.depth == 1


async def test_past_the_deadline_senders_are_asked_to_come_again_and_nothing_is_refused() -> None:
    async def ask(_: bytes, __: float) -> bytes:
        raise Unavailable("nobody")

    transport = Transport()
    registry = CollectorRegistry()
    subject, person = lane(ask, registry=registry), session(transport)
    subject.offer(person, ("u1", "a", "u2", "x"))
    deadline, lane_module.DEADLINE_S = lane_module.DEADLINE_S, -1.0
    try:
        await carried(subject, until=lambda: transport.closed)
    finally:
        lane_module.DEADLINE_S = deadline
    assert transport.written == b"\x88\x0b\x03\xf5try again"
    assert registry.get_sample_value("threegen_messages_unanswered_total") == 1


async def test_a_lane_for_groups_counts_its_own_and_belongs_to_no_partition() -> None:
    asked: list[list[object]] = []

    async def ask(payload: bytes, _: float) -> bytes:
        asked.append(orjson.loads(payload))
        return b'{"refused":[]}'

    registry, transport = CollectorRegistry(), Transport()
    operations = Operations(registry, timed=["group_send_batch"], retried=["group_send_batch"])
    subject = Lane(None, "g.groups", ask, operations, Messages(registry))
    subject.offer(session(transport), ("u1", "a", "g2", "x"))
    await carried(subject, until=subject.idle.is_set)
    assert (asked[0][0], asked[0][1]) == (None, "g.groups.1")
    assert registry.get_sample_value("threegen_group_sends_total") == 1
    assert registry.get_sample_value("threegen_messages_acknowledged_total") == 0

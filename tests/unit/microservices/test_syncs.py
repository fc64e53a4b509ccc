"""A sync is answered behind everything that the mailbox held when it was read."""

import asyncio
from collections.abc import Callable

import orjson
import pytest
from prometheus_client import CollectorRegistry

from services.microservices import syncs as syncs_module
from services.microservices.bus import Unavailable
from services.microservices.metrics import Messages, Operations
from services.microservices.session import Session
from services.microservices.syncs import Read, Syncs
from tests.unit.microservices.transport import Transport

ACK = b'\x81\x15{"op":"ack","id":"%b"}'


def session(transport: Transport, user: str = "u1", position: int = 0) -> Session:
    return Session(user, 1, person=1, position=position, since=1, transport=transport)


def syncs(read: Read, registry: CollectorRegistry | None = None, capacity: int = 10) -> Syncs:
    registry = registry or CollectorRegistry()
    operations = Operations(registry, timed=["sync"], retried=["sync"])
    return Syncs(read, operations, Messages(registry), capacity=capacity)


async def run(subject: Syncs, *, until: Callable[[], bool]) -> None:
    task = asyncio.create_task(subject.run())
    async with asyncio.timeout(10):
        while not until():
            await asyncio.sleep(0)
    task.cancel()


async def test_what_is_asked_during_one_read_goes_with_the_next() -> None:
    asked: list[list[tuple[str, int]]] = []

    async def read(request: bytes, _: float) -> bytes:
        asked.append([tuple(one) for one in orjson.loads(request)])
        await asyncio.sleep(0)
        if len(asked) == 1:
            subject.offer(person, "b", 5)
            subject.offer(person, "c", 5)
        return orjson.dumps([after for _, after in asked[-1]])

    transport, registry = Transport(), CollectorRegistry()
    subject, person = syncs(read, registry), session(transport, position=5)
    subject.offer(person, "a", 5)
    await run(subject, until=lambda: transport.written.count(b"ack") == 3)
    assert asked == [[("u1", 5)], [("u1", 5), ("u1", 5)]]
    assert transport.written == b"".join(ACK % name for name in (b"a", b"b", b"c"))
    assert registry.get_sample_value("threegen_syncs_total") == 3


async def test_an_answer_waits_for_the_messages_that_the_mailbox_held() -> None:
    async def read(_: bytes, __: float) -> bytes:
        return b"[7]"

    transport, registry = Transport(), CollectorRegistry()
    subject, person = syncs(read, registry), session(transport, position=3)
    subject.offer(person, "a", 3)
    await run(subject, until=lambda: registry.get_sample_value("threegen_syncs_total") == 1)
    assert transport.written == b""
    person.deliver(6, b"<6>")
    person.deliver(7, b"<7>")
    assert transport.written == b"<6><7>" + ACK % b"a"
    person.deliver(8, b"<8>")
    assert transport.written.endswith(b"<8>")


async def test_answers_keep_the_order_of_asking() -> None:
    transport = Transport()
    person = session(transport, position=3)
    person.answer_at(9, b"<first>")
    person.answer_at(3, b"<second>")
    assert transport.written == b""
    person.deliver(9, b"<9>")
    assert transport.written == b"<9><first><second>"


async def test_an_inbox_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncs_module, "RETRY_S", 0)
    calls = 0

    async def read(_: bytes, __: float) -> bytes:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise Unavailable("away")
        return b"[0]"

    transport, registry = Transport(), CollectorRegistry()
    subject = syncs(read, registry)
    subject.offer(session(transport), "a", 0)
    await run(subject, until=lambda: bool(transport.written))
    assert transport.written == ACK % b"a"
    assert registry.get_sample_value("threegen_microservices_retries_total", {"operation": "sync"}) == 2


async def test_past_the_deadline_who_asked_is_sent_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncs_module, "DEADLINE_S", -1)

    async def read(_: bytes, __: float) -> bytes:
        raise Unavailable("away")

    transport = Transport()
    subject = syncs(read)
    subject.offer(session(transport), "a", 0)
    await run(subject, until=lambda: transport.closed)
    assert transport.written == b"\x88\x0b\x03\xf5try again"


async def test_more_than_can_wait_are_not_taken() -> None:
    async def read(_: bytes, __: float) -> bytes:
        return b"[]"

    subject, person = syncs(read, capacity=1), session(Transport())
    assert subject.offer(person, "a", 0)
    assert not subject.offer(person, "b", 0)

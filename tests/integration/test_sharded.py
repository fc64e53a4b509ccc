"""The sharded generation and its client, with real databases and real deaths."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from bench.deployment.local.sharded import topology
from bench.load.clients import (
    Acknowledged,
    Connection,
    ConnectionLost,
    Delivered,
    Event,
    LoginRefused,
    Message,
    Refused,
)
from bench.load.clients.client import Client
from bench.load.clients.http import HttpConnection
from bench.records import Person
from tests.integration.conftest import PEOPLE, Running

SAFETY_S = 30.0


def person(number: int, password: str = str(PEOPLE["password"])) -> Person:
    return Person(number, f"u{number}", password)


class Online:
    """A person online: what they received, in a greenlet of its own."""

    def __init__(self, number: int, running: Running, endpoint: int) -> None:
        self.events: list[Event] = []
        self.client = Client(
            HttpConnection(person(number)), running.endpoints, first_endpoint=endpoint, seed=number
        )
        self.client.open()
        self._listening = gevent.spawn(self._listen)

    def _listen(self) -> None:
        self.events.extend([])
        for event in self.client.events():
            self.events.append(event)

    @property
    def acknowledged(self) -> list[str]:
        return [event.message_id for event in self.events if isinstance(event, Acknowledged)]

    @property
    def delivered(self) -> list[str]:
        return [event.message_id for event in self.events if isinstance(event, Delivered)]

    def close(self) -> None:
        self.client.close()
        self._listening.join(5)


@contextlib.contextmanager
def online(running: Running, *people: tuple[int, int]) -> Iterator[list[Online]]:
    """Clients of (person, api node) pairs."""
    clients = [Online(number, running, endpoint) for number, endpoint in people]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def until(what: Callable[[], object], timeout_s: float = SAFETY_S) -> None:
    """Let the greenlets run until `what` holds."""
    with gevent.Timeout(timeout_s, AssertionError("waited too long")):
        while not what():
            gevent.sleep(0.01)


def log_events(running: Running, node: str, event: str) -> list[dict[str, Any]]:
    lines = (running.logs / f"{node}.log").read_text().splitlines()
    parsed = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in parsed if line["event"] == event]


def kill(running: Running, node: str) -> None:
    pid = running.deployment.pid(node)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    running.reap(node)


def first_event(connection: Connection) -> Event:
    with gevent.Timeout(SAFETY_S):
        return next(connection.events())


@pytest.fixture
def sharded(start: Callable[..., Running]) -> Running:
    return start(topology)


def test_people_log_in_send_and_receive_across_api_nodes(sharded: Running) -> None:
    with pytest.raises(LoginRefused):
        HttpConnection(person(1, "wrong")).open(sharded.endpoints[0])
    with online(sharded, (0, 0), (1, 1)) as (ann, bob):
        for i in range(20):
            ann.client.send(Message(f"a{i}", "u1", f"é'\"\\\0 {i}" * 20))
            bob.client.send(Message(f"b{i}", "u0", "hello"))
        until(lambda: len(ann.delivered) == 20 and len(bob.delivered) == 20)
        until(lambda: len(ann.acknowledged) == 20 and len(bob.acknowledged) == 20)
        assert bob.delivered == [f"a{i}" for i in range(20)]
        ann.client.send(Message("x", "nobody", ""))
        until(lambda: Refused("x", "no such addressee") in ann.events)

"""A messaging system in memory whose latencies and outages the test writes down, and must get back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
from gevent.queue import Queue

from bench.load.clients import (
    Acknowledged,
    ConnectionLost,
    Delivered,
    Event,
    LoginRefused,
    Message,
    Refused,
)
from bench.records import Endpoint, Person

LOST = object()


class ScriptedServer:
    """Acknowledges and delivers after `delay_s(message)`; None swallows the message."""

    def __init__(self, delay_s: Callable[[Message], float | None]) -> None:
        self.delay_s = delay_s
        self.down = False
        self.refuse: set[str] = set()
        self.banned: set[str] = set()
        self.received: list[str] = []
        self._seen: set[str] = set()
        self._online: dict[str, Queue[Any]] = {}

    def connect(self, person: Person) -> ScriptedConnection:
        return ScriptedConnection(self, person)

    def crash(self) -> None:
        self.down = True
        for queue in self._online.values():
            queue.put(LOST)
        self._online.clear()

    def login(self, name: str) -> Queue[Any]:
        if self.down:
            raise ConnectionLost("down")
        if name in self.banned:
            raise LoginRefused("banned")
        self._online[name] = Queue()
        return self._online[name]

    def receive(self, sender: str, message: Message) -> None:
        self.received.append(message.message_id)
        if message.body in self.refuse:
            self._online[sender].put(Refused(message.message_id, "not-wanted"))
            return
        delay = self.delay_s(message)
        if delay is not None:
            gevent.spawn_later(delay, self._answer, sender, message)

    def _answer(self, sender: str, message: Message) -> None:
        if self.down or sender not in self._online:
            return
        self._online[sender].put(Acknowledged(message.message_id))
        if message.message_id not in self._seen and message.addressee in self._online:
            self._seen.add(message.message_id)
            self._online[message.addressee].put(Delivered(message.message_id, sender, message.body))


class ScriptedConnection:
    def __init__(self, server: ScriptedServer, person: Person) -> None:
        self._server = server
        self._person = person
        self._queue: Queue[Any] | None = None

    def open(self, endpoint: Endpoint) -> None:
        self._queue = self._server.login(self._person.name)

    def send(self, message: Message) -> None:
        if self._server.down:
            raise ConnectionLost("down")
        self._server.receive(self._person.name, message)

    def events(self) -> Iterator[Event]:
        queue = self._queue
        assert queue is not None
        while (event := queue.get()) is not LOST:
            yield event
        raise ConnectionLost("the script says so")

    def close(self) -> None:
        if self._queue is not None:
            self._queue.put(LOST)

"""A messaging system in memory whose latencies and outages the test writes down, and must get back."""

from __future__ import annotations

from collections.abc import Callable

import gevent

from bench.load.clients import ConnectionLost, Listener, LoginRefused, Request
from bench.records import Endpoint, Person


class ScriptedServer:
    """Acknowledges and delivers after `delay_s(request)`; None swallows the request."""

    def __init__(
        self, delay_s: Callable[[Request], float | None], groups: list[list[int]] | None = None
    ) -> None:
        self.delay_s = delay_s
        self.groups = groups or []
        self.down = False
        self.refuse: set[str] = set()
        self.banned: set[str] = set()
        self.received: list[str] = []
        self.operations: list[str] = []
        self.logins = 0
        self._seen: set[tuple[str, str]] = set()
        self._online: dict[str, Listener] = {}

    def connect(self, person: Person) -> ScriptedConnection:
        return ScriptedConnection(self, person)

    def crash(self) -> None:
        self.down = True
        online, self._online = self._online, {}
        for listener in online.values():
            listener.lost("the script says so")

    def login(self, name: str, listener: Listener) -> None:
        if self.down:
            raise ConnectionLost("down")
        if name in self.banned:
            raise LoginRefused("banned")
        self.logins += 1
        self._online[name] = listener

    def logout(self, name: str) -> None:
        self._online.pop(name, None)

    def receive(self, sender: str, request: Request) -> None:
        self.received.append(request.request_id)
        self.operations.append(request.operation)
        if request.body in self.refuse:
            gevent.spawn(self._refuse, sender, request)
            return
        delay = self.delay_s(request)
        if delay is not None:
            gevent.spawn_later(delay, self._answer, sender, request)

    def _refuse(self, sender: str, request: Request) -> None:
        if sender in self._online:
            self._online[sender].refused(request.request_id, "not-wanted")

    def _answer(self, sender: str, request: Request) -> None:
        if self.down or sender not in self._online:
            return
        self._online[sender].acknowledged(request.request_id)
        if request.operation == "send":
            self._deliver(request.target, sender, request, "")
        elif request.operation == "group_send":
            for member in self.groups[int(request.target[1:])]:
                if f"u{member}" != sender:
                    self._deliver(f"u{member}", sender, request, request.target)

    def _deliver(self, addressee: str, sender: str, request: Request, group: str) -> None:
        key = (request.request_id, addressee)
        if key not in self._seen and addressee in self._online:
            self._seen.add(key)
            self._online[addressee].delivered(request.request_id, sender, request.body, group)


class ScriptedConnection:
    def __init__(self, server: ScriptedServer, person: Person) -> None:
        self._server = server
        self._person = person
        self._open = False
        self.position = person.position

    def open(self, endpoint: Endpoint, listener: Listener) -> None:
        self._server.login(self._person.name, listener)
        self._open = True
        self.position += 1

    def send(self, request: Request) -> None:
        if self._open and not self._server.down:
            self._server.receive(self._person.name, request)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._server.logout(self._person.name)

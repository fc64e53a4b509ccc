"""People online at the sharded generation, and a look into its nodes, for the tests of it."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pymysql

from bench.load.clients import Request
from bench.load.clients.client import Client
from bench.load.clients.http import HttpConnection
from bench.records import Person
from tests.integration.conftest import PEOPLE, Running

SAFETY_S = 30.0


def person(number: int, password: str = str(PEOPLE["password"])) -> Person:
    return Person(number, f"u{number}", password)


class Online:
    """A person online, as a Witness of themselves: what they received, and what they were answered."""

    def __init__(self, number: int, running: Running, endpoint: int) -> None:
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.messages: list[tuple[str, str, str, str]] = []
        self.broken: list[Exception] = []
        endpoints = (*running.endpoints[endpoint:], *running.endpoints[:endpoint])
        self._client = Client(0, HttpConnection(person(number)), endpoints, self, seed=number)
        self._client.open()
        self._living = gevent.spawn(self._live)

    def _live(self) -> None:
        while self._client.wait_lost():
            self._client.open()

    def answered(self, person: int, request: Request, ok: bool) -> None:
        (self.acknowledged if ok else self.refused).append(request.request_id)

    def sent_again(self, person: int, request: Request) -> None: ...

    def turned(self, person: int, online: bool) -> None: ...

    def delivered(self, person: int, message_id: str, sender: str, body: str, group: str) -> None:
        self.messages.append((message_id, sender, body, group))

    def failed(self, person: int, error: Exception) -> None:
        self.broken.append(error)

    @property
    def received(self) -> list[str]:
        return [message[0] for message in self.messages]

    @property
    def waits(self) -> bool:
        return self._client.unanswered > 0

    def ask(self, operation: str, request_id: str, target: str = "", body: str = "") -> None:
        self._client.send(Request(operation, request_id, target, body, 0))

    def send(self, message_id: str, addressee: str, body: str) -> None:
        self.ask("send", message_id, addressee, body)

    def close(self) -> None:
        self._client.close()
        self._living.join(5)
        assert not self.broken


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


def ask(running: Running, node: str, sql: str) -> Any:
    """What database `node` answers to its administrator: the first column of the first row."""
    (process,) = (p for p in running.deployment.topology.processes if p.name == node)
    (port,) = (part.partition("=")[2] for part in process.command if part.startswith("--port="))
    with (
        contextlib.closing(pymysql.connect(host="127.0.0.1", port=int(port), user="root")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
        row = cursor.fetchone()
    return None if row is None else row[0]

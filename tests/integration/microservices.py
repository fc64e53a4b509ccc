"""The microservices generation under test, and people who talk through it."""

import asyncio
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gevent

from bench.deployment.local.deployment import LocalDeployment
from bench.deployment.local.microservices import topology
from bench.deployment.local.topology import Site
from bench.load.clients import Request
from bench.load.clients.client import Client
from bench.load.clients.websocket import WebSocketConnection
from bench.records import Person

PASSWORD = "open sesame"
PATIENCE_S = 30.0


class Delivery(NamedTuple):
    """One message that arrived."""

    message_id: str
    sender: str
    body: str
    group: str


def message(message_id: str, addressee: str, body: str = "x") -> Request:
    return Request("send", message_id, addressee, body, 0)


class Generation:
    """The generation under test; one serves all tests of this file, which leave it whole."""

    def __init__(self, deployment: LocalDeployment, log: Path) -> None:
        self.deployment = deployment
        self.endpoints = deployment.endpoints
        self.log = log

    def events(self) -> list[dict[str, object]]:
        """The supervisor's log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait_whole(self) -> None:
        """Return once every node says that it is ready."""
        urls = [p.ready_url for p in self.deployment.topology.processes if p.ready_url]
        with gevent.Timeout(PATIENCE_S):
            for url in urls:
                while not _ready(url):
                    gevent.sleep(0.05)


@contextlib.contextmanager
def running(folder: Path, people: Mapping[str, Any]) -> Iterator[Generation]:
    """Start the generation in `folder` with these people; the end of the block ends it."""
    site = Site(folder=folder / "site", people=people)
    with asyncio.Runner() as runner:
        deployment = LocalDeployment(topology(site), site, folder / "logs")
        runner.run(deployment.__aenter__())
        try:
            yield Generation(deployment, folder / "logs" / "supervisor.log")
        finally:
            runner.run(deployment.__aexit__(None, None, None))


class Ear:
    """A listener that keeps what it is told, by kind."""

    def __init__(self) -> None:
        self.acknowledgements: list[str] = []
        self.refusals: list[tuple[str, str]] = []
        self.deliveries: list[Delivery] = []
        self.ends: list[str] = []

    def acknowledged(self, request_id: str) -> None:
        self.acknowledgements.append(request_id)

    def refused(self, request_id: str, reason: str) -> None:
        self.refusals.append((request_id, reason))

    def delivered(self, message_id: str, sender: str, body: str, group: str) -> None:
        self.deliveries.append(Delivery(message_id, sender, body, group))

    def lost(self, reason: str) -> None:
        self.ends.append(reason)

    def failed(self, error: Exception) -> None:
        self.ends.append(repr(error))

    def received(self, prefix: str) -> list[str]:
        """Ids of the messages that arrived and begin with `prefix`."""
        return [one.message_id for one in self.deliveries if one.message_id.startswith(prefix)]


class Online:
    """A person who stays online; a bench.load.clients.client.Witness that keeps what it is told."""

    def __init__(self, generation: Generation, number: int, *, at: int = 0) -> None:
        self.acknowledgements: list[str] = []
        self.refusals: list[str] = []
        self.deliveries: list[Delivery] = []
        self.failures: list[Exception] = []
        self.number = number
        endpoints = generation.endpoints[at:] + generation.endpoints[:at]
        connection = WebSocketConnection(Person(number, f"u{number}", PASSWORD))
        self.client = Client(0, connection, endpoints, self, seed=number)
        self.client.open()
        self._living = gevent.spawn(self._live)

    def _live(self) -> None:
        while self.client.wait_lost():
            self.client.open()

    def answered(self, person: int, request: Request, ok: bool) -> None:
        (self.acknowledgements if ok else self.refusals).append(request.request_id)

    def sent_again(self, person: int, request: Request) -> None: ...

    def turned(self, person: int, online: bool) -> None: ...

    def delivered(self, person: int, message_id: str, sender: str, body: str, group: str) -> None:
        self.deliveries.append(Delivery(message_id, sender, body, group))

    def failed(self, person: int, error: Exception) -> None:
        self.failures.append(error)

    def send(self, message_id: str, addressee: str, body: str = "x") -> None:
        self.client.send(message(message_id, addressee, body))

    def received(self, prefix: str) -> list[str]:
        """Ids of the messages that arrived and begin with `prefix`."""
        return [one.message_id for one in self.deliveries if one.message_id.startswith(prefix)]

    def close(self) -> None:
        self.client.close()
        self._living.join(5)
        assert not self.failures


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    with gevent.Timeout(PATIENCE_S):
        while not condition():
            gevent.sleep(0.01)

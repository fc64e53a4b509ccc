"""The whole generation, as `bench` starts it: three NATS servers, seven services and their supervisor."""

import asyncio
import itertools
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from bench.deployment.local.deployment import LocalDeployment
from bench.deployment.local.microservices import topology
from bench.deployment.local.topology import Site
from bench.load.clients import Acknowledged, ConnectionLost, Delivered, LoginRefused, Message, Refused
from bench.load.clients.client import Client
from bench.load.clients.websocket import WebSocketConnection
from bench.records import Person

PASSWORD = "open sesame"
PEOPLE = {"count": 8, "password": PASSWORD}
PATIENCE_S = 30.0
_names = itertools.count()


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


@pytest.fixture(scope="module")
def generation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generation]:
    folder = tmp_path_factory.mktemp("microservices")
    site = Site(folder=folder / "site", people=PEOPLE)
    with asyncio.Runner() as runner:
        deployment = LocalDeployment(topology(site), site, folder / "logs")
        runner.run(deployment.__aenter__())
        try:
            yield Generation(deployment, folder / "logs" / "supervisor.log")
        finally:
            runner.run(deployment.__aexit__(None, None, None))


@pytest.fixture(autouse=True)
def whole(generation: Generation) -> Iterator[None]:
    generation.wait_whole()
    with gevent.Timeout(60):
        yield


class Online:
    """A person who stays online and keeps everything that arrives."""

    def __init__(self, generation: Generation, number: int, *, at: int = 0) -> None:
        self.acknowledged: list[str] = []
        self.refused: list[Refused] = []
        self.delivered: list[Delivered] = []
        person = Person(number, f"u{number}", PASSWORD)
        self.client = Client(
            WebSocketConnection(person), generation.endpoints, first_endpoint=at, seed=number
        )
        self.client.open()
        self._listening = gevent.spawn(self._listen)

    def _listen(self) -> None:
        for event in self.client.events():
            match event:
                case Acknowledged():
                    self.acknowledged.append(event.message_id)
                case Refused():
                    self.refused.append(event)
                case Delivered():
                    self.delivered.append(event)

    def received(self, prefix: str) -> list[str]:
        """Ids of the messages that arrived and begin with `prefix`."""
        return [event.message_id for event in self.delivered if event.message_id.startswith(prefix)]

    def close(self) -> None:
        self.client.close()
        self._listening.join(5)


@pytest.fixture
def people(generation: Generation) -> Iterator[list[Online]]:
    """u0 at the first gateway and u1 at the second."""
    online = [Online(generation, 0, at=0), Online(generation, 1, at=1)]
    yield online
    for one in online:
        one.close()


@pytest.fixture
def prefix() -> str:
    """Begins the ids of one test: mailboxes are never emptied, and the generation is shared."""
    return f"t{next(_names)}-"


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_for(*wanted: tuple[list[str], list[str]]) -> None:
    """Wait until each first list holds what the second does."""
    with gevent.Timeout(PATIENCE_S):
        while not all(set(want) <= set(have) for have, want in wanted):
            gevent.sleep(0.01)


def drain(connection: WebSocketConnection, prefix: str, count: int) -> list[str]:
    """Ids of the next `count` messages delivered whose id begins with `prefix`."""
    ids = (e.message_id for e in connection.events() if isinstance(e, Delivered))
    return list(itertools.islice((i for i in ids if i.startswith(prefix)), count))


def test_a_wrong_password_and_an_unknown_person_are_refused(generation: Generation) -> None:
    for person in (Person(0, "u0", "wrong"), Person(99, "u99", PASSWORD)):
        with pytest.raises(LoginRefused):
            WebSocketConnection(person).open(generation.endpoints[0])


def test_messages_go_both_ways_between_gateways_in_order(people: list[Online], prefix: str) -> None:
    alice, bob = people
    there = [f"{prefix}a{n}" for n in range(100)]
    back = [f"{prefix}b{n}" for n in range(100)]
    for a, b in zip(there, back, strict=True):
        alice.client.send(Message(a, "u1", "é" * 50))
        bob.client.send(Message(b, "u0", "x"))
        gevent.sleep(0)
    with gevent.Timeout(PATIENCE_S):
        while len(bob.received(prefix)) < 100 or len(alice.received(prefix)) < 100:
            gevent.sleep(0.01)
    assert bob.received(prefix) == there
    assert alice.received(prefix) == back
    wait_for((alice.acknowledged, there), (bob.acknowledged, back))
    assert bob.delivered[-1] == Delivered(there[-1], "u0", "é" * 50)


def test_an_unknown_addressee_is_refused_and_its_neighbours_are_not(
    people: list[Online], prefix: str
) -> None:
    alice, bob = people
    for name, addressee in (("a", "u1"), ("b", "u99"), ("c", "u1")):
        alice.client.send(Message(f"{prefix}{name}", addressee, "x"))
    with gevent.Timeout(PATIENCE_S):
        while len(bob.received(prefix)) < 2 or not alice.refused:
            gevent.sleep(0.01)
    assert alice.refused == [Refused(f"{prefix}b", "unknown addressee")]
    assert bob.received(prefix) == [f"{prefix}a", f"{prefix}c"]


def test_a_message_sent_again_elsewhere_is_acknowledged_again_and_delivered_once(
    generation: Generation, people: list[Online], prefix: str
) -> None:
    _, bob = people
    connection = WebSocketConnection(Person(2, "u2", PASSWORD))
    for endpoint in (*generation.endpoints, generation.endpoints[0]):
        connection.open(endpoint)
        connection.send(Message(f"{prefix}twice", "u1", "x"))
        connection.send(Message(f"{prefix}twice", "u1", "x"))
        answers = list(itertools.islice(connection.events(), 2))
        assert answers == [Acknowledged(f"{prefix}twice")] * 2
    connection.send(Message(f"{prefix}last", "u1", "x"))
    with gevent.Timeout(PATIENCE_S):
        while f"{prefix}last" not in bob.received(prefix):
            gevent.sleep(0.01)
    assert bob.received(prefix) == [f"{prefix}twice", f"{prefix}last"]
    connection.close()


def test_messages_wait_for_one_who_is_away_and_are_not_given_twice(
    generation: Generation, people: list[Online], prefix: str
) -> None:
    alice, _ = people
    ids = [f"{prefix}{n}" for n in range(700)]  # more than one page
    for name in ids:
        alice.client.send(Message(name, "u3", "x"))
    wait_for((alice.acknowledged, ids))
    connection = WebSocketConnection(Person(3, "u3", PASSWORD))
    connection.open(generation.endpoints[0])
    assert drain(connection, prefix, 400) == ids[:400]
    connection.open(generation.endpoints[1])
    assert drain(connection, prefix, 300) == ids[400:]
    connection.close()


def test_a_later_login_ends_the_earlier_one(generation: Generation) -> None:
    first, second = (WebSocketConnection(Person(4, "u4", PASSWORD)) for _ in range(2))
    first.open(generation.endpoints[0])
    second.open(generation.endpoints[1])
    with gevent.Timeout(PATIENCE_S), pytest.raises(ConnectionLost, match="replaced"):
        next(first.events())
    first.close()
    second.send(Message("still here", "u4", "x"))
    assert isinstance(next(second.events()), Acknowledged | Delivered)
    second.close()


@pytest.mark.parametrize("node", ["gateway-1", "message-1", "sequence", "inbox", "auth", "nats-1"])
def test_a_killed_node_comes_back_and_nothing_is_lost(
    generation: Generation, people: list[Online], prefix: str, node: str
) -> None:
    alice, bob = people
    before = len(generation.events())
    ids = [f"{prefix}{n:03}" for n in range(300)]
    addressees = ["u1", "u2", "u7"]  # one in each partition
    others = [Online(generation, 2), Online(generation, 7, at=1)]
    for n, name in enumerate(ids):
        if n == 100:
            pid = generation.deployment.pid(node)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        alice.client.send(Message(name, addressees[n % 3], "x"))
        gevent.sleep(0.001)
    wait_for((alice.acknowledged, ids))
    expected = [ids[n::3] for n in range(3)]
    with gevent.Timeout(PATIENCE_S):
        while [set(o.received(prefix)) for o in (bob, *others)] != [set(e) for e in expected]:
            gevent.sleep(0.01)
    assert [o.received(prefix) for o in (bob, *others)] == expected
    for one in others:
        one.close()
    generation.wait_whole()
    with gevent.Timeout(PATIENCE_S):
        told: list[object] = []
        while "restored" not in told:
            gevent.sleep(0.05)
            told = [e["event"] for e in generation.events()[before:] if e.get("target") == node]
    assert told == ["detected", "restarted", "restored"]


def test_the_first_server_leads_the_first_partition_again_after_its_death(generation: Generation) -> None:
    """Right after the kill above: another leads for a while, or it won the election after its restart."""
    (monitor,) = (p.ready_url for p in generation.deployment.topology.processes if p.name == "nats-1")
    assert monitor is not None
    with gevent.Timeout(PATIENCE_S):
        while _leader(monitor, "inbox-0") != "nats-1":
            gevent.sleep(0.1)


def _leader(monitor: str, stream: str) -> str | None:
    url = monitor.replace("/healthz", "/jsz?accounts=true&streams=true")
    with urllib.request.urlopen(url, timeout=5) as response:
        told = json.load(response)
    details = (d for account in told["account_details"] for d in account["stream_detail"])
    leaders = (d["cluster"].get("leader") for d in details if d["name"] == stream)
    return next(leaders, None)

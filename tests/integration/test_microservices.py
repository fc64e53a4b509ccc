"""The whole generation, as `bench` starts it: three NATS servers, eight services and their supervisor."""

import itertools
import json
import os
import signal
import urllib.request
from collections.abc import Iterator

import gevent
import pytest

from bench.load.clients import LoginRefused
from bench.load.clients.websocket import WebSocketConnection
from bench.records import Person
from tests.integration.microservices import (
    PASSWORD,
    PATIENCE_S,
    Delivery,
    Ear,
    Generation,
    Online,
    message,
    running,
    wait_until,
)

_names = itertools.count()


@pytest.fixture(scope="module")
def generation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generation]:
    with running(tmp_path_factory.mktemp("microservices"), {"count": 8, "password": PASSWORD}) as generation:
        yield generation


@pytest.fixture(autouse=True)
def whole(generation: Generation) -> Iterator[None]:
    generation.wait_whole()
    with gevent.Timeout(60):
        yield


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


def test_a_wrong_password_and_an_unknown_person_are_refused(generation: Generation) -> None:
    for person in (Person(0, "u0", "wrong"), Person(99, "u99", PASSWORD)):
        with pytest.raises(LoginRefused):
            WebSocketConnection(person).open(generation.endpoints[0], Ear())


def test_messages_go_both_ways_between_gateways_in_order(people: list[Online], prefix: str) -> None:
    alice, bob = people
    there = [f"{prefix}a{n}" for n in range(100)]
    back = [f"{prefix}b{n}" for n in range(100)]
    for a, b in zip(there, back, strict=True):
        alice.send(a, "u1", "é" * 50)
        bob.send(b, "u0")
        gevent.sleep(0)
    wait_until(lambda: len(bob.received(prefix)) >= 100 and len(alice.received(prefix)) >= 100)
    assert bob.received(prefix) == there
    assert alice.received(prefix) == back
    wait_until(lambda: set(there) <= set(alice.acknowledgements) and set(back) <= set(bob.acknowledgements))
    assert bob.deliveries[-1] == Delivery(there[-1], "u0", "é" * 50, "")


def test_an_unknown_addressee_is_refused_and_its_neighbours_are_not(
    generation: Generation, people: list[Online], prefix: str
) -> None:
    _, bob = people
    ear, connection = Ear(), WebSocketConnection(Person(2, "u2", PASSWORD))
    connection.open(generation.endpoints[0], ear)
    for name, addressee in (("a", "u1"), ("b", "u99"), ("c", "u1")):
        connection.send(message(f"{prefix}{name}", addressee))
    wait_until(lambda: len(bob.received(prefix)) >= 2 and bool(ear.refusals))
    assert ear.refusals == [(f"{prefix}b", "unknown addressee")]
    assert bob.received(prefix) == [f"{prefix}a", f"{prefix}c"]
    connection.close()


def test_a_message_sent_again_elsewhere_is_acknowledged_again_and_delivered_once(
    generation: Generation, people: list[Online], prefix: str
) -> None:
    _, bob = people
    connection = WebSocketConnection(Person(2, "u2", PASSWORD))
    for endpoint in (*generation.endpoints, generation.endpoints[0]):
        ear = Ear()
        connection.open(endpoint, ear)
        connection.send(message(f"{prefix}twice", "u1"))
        connection.send(message(f"{prefix}twice", "u1"))
        wait_until(lambda ear=ear: len(ear.acknowledgements) >= 2)  # type: ignore[misc]
        assert ear.acknowledgements == [f"{prefix}twice"] * 2
    connection.send(message(f"{prefix}last", "u1"))
    wait_until(lambda: f"{prefix}last" in bob.received(prefix))
    assert bob.received(prefix) == [f"{prefix}twice", f"{prefix}last"]
    connection.close()


def test_messages_wait_for_one_who_is_away_and_are_not_given_twice(
    generation: Generation, people: list[Online], prefix: str
) -> None:
    alice, _ = people
    ids = [f"{prefix}{n}" for n in range(700)]  # more than one page
    for name in ids:
        alice.send(name, "u3")
    wait_until(lambda: set(ids) <= set(alice.acknowledgements))
    connection, first, second = WebSocketConnection(Person(3, "u3", PASSWORD)), Ear(), Ear()
    connection.open(generation.endpoints[0], first)
    wait_until(lambda: len(first.received(prefix)) >= 400)
    connection.open(generation.endpoints[1], second)
    wait_until(lambda: len(first.received(prefix)) + len(second.received(prefix)) >= 700)
    assert first.received(prefix) + second.received(prefix) == ids
    connection.close()


def test_a_later_login_ends_the_earlier_one(generation: Generation) -> None:
    first, second = (WebSocketConnection(Person(4, "u4", PASSWORD)) for _ in range(2))
    to_first, to_second = Ear(), Ear()
    first.open(generation.endpoints[0], to_first)
    second.open(generation.endpoints[1], to_second)
    wait_until(lambda: bool(to_first.ends))
    assert "replaced" in to_first.ends[0]
    first.close()
    second.send(message("still here", "u4"))
    wait_until(lambda: bool(to_second.acknowledgements))
    assert to_second.ends == []
    second.close()


@pytest.mark.parametrize("node", ["gateway-1", "message-1", "sequence", "inbox", "group", "auth", "nats-1"])
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
        alice.send(name, addressees[n % 3])
        gevent.sleep(0.001)
    wait_until(lambda: set(ids) <= set(alice.acknowledgements))
    expected = [ids[n::3] for n in range(3)]
    wait_until(lambda: [set(o.received(prefix)) for o in (bob, *others)] == [set(e) for e in expected])
    assert [o.received(prefix) for o in (bob, *others)] == expected
    for one in others:
        one.close()
    generation.wait_whole()
    with gevent.Timeout(PATIENCE_S):
        told: list[object] = []
        while "restored" not in told:
            gevent.sleep(0.05)
            events = [e for e in generation.events()[before:] if e["node"] == "supervisor"]
            told = [e["event"] for e in events if e.get("target") == node]
    assert told == ["detected", "decided", "restarted", "restored"]


def test_the_first_server_leads_the_first_partition_again_after_its_death(generation: Generation) -> None:
    """Right after the kill above: another leads for a while, or it won the election after its restart."""
    (monitor,) = (p.ready_url for p in generation.deployment.topology.processes if p.name == "nats-1")
    assert monitor is not None
    with gevent.Timeout(PATIENCE_S):
        while _leader(monitor, "inbox-0") != "nats-1":
            gevent.sleep(0.1)
        while not (redundant := [e for e in generation.events() if e["event"] == "redundant"]):
            gevent.sleep(0.1)
    assert redundant[-1]["node"] == "inbox"
    promoted = [e["target"] for e in generation.events() if e["event"] == "promoted"]
    assert set(promoted) <= {"nats-1", "nats-2", "nats-3"}


def _leader(monitor: str, stream: str) -> str | None:
    url = monitor.replace("/healthz", "/jsz?accounts=true&streams=true")
    with urllib.request.urlopen(url, timeout=5) as response:
        told = json.load(response)
    details = (d for account in told["account_details"] for d in account["stream_detail"])
    leaders = (d["cluster"].get("leader") for d in details if d["name"] == stream)
    return next(leaders, None)

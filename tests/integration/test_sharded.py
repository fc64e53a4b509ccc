"""The sharded generation and its client, with real databases and real deaths."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gevent
import pymysql
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
from services.sharded.routing import shard_of
from tests.integration.conftest import PEOPLE, Running

SAFETY_S = 30.0
COUNT = 8
assert PEOPLE["count"] == COUNT


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


def names_on_shard(shard: int) -> list[str]:
    return [f"u{i}" for i in range(COUNT) if shard_of(f"u{i}", 2) == shard]


def test_people_exchange_messages_across_api_nodes_once_and_in_order(sharded: Running) -> None:
    exchange_across_api_nodes(sharded)
    send_twice(sharded)
    receive_what_came_while_away(sharded)


def exchange_across_api_nodes(sharded: Running) -> None:
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


def send_twice(sharded: Running) -> None:
    with online(sharded, (3, 0)) as (bob,):
        for endpoint in sharded.endpoints:
            ann = HttpConnection(person(2))
            ann.open(endpoint)
            for _ in range(2):
                ann.send(Message("same", "u3", "once"))
                assert first_event(ann) == Acknowledged("same")
            ann.send(Message(f"then-{endpoint.port}", "u3", "next"))
            ann.close()
        until(lambda: len(bob.delivered) == 3)
        assert bob.delivered == ["same", *(f"then-{endpoint.port}" for endpoint in sharded.endpoints)]


def receive_what_came_while_away(sharded: Running) -> None:
    bob = HttpConnection(person(5))
    with online(sharded, (4, 0)) as (ann,):
        for life in range(3):
            ann.client.send(Message(f"m{life}", "u5", "x"))
            until(lambda: not ann.client.unacknowledged)
            bob.open(sharded.endpoints[life % 2])
            assert first_event(bob) == Delivered(f"m{life}", "u4", "x")
            bob.close()
            with pytest.raises(ConnectionLost):
                bob.send(Message("closed", "u0", ""))


def burst(sender: Online, addressees: list[str], prefix: str, count: int, per_s: float) -> list[str]:
    """Send `count` messages, the addressees in turn; gives the ids."""
    ids = []
    for i in range(count):
        ids.append(f"{prefix}-{i:05d}")
        sender.client.send(Message(ids[-1], addressees[i % len(addressees)], "b" * 60))
        gevent.sleep(1 / per_s)
    return ids


def test_a_killed_primary_is_replaced_and_no_acknowledged_message_is_lost(sharded: Running) -> None:
    people = [(i, i % 2) for i in range(COUNT)]
    with online(sharded, *people) as clients:
        everybody = [f"u{number}" for number, _ in people]
        bursts = [
            gevent.spawn(burst, client, everybody, f"s{i}", 150, 75) for i, client in enumerate(clients)
        ]
        until(lambda: sum(len(client.acknowledged) for client in clients) > 200)
        kill(sharded, "shard-0-primary")
        sent = {i for one in bursts for i in one.get(timeout=SAFETY_S)}
        assert len(sent) == 150 * len(clients)
        until(lambda: not any(client.client.unacknowledged for client in clients))
        assert [event["shard"] for event in log_events(sharded, "failover", "detected")] == [0]
        (promoted,) = log_events(sharded, "failover", "promoted")
        assert (promoted["new"], promoted["epoch"]) == ("shard-0-replica", 2)

        sharded.restart("shard-0-primary")
        until(lambda: [e for e in log_events(sharded, "failover", "redundant") if e["epoch"] == 2])

        # The other way round: what was primary first holds all that was acknowledged, and is promoted.
        kill(sharded, "shard-0-replica")
        sent.update(burst(clients[0], names_on_shard(0), "t", 50, 500))
        until(lambda: not clients[0].client.unacknowledged)
        assert log_events(sharded, "failover", "promoted")[-1]["new"] == "shard-0-primary"

        until(lambda: sum(len(client.delivered) for client in clients) >= len(sent))
        delivered = [i for client in clients for i in client.delivered]
        assert sorted(delivered) == sorted(sent)
        for client in clients:
            for prefix in {i.partition("-")[0] for i in client.delivered}:
                conversation = [i for i in client.delivered if i.startswith(f"{prefix}-")]
                assert conversation == sorted(conversation)


def test_a_paused_primary_that_wakes_up_as_one_too_many_is_fenced(sharded: Running) -> None:
    with online(sharded, (0, 0), (1, 1)) as (ann, bob):
        addressees = ["u1", *names_on_shard(0)]
        sending = gevent.spawn(burst, ann, addressees, "a", 400, 200)
        until(lambda: len(ann.acknowledged) > 50)
        pid = sharded.deployment.pid("shard-0-primary")
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        until(lambda: log_events(sharded, "failover", "promoted"))
        os.kill(pid, signal.SIGCONT)
        sent = sending.get(timeout=SAFETY_S)
        until(lambda: not ann.client.unacknowledged)
        until(lambda: [e for e in log_events(sharded, "failover", "redundant") if e["epoch"] == 2])
        assert log_events(sharded, "failover", "fenced")
        expected = [i for number, i in enumerate(sent) if addressees[number % len(addressees)] == "u1"]
        until(lambda: len(bob.delivered) >= len(expected))
        assert bob.delivered == expected


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


def test_a_primary_that_died_with_commits_nobody_was_told_of_is_rebuilt(sharded: Running) -> None:
    name = names_on_shard(0)[0]
    with online(sharded, (0, 0), (int(name[1:]), 1)) as (ann, bob):
        before = burst(ann, [name], "a", 300, 1000)
        until(lambda: len(ann.acknowledged) == len(before))
        ask(sharded, "shard-0-replica", "STOP SLAVE IO_THREAD")
        position = ask(sharded, "shard-0-primary", "SELECT @@gtid_binlog_pos")
        ann.client.send(Message("b-untold", name, "x"))
        until(lambda: ask(sharded, "shard-0-primary", "SELECT @@gtid_binlog_pos") != position)
        assert "b-untold" not in ann.acknowledged
        kill(sharded, "shard-0-primary")
        until(lambda: "b-untold" in ann.acknowledged)  # the new primary's doing
        sharded.restart("shard-0-primary")
        until(lambda: [e for e in log_events(sharded, "failover", "redundant") if e["epoch"] == 2])
        (rejoining,) = log_events(sharded, "failover", "rejoining")
        assert rejoining["diverged_commits"] >= 1
        (rebuilt,) = log_events(sharded, "failover", "rebuilt")
        assert rebuilt["rows"] >= len(before)

        kill(sharded, "shard-0-replica")
        after = burst(ann, [name], "c", 20, 1000)
        until(lambda: not ann.client.unacknowledged)
        until(lambda: len(bob.delivered) >= len(before) + 1 + len(after))
        assert bob.delivered == [*before, "b-untold", *after]
    again = HttpConnection(person(int(name[1:])))
    again.open(sharded.endpoints[0])
    events = again.events()
    with gevent.Timeout(SAFETY_S):
        kept = [next(events) for _ in bob.delivered]
    again.close()
    assert [event.message_id for event in kept] == bob.delivered


def test_the_deaths_of_an_api_node_and_of_failover_are_survived(sharded: Running) -> None:
    move_to_the_other_api_node(sharded)
    promote_after_failover_was_killed(sharded)


def move_to_the_other_api_node(sharded: Running) -> None:
    with online(sharded, (0, 0), (1, 0)) as (ann, bob):
        sending = gevent.spawn(burst, ann, ["u1"], "a", 200, 400)
        until(lambda: len(bob.delivered) > 20)
        kill(sharded, "api-1")
        sent = sending.get(timeout=SAFETY_S)
        until(lambda: not ann.client.unacknowledged and len(bob.delivered) >= len(sent))
        assert sorted(set(bob.delivered)) == sent
        sharded.restart("api-1")
        back = HttpConnection(person(2))
        with gevent.Timeout(SAFETY_S):
            while True:
                try:
                    back.open(sharded.endpoints[0])
                    break
                except ConnectionLost:
                    gevent.sleep(0.05)
        back.close()


def promote_after_failover_was_killed(sharded: Running) -> None:
    kill(sharded, "failover")
    kill(sharded, "shard-0-primary")
    sharded.restart("failover")
    with online(sharded, (0, 0)) as (ann,):
        ann.client.send(Message("m", names_on_shard(0)[0], "x"))
        until(lambda: ann.acknowledged == ["m"])
    (promoted,) = log_events(sharded, "failover", "promoted")
    assert promoted["new"] == "shard-0-replica"


def test_nothing_is_acknowledged_without_the_replica_and_an_operator_is_waited_for(
    start: Callable[..., Running],
) -> None:
    running = start(partial(topology, decisions={"mode": "manual", "decide_delay_s": 0.5}))
    refuse_without_replica(running)
    decide_late(running)


def refuse_without_replica(sharded: Running) -> None:
    with online(sharded, (0, 0)) as (ann,):
        kill(sharded, "shard-1-replica")
        held, free = names_on_shard(1)[0], names_on_shard(0)[0]
        ann.client.send(Message("held", held, "x"))
        ann.client.send(Message("free", free, "x"))
        until(lambda: ann.acknowledged == ["free"])
        until(lambda: log_events(sharded, "failover", "replica_lost"))
        assert ann.acknowledged == ["free"]
        sharded.restart("shard-1-replica")
        until(lambda: ann.acknowledged == ["free", "held"])
        until(lambda: len([e for e in log_events(sharded, "failover", "redundant") if e["shard"] == 1]) == 2)


def decide_late(running: Running) -> None:
    kill(running, "shard-1-primary")
    until(lambda: log_events(running, "failover", "promoted"))
    (detected,) = log_events(running, "failover", "detected")
    (promoted,) = log_events(running, "failover", "promoted")
    assert promoted["t_ns"] - detected["t_ns"] >= 500_000_000

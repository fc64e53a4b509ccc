"""The sharded generation and its client, with real databases and real deaths."""

import os
import signal
from collections.abc import Callable
from functools import partial

import gevent
import pytest

from bench.deployment.local.sharded import topology
from bench.load.clients import ConnectionLost, LoginRefused
from bench.load.clients.http import HttpConnection
from services.sharded.routing import shard_of
from tests.integration.conftest import COUNT, Running
from tests.integration.sharded import SAFETY_S, Online, ask, kill, log_events, online, person, until
from tests.unit.clients.ear import Ear, message


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
        HttpConnection(person(1, "wrong")).open(sharded.endpoints[0], Ear())
    with online(sharded, (0, 0), (1, 1)) as (ann, bob):
        for i in range(20):
            ann.send(f"a{i}", "u1", f"é'\"\\\0 {i}" * 20)
            bob.send(f"b{i}", "u0", "hello")
        until(lambda: len(ann.received) == 20 and len(bob.received) == 20)
        until(lambda: len(ann.acknowledged) == 20 and len(bob.acknowledged) == 20)
        assert bob.received == [f"a{i}" for i in range(20)]
        ann.send("x", "nobody", "")
        until(lambda: ann.refused == ["x"])


def send_twice(sharded: Running) -> None:
    with online(sharded, (3, 0)) as (bob,):
        for endpoint in sharded.endpoints:
            ann, ear = HttpConnection(person(2)), Ear()
            ann.open(endpoint, ear)
            for _ in range(2):
                ann.send(message("same", "u3", "once"))
                assert ear.hear(1) == [("acknowledged", "same")]
            ann.send(message(f"then-{endpoint.port}", "u3", "next"))
            ann.close()
        until(lambda: len(bob.received) == 3)
        assert bob.received == ["same", *(f"then-{endpoint.port}" for endpoint in sharded.endpoints)]


def receive_what_came_while_away(sharded: Running) -> None:
    bob, ear = HttpConnection(person(5)), Ear()
    with online(sharded, (4, 0)) as (ann,):
        for life in range(3):
            ann.send(f"m{life}", "u5", "x")
            until(lambda: not ann.waits)
            bob.open(sharded.endpoints[life % 2], ear)
            assert ear.hear(1) == [("delivered", f"m{life}", "u4", "x", "")]
            bob.close()
    assert ear.told == []


def burst(sender: Online, addressees: list[str], prefix: str, count: int, per_s: float) -> list[str]:
    """Send `count` messages, the addressees in turn; gives the ids."""
    ids = []
    for i in range(count):
        ids.append(f"{prefix}-{i:05d}")
        sender.send(ids[-1], addressees[i % len(addressees)], "b" * 60)
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
        until(lambda: not any(client.waits for client in clients))
        assert [event["shard"] for event in log_events(sharded, "failover", "detected")] == [0]
        (promoted,) = log_events(sharded, "failover", "promoted")
        (decided,), (replayed,) = (log_events(sharded, "failover", step) for step in ("decided", "replayed"))
        assert decided["t_ns"] < replayed["t_ns"] < promoted["t_ns"]
        assert (promoted["target"], promoted["epoch"]) == ("shard-0-replica", 2)
        assert {event["old"] for event in (decided, replayed, promoted)} == {"shard-0-primary"}

        sharded.restart("shard-0-primary")
        until(lambda: [e for e in log_events(sharded, "failover", "redundant") if e["epoch"] == 2])

        # The other way round: what was primary first holds all that was acknowledged, and is promoted.
        kill(sharded, "shard-0-replica")
        sent.update(burst(clients[0], names_on_shard(0), "t", 50, 500))
        until(lambda: not clients[0].waits)
        assert log_events(sharded, "failover", "promoted")[-1]["target"] == "shard-0-primary"

        until(lambda: sum(len(client.received) for client in clients) >= len(sent))
        delivered = [i for client in clients for i in client.received]
        assert sorted(delivered) == sorted(sent)
        for client in clients:
            for prefix in {i.partition("-")[0] for i in client.received}:
                conversation = [i for i in client.received if i.startswith(f"{prefix}-")]
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
        until(lambda: not ann.waits)
        until(lambda: [e for e in log_events(sharded, "failover", "redundant") if e["epoch"] == 2])
        assert log_events(sharded, "failover", "fenced")
        expected = [i for number, i in enumerate(sent) if addressees[number % len(addressees)] == "u1"]
        until(lambda: len(bob.received) >= len(expected))
        assert bob.received == expected


def test_a_primary_that_died_with_commits_nobody_was_told_of_is_rebuilt(sharded: Running) -> None:
    name = names_on_shard(0)[0]
    with online(sharded, (0, 0), (int(name[1:]), 1)) as (ann, bob):
        before = burst(ann, [name], "a", 300, 1000)
        until(lambda: len(ann.acknowledged) == len(before))
        ask(sharded, "shard-0-replica", "STOP SLAVE IO_THREAD")
        position = ask(sharded, "shard-0-primary", "SELECT @@gtid_binlog_pos")
        ann.send("b-untold", name, "x")
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
        until(lambda: not ann.waits)
        until(lambda: len(bob.received) >= len(before) + 1 + len(after))
        assert bob.received == [*before, "b-untold", *after]
    again, ear = HttpConnection(person(int(name[1:]))), Ear()
    again.open(sharded.endpoints[0], ear)
    assert [told[1] for told in ear.hear(len(bob.received))] == bob.received
    again.close()


def test_the_deaths_of_an_api_node_and_of_failover_are_survived(sharded: Running) -> None:
    move_to_the_other_api_node(sharded)
    promote_after_failover_was_killed(sharded)


def move_to_the_other_api_node(sharded: Running) -> None:
    with online(sharded, (0, 0), (1, 0)) as (ann, bob):
        sending = gevent.spawn(burst, ann, ["u1"], "a", 200, 400)
        until(lambda: len(bob.received) > 20)
        kill(sharded, "api-1")
        sent = sending.get(timeout=SAFETY_S)
        until(lambda: not ann.waits and len(bob.received) >= len(sent))
        assert sorted(set(bob.received)) == sent
        sharded.restart("api-1")
        back = HttpConnection(person(2))
        with gevent.Timeout(SAFETY_S):
            while True:
                try:
                    back.open(sharded.endpoints[0], Ear())
                    break
                except ConnectionLost:
                    gevent.sleep(0.05)
        back.close()


def promote_after_failover_was_killed(sharded: Running) -> None:
    kill(sharded, "failover")
    kill(sharded, "shard-0-primary")
    sharded.restart("failover")
    with online(sharded, (0, 0)) as (ann,):
        ann.send("m", names_on_shard(0)[0], "x")
        until(lambda: ann.acknowledged == ["m"])
    (promoted,) = log_events(sharded, "failover", "promoted")
    assert promoted["target"] == "shard-0-replica"


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
        ann.send("held", held, "x")
        ann.send("free", free, "x")
        until(lambda: ann.acknowledged == ["free"])
        until(lambda: log_events(sharded, "failover", "replica_lost"))
        assert log_events(sharded, "failover", "detected")[-1]["target"] == "shard-1-replica"
        assert ann.acknowledged == ["free"]
        sharded.restart("shard-1-replica")
        until(lambda: ann.acknowledged == ["free", "held"])
        until(lambda: len([e for e in log_events(sharded, "failover", "redundant") if e["shard"] == 1]) == 2)


def decide_late(running: Running) -> None:
    kill(running, "shard-1-primary")
    until(lambda: log_events(running, "failover", "promoted"))
    detected = log_events(running, "failover", "detected")[-1]
    assert detected["target"] == "shard-1-primary"
    (promoted,) = log_events(running, "failover", "promoted")
    assert promoted["t_ns"] - detected["t_ns"] >= 500_000_000

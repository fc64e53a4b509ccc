"""Groups, syncs and presences of the sharded generation, with real databases and real deaths."""

import json
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.deployment.local.sharded import topology
from bench.deployment.local.topology import Site, Topology
from bench.load.clients.http import HttpConnection
from services.sharded.routing import shard_of
from tests.integration.conftest import COUNT, Running
from tests.integration.sharded import ask, kill, log_events, online, person, until
from tests.unit.clients.ear import Ear

GROUPS = [[0, 1, 2, 5], [0, 3], *[list(range(COUNT))] * 10]
ON_SHARD_0 = next(f"g{n}" for n in range(len(GROUPS)) if shard_of(f"g{n}", 2) == 0)


@pytest.fixture
def sharded(start: Callable[[Callable[[Site], Topology]], Running], tmp_path: Path) -> Running:
    groups = tmp_path / "groups.json"
    groups.write_text(json.dumps(GROUPS))
    return start(lambda site: topology(replace(site, people={**site.people, "groups_file": str(groups)})))


def metric(running: Running, name: str) -> float:
    """The sum of a counter over the api nodes."""
    total = 0.0
    for process in running.deployment.topology.processes:
        if process.name.startswith("api"):
            with urllib.request.urlopen(f"{process.admin_url}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
            total += sum(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))
    return total


def test_a_message_to_a_group_comes_once_to_each_other_member_and_waits_for_who_is_away(
    sharded: Running,
) -> None:
    with online(sharded, (0, 0), (1, 1), (2, 0), (4, 1)) as (ann, bob, carol, stranger):
        for number in range(30):
            ann.ask("group_send", f"m{number}", "g0", f"é'\"\\ {number}")
        until(lambda: len(bob.messages) >= 30 and len(carol.messages) >= 30 and not ann.waits)
        expected = [(f"m{number}", "u0", f"é'\"\\ {number}", "g0") for number in range(30)]
        assert sorted(bob.messages) == sorted(carol.messages) == sorted(expected)
        assert ann.acknowledged == [f"m{number}" for number in range(30)]
        ann.ask("group_send", "m0", "g0", "sent again")
        bob.ask("group_send", "m0", "g0", "another's")
        until(lambda: len(ann.messages) == 1 and len(carol.messages) == 31 and not ann.waits)
        assert ann.messages == [("m0", "u1", "another's", "g0")]

        stranger.ask("group_send", "x1", "g0", "not a member")
        stranger.ask("group_send", "x2", "g99", "no such group")
        until(lambda: len(stranger.refused) == 2)
        assert sorted(stranger.refused) == ["x1", "x2"]
        assert len(bob.messages) == 30

        away, ear = HttpConnection(person(5)), Ear()
        away.open(sharded.endpoints[0], ear)
        told = ear.hear(31)
        assert sorted(one[1] for one in told) == sorted(["m0", *(f"m{n}" for n in range(30))])
        away.close()
    assert metric(sharded, "threegen_group_sends_total") == 32


def test_syncs_are_answered_and_presences_are_kept(sharded: Running) -> None:
    with online(sharded, (0, 0), (1, 1)) as (ann, bob):
        for number, show in enumerate(("away", "dnd", "available", "away")):
            ann.ask("presence", f"p{number}", show)
        for number in range(3):
            bob.ask("send", f"m{number}", "u0", "x")
            ann.ask("sync", f"s{number}")
        until(lambda: not ann.waits and not bob.waits and len(ann.messages) == 3)
        assert ann.received == ["m0", "m1", "m2"]
        assert sorted(ann.acknowledged) == ["p0", "p1", "p2", "p3", "s0", "s1", "s2"]
        primary = f"shard-{shard_of('u0', 2)}-primary"
        assert ask(sharded, primary, "SELECT shown FROM threegen.presences WHERE person=0") == "away"
    assert metric(sharded, "threegen_syncs_total") == 3
    assert metric(sharded, "threegen_presence_changes_total") == 4


def test_what_was_acknowledged_is_copied_by_another_api_node_when_the_first_dies(sharded: Running) -> None:
    group = GROUPS[int(ON_SHARD_0[1:])]
    sender, *others = group
    held = [member for member in others if shard_of(f"u{member}", 2) == 1]
    assert held, "the test wants a member on the other shard"
    with (
        online(sharded, *((member, 1) for member in others)) as members,
        online(sharded, (sender, 0)) as (ann,),
    ):
        kill(sharded, "shard-1-replica")  # from now on shard 1 stores nothing
        until(lambda: log_events(sharded, "failover", "replica_lost"))
        for number in range(20):
            ann.ask("group_send", f"m{number}", ON_SHARD_0, "x")
        until(lambda: not ann.waits)
        assert len(ann.acknowledged) == 20
        kill(sharded, "api-1")
        sharded.restart("shard-1-replica")
        until(lambda: all(len(member.received) >= 20 for member in members))
        for member in members:
            assert sorted(member.received) == sorted(f"m{number}" for number in range(20))
        until(
            lambda: (
                not ask(sharded, "shard-0-primary", "SELECT COUNT(*) FROM threegen.outbox WHERE NOT copied")
            )
        )


def test_what_was_acknowledged_is_copied_when_the_outbox_itself_moves(sharded: Running) -> None:
    sender, *others = GROUPS[int(ON_SHARD_0[1:])]
    with online(
        sharded, *((member, number % 2) for number, member in enumerate([sender, *others]))
    ) as everybody:
        ann, *members = everybody
        for number in range(300):
            ann.ask("group_send", f"m{number}", ON_SHARD_0, "x")
        until(lambda: len(ann.acknowledged) > 50)
        kill(sharded, "shard-0-primary")
        until(lambda: not ann.waits)
        until(lambda: all(len(member.received) >= 300 for member in members))
        for member in members:
            assert sorted(member.received) == sorted(f"m{number}" for number in range(300))

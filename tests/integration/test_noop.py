"""The calibration target as a real process, through each generation's client."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest

from bench.deployment.local.noop import topology
from bench.deployment.local.topology import Site, Topology
from bench.generations import ClientKind
from bench.load.clients import LoginRefused, Request
from bench.load.crowd import connect_with
from bench.records import Person

KINDS: tuple[ClientKind, ...] = ("xmpp", "http", "websocket")
PASSWORD = "open sesame"
BODY = "é <&'\"> " + "x" * 200

Start = Callable[[Callable[[Site], Topology]], Any]
Told = tuple[str, ...]


class Ear:
    """A Listener that keeps what it is told, by kind."""

    def __init__(self) -> None:
        self.acknowledgements: list[str] = []
        self.refusals: list[str] = []
        self.deliveries: list[Told] = []
        self.ends: list[str] = []

    def acknowledged(self, request_id: str) -> None:
        self.acknowledgements.append(request_id)

    def refused(self, request_id: str, reason: str) -> None:
        self.refusals.append(request_id)

    def delivered(self, message_id: str, sender: str, body: str, group: str) -> None:
        self.deliveries.append((message_id, sender, body, group))

    def lost(self, reason: str) -> None:
        self.ends.append(reason)

    def failed(self, error: Exception) -> None:
        self.ends.append(repr(error))


def send(message_id: str, addressee: str, body: str) -> Request:
    return Request("send", message_id, addressee, body, 0)


def wait_until(condition: Callable[[], bool]) -> None:
    with gevent.Timeout(20):
        while not condition():
            gevent.sleep(0.005)


def speaking(kind: ClientKind, folder: Path) -> Callable[[Site], Topology]:
    """The target in one client's protocol, with one group: u0, u1 and u3."""
    path = folder / "groups.json"
    path.write_text(json.dumps([[0, 1, 3]]))

    def lay_out(site: Site) -> Topology:
        return topology(replace(site, people={**site.people, "groups_file": str(path)}), kind)

    return lay_out


@pytest.mark.parametrize("kind", KINDS)
def test_each_client_is_acknowledged_and_delivered_to_in_order(
    start: Start, tmp_path: Path, kind: ClientKind
) -> None:
    (endpoint,) = start(speaking(kind, tmp_path)).endpoints
    connect = connect_with(kind)
    to_alice, to_bob = Ear(), Ear()
    with gevent.Timeout(30):
        for wrong in (Person(0, "u0", "wrong"), Person(99, "u99", PASSWORD)):
            with pytest.raises(LoginRefused):
                connect(wrong).open(endpoint, Ear())
        alice, bob = connect(Person(0, "u0", PASSWORD)), connect(Person(1, "u1", PASSWORD))
        alice.open(endpoint, to_alice)
        bob.open(endpoint, to_bob)
        ids = [f"m{n}" for n in range(300)]
        for name in ids:
            alice.send(send(name, "u1", BODY))
            if name.endswith("0"):
                gevent.sleep(0)
        wait_until(lambda: len(to_bob.deliveries) >= 300 and len(to_alice.acknowledgements) >= 300)
        assert to_bob.deliveries == [(name, "u0", BODY, "") for name in ids]
        assert to_alice.acknowledgements == ids

        bob.send(send("to nobody", "u99", "x"))
        bob.send(send("to one who is away", "u3", "x"))
        wait_until(lambda: bool(to_bob.refusals and to_bob.acknowledgements))
        assert to_bob.refusals == ["to nobody"]
        assert to_bob.acknowledgements == ["to one who is away"]

        alice.close()
        alice.open(endpoint, to_alice)
        bob.send(send("again", "u0", "x"))
        wait_until(lambda: ("again", "u1", "x", "") in to_alice.deliveries)
        assert to_alice.ends == to_bob.ends == []
        alice.close()
        bob.close()


@pytest.mark.parametrize("kind", KINDS)
def test_groups_syncs_and_presences_are_answered(start: Start, tmp_path: Path, kind: ClientKind) -> None:
    (endpoint,) = start(speaking(kind, tmp_path)).endpoints
    connect = connect_with(kind)
    to_alice, to_bob = Ear(), Ear()
    with gevent.Timeout(30):
        alice, bob = connect(Person(0, "u0", PASSWORD)), connect(Person(1, "u1", PASSWORD))
        alice.open(endpoint, to_alice)
        bob.open(endpoint, to_bob)
        alice.send(Request("group_send", "to all", "g0", BODY, 0))
        wait_until(lambda: bool(to_bob.deliveries and to_alice.acknowledgements))
        assert to_bob.deliveries == [("to all", "u0", BODY, "g0")]
        alice.send(Request("sync", "sync-1", "", "", 1))
        alice.send(Request("presence", "presence-2", "away", "", 2))
        wait_until(lambda: len(to_alice.acknowledgements) >= 3)
        assert sorted(to_alice.acknowledgements) == ["presence-2", "sync-1", "to all"]
        assert to_alice.deliveries == []

        stranger, to_stranger = connect(Person(2, "u2", PASSWORD)), Ear()
        stranger.open(endpoint, to_stranger)
        stranger.send(Request("group_send", "not a member", "g0", "x", 0))
        stranger.send(Request("group_send", "no such group", "g1", "x", 1))
        wait_until(lambda: len(to_stranger.refusals) >= 2)
        assert sorted(to_stranger.refusals) == ["no such group", "not a member"]
        assert to_stranger.acknowledgements == []
        for connection in (alice, bob, stranger):
            connection.close()

from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import pytest

from bench.deployment.local.noop import topology
from bench.deployment.local.topology import Site, Topology
from bench.generations import ClientKind
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
from bench.load.clients.http import HttpConnection
from bench.load.clients.websocket import WebSocketConnection
from bench.load.clients.xmpp import XmppConnection
from bench.records import Person

CONNECTIONS: dict[ClientKind, Callable[[Person], Connection]] = {
    "xmpp": XmppConnection,
    "http": HttpConnection,
    "websocket": WebSocketConnection,
}
PASSWORD = "open sesame"
BODY = "é <&'\"> " + "x" * 200

Start = Callable[[Callable[[Site], Topology]], Any]


def listen(connection: Connection) -> list[Event]:
    """Everything that arrives from now on, as it arrives."""
    events: list[Event] = []

    def keep() -> None:
        try:
            for event in connection.events():
                events.append(event)
        except ConnectionLost:
            return

    gevent.spawn(keep)
    return events


def wait_until(condition: Callable[[], bool]) -> None:
    with gevent.Timeout(20):
        while not condition():
            gevent.sleep(0.005)


@pytest.mark.parametrize("kind", list(CONNECTIONS))
def test_each_client_is_acknowledged_and_delivered_to_in_order(start: Start, kind: ClientKind) -> None:
    running = start(partial(topology, client=kind))
    (endpoint,) = running.endpoints
    connect = CONNECTIONS[kind]
    with gevent.Timeout(30):
        for wrong in (Person(0, "u0", "wrong"), Person(99, "u99", PASSWORD)):
            with pytest.raises(LoginRefused):
                connect(wrong).open(endpoint)
        alice, bob = connect(Person(0, "u0", PASSWORD)), connect(Person(1, "u1", PASSWORD))
        alice.open(endpoint)
        bob.open(endpoint)
        to_alice, to_bob = listen(alice), listen(bob)
        ids = [f"m{n}" for n in range(300)]
        for name in ids:
            alice.send(Message(name, "u1", BODY))
            if name.endswith("0"):
                gevent.sleep(0)
        wait_until(lambda: len(to_bob) >= 300 and len(to_alice) >= 300)
        assert to_bob == [Delivered(name, "u0", BODY) for name in ids]
        assert to_alice == [Acknowledged(name) for name in ids]

        bob.send(Message("to nobody", "u99", "x"))
        bob.send(Message("to one who is away", "u3", "x"))
        wait_until(lambda: len(to_bob) >= 302)
        (refused,) = (event for event in to_bob if isinstance(event, Refused))
        assert refused.message_id == "to nobody"
        assert to_bob[-1] == Acknowledged("to one who is away")

        alice.close()
        alice.open(endpoint)
        to_alice = listen(alice)
        bob.send(Message("again", "u0", "x"))
        wait_until(lambda: Delivered("again", "u1", "x") in to_alice)
        alice.close()
        bob.close()

"""One person's connection, in each generation's protocol, on gevent sockets.

A `Connection` speaks one protocol and lives one or more TCP lives: after it is lost, `open` may be
called again, and it carries over what its protocol needs to carry over (the position up to which this
person has received). It never times itself, never retries and never sleeps: `Client` (client.py)
wraps it with reconnecting and resending, and the recorder stamps.

    xmpp.py        monolith        http.py        sharded        websocket.py   microservices
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from bench.records import Endpoint


class ConnectionLost(Exception):
    """The connection ended or could not be made; opening it again, here or elsewhere, may help."""


class LoginRefused(Exception):
    """The server said no to this person; trying again will not help."""


class Message(NamedTuple):
    """One message to be sent. `message_id` is the client's choice and the server's key against duplicates."""

    message_id: str
    addressee: str
    body: str


class Acknowledged(NamedTuple):
    """The server took responsibility for the message, durably by its generation's own rule."""

    message_id: str


class Refused(NamedTuple):
    """The server said no to the message; `reason` is a short word of the protocol's."""

    message_id: str
    reason: str


class Delivered(NamedTuple):
    """A message for this person arrived."""

    message_id: str
    sender: str
    body: str


Event = Acknowledged | Refused | Delivered


class Connection(Protocol):
    """One person's connection in one protocol."""

    def open(self, endpoint: Endpoint) -> None:
        """Connect, log in, and be ready to send and receive; blocks this greenlet.

        Raises ConnectionLost or LoginRefused. What the server held for this person while away follows
        as Delivered events.
        """

    def send(self, message: Message) -> None:
        """Write the message out and return; never waits for an answer. Raises ConnectionLost."""

    def events(self) -> Iterator[Event]:
        """Acknowledgements, refusals and deliveries as they come; blocks between them, in this greenlet.

        Raises ConnectionLost when the connection ends. Closing it from another greenlet ends it too.
        """

    def close(self) -> None:
        """Leave politely where that is quick; never raises; safe in any state and more than once."""

"""One person's connection, in each generation's protocol, on gevent's event loop.

A `Connection` speaks one protocol and lives one or more TCP lives: after it is lost, `open` may be
called again, and it carries over what its protocol needs to carry over (the position up to which this
person has received). It never times itself, never retries and never sleeps: `Client` (client.py)
wraps it with reconnecting and resending, and the recorder stamps.

Opening blocks the greenlet that calls it. From then on nobody waits: what arrives is told to the
listener by callbacks out of the event loop, at a third of what a greenlet that reads would cost.

    xmpp.py        monolith        http.py        sharded        websocket.py   microservices
    request.py     any HTTP server, one plain GET for each request
    wire.py        the TCP connection under all of them
"""

from typing import NamedTuple, Protocol

from bench.records import Endpoint


class ConnectionLost(Exception):
    """The connection ended or could not be made; opening it again, here or elsewhere, may help."""


class LoginRefused(Exception):
    """The server said no to this person; trying again will not help."""


class Request(NamedTuple):
    """One operation asked of the server.

    `operation` is `send`, `group_send`, `sync` or `presence`. `target` is the addressee's account (`u7`)
    of a send, the group (`g3`) of a group send, what the person shows (`available`, `away`, `dnd`) of a
    presence, else empty. `request_id` is the client's choice; of the sends it is the message's id, and
    the server's key against duplicates. `sequence` is its place in the record of who asked.
    """

    operation: str
    request_id: str
    target: str
    body: str
    sequence: int


class Listener(Protocol):
    """Who is told what becomes of a connection. Called from the event loop: must return at once."""

    def acknowledged(self, request_id: str) -> None:
        """The server has done it; of a send, took responsibility, durably by its generation's own rule."""

    def refused(self, request_id: str, reason: str) -> None:
        """The server said no; `reason` is a short word of the protocol's."""

    def delivered(self, message_id: str, sender: str, body: str, group: str) -> None:
        """A message for this person arrived; `group` is the group's name, empty for one to one."""

    def lost(self, reason: str) -> None:
        """The connection has ended by itself: once a life, never after `close`, nothing comes after it."""

    def failed(self, error: Exception) -> None:
        """A defect of the client's own met while reading; nothing comes after it."""


class Connection(Protocol):
    """One person's connection in one protocol."""

    position: int
    """Up to which this person has received, where the protocol counts; what a later life goes on from."""

    def open(self, endpoint: Endpoint, listener: Listener) -> None:
        """Connect, log in, and be ready to send and receive; blocks this greenlet.

        Raises ConnectionLost or LoginRefused. What the server held for this person while away is
        delivered like the rest, some of it perhaps before this returns.
        """

    def send(self, request: Request) -> None:
        """Write the request out; never waits, never raises: that it could not be written `lost` tells."""

    def close(self) -> None:
        """Leave politely where that is quick; never raises; safe in any state and more than once."""

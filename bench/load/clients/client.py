"""One simulated person who stays online: a connection that is made again whenever it is lost.

What was asked and not answered is asked again under the same id after each reconnection, in the
order of asking; servers suppress the duplicates. Waiting times grow exponentially up to a cap with
full jitter (each uniform between 0 and the bound), so that a crowd does not come back in step.
"""

import random
from collections.abc import Callable, Sequence
from typing import Protocol

import gevent
from gevent.event import Event

from bench.load.clients import Connection, ConnectionLost, Request
from bench.records import Endpoint

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 2.0


class Witness(Protocol):
    """Who keeps the record of a client; stamps what it is told. Must return at once."""

    def answered(self, person: int, request: Request, ok: bool) -> None:
        """A request of person `person` was answered, for the first time."""

    def sent_again(self, person: int, request: Request) -> None:
        """A request of theirs went out once more, after a reconnection, under the same id."""

    def delivered(self, person: int, message_id: str, sender: str, body: str, group: str) -> None:
        """A message arrived for them."""

    def turned(self, person: int, online: bool) -> None:
        """Their connection is up now, or down."""

    def failed(self, person: int, error: Exception) -> None:
        """Their client has a defect."""


class Client:
    """A person's connection with reconnecting and resending; a bench.load.clients.Listener.

    `open` and `wait_lost` are called by turns in the person's own greenlet; `send` may be called from any
    other. While the connection is down `send` only keeps the request: it goes out with the next connection.
    """

    __slots__ = (
        *("_closed", "_connection", "_down", "_endpoints", "_kept", "_next_endpoint", "_random"),
        *("_returning", "_seed", "_sleep", "_unanswered", "_witness", "number", "online", "resent"),
    )

    def __init__(
        self,
        number: int,
        connection: Connection,
        endpoints: Sequence[Endpoint],
        witness: Witness,
        *,
        seed: int,
        sleep: Callable[[float], None] = gevent.sleep,
    ) -> None:
        self.number = number
        self._connection = connection
        self._endpoints = endpoints
        self._witness = witness
        self._next_endpoint = number
        self._seed = seed
        self._random: random.Random | None = None
        self._sleep = sleep
        self._unanswered: dict[str, Request] = {}
        self._kept: set[str] = set()
        self._returning: list[Request] = []
        self._down = Event()
        self._closed = False
        self.online = False
        self.resent = 0

    @property
    def position(self) -> int:
        """Up to which this person has received, where the protocol counts."""
        return self._connection.position

    @property
    def returning(self) -> bool:
        """Whether the connection is down because it was asked to be left."""
        return bool(self._returning)

    @property
    def unanswered(self) -> int:
        """How many requests were sent, or kept for sending, and not answered yet."""
        return len(self._unanswered) + len(self._returning)

    def open(self) -> None:
        """Connect and log in, trying for as long as it takes; raises LoginRefused."""
        failures = 0
        while not self._closed:
            endpoint = self._endpoints[self._next_endpoint % len(self._endpoints)]
            self._down.clear()
            try:
                self._connection.open(endpoint, self)
            except ConnectionLost:
                self._connection.close()
                self._next_endpoint += 1
                bound = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**failures)
                failures += 1
                self._sleep(self._jitter().uniform(0, bound))
                continue
            if self._closed:
                self._connection.close()
                return
            self._turn(online=True)
            kept, self._kept = self._kept, set()
            for request in list(self._unanswered.values()):
                self._connection.send(request)
                if request.request_id not in kept:  # it was written before, into a connection now gone
                    self.resent += 1
                    self._witness.sent_again(self.number, request)
            returned, self._returning = self._returning, []
            for request in returned:
                self._witness.answered(self.number, request, True)
            return

    def wait_lost(self) -> bool:
        """Wait until the connection is lost, or left to be made again; False once closed for good."""
        self._down.wait()
        if self._closed:
            return False
        self._turn(online=False)
        self._connection.close()
        return True

    def send(self, request: Request) -> None:
        """Ask now, or with the next connection; never waits, never raises."""
        self._unanswered[request.request_id] = request
        if self.online:
            self._connection.send(request)
        else:
            self._kept.add(request.request_id)

    def leave_and_return(self, request: Request) -> None:
        """Log out and in again; `request` is answered once that is done."""
        self._returning.append(request)
        self._turn(online=False)
        self._connection.close()
        self._down.set()

    def drop(self) -> bool:
        """End the connection, which is then made again as after any loss; whether there was one."""
        if not self.online:
            return False
        self._turn(online=False)
        self._connection.close()
        self._down.set()
        return True

    def close(self) -> None:
        """Leave for good; `wait_lost` ends."""
        self._closed = True
        self._turn(online=False)
        self._connection.close()
        self._down.set()

    def acknowledged(self, request_id: str) -> None:
        """See Listener."""
        request = self._unanswered.pop(request_id, None)
        if request is not None:
            self._witness.answered(self.number, request, True)

    def refused(self, request_id: str, reason: str) -> None:
        """See Listener."""
        request = self._unanswered.pop(request_id, None)
        if request is not None:
            self._witness.answered(self.number, request, False)

    def delivered(self, message_id: str, sender: str, body: str, group: str) -> None:
        """See Listener."""
        self._witness.delivered(self.number, message_id, sender, body, group)

    def lost(self, reason: str) -> None:
        """See Listener."""
        self._turn(online=False)
        self._down.set()

    def failed(self, error: Exception) -> None:
        """See Listener."""
        self._turn(online=False)
        self._witness.failed(self.number, error)

    def _jitter(self) -> random.Random:
        """Made when it is first needed: 2.5 kB, for each of thousands of people."""
        if self._random is None:
            self._random = random.Random(self._seed)
        return self._random

    def _turn(self, *, online: bool) -> None:
        if online is not self.online:
            self.online = online
            self._witness.turned(self.number, online)

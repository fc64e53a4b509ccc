"""One simulated person who stays online: a connection that is made again whenever it is lost.

What was sent and not acknowledged is sent again under the same id after each reconnection, in the
order of sending; servers suppress the duplicates. Waiting times grow exponentially up to a cap with
full jitter (each uniform between 0 and the bound), so that a crowd does not come back in step.
"""

import random
from collections.abc import Callable, Iterator, Sequence

import gevent

from bench.load.clients import (
    Acknowledged,
    Connection,
    ConnectionLost,
    Event,
    Message,
    Refused,
)
from bench.records import Endpoint

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 2.0


class Client:
    """A person's connection with reconnecting and resending.

    `events` runs in the person's own greenlet, for ever; `send` may be called from any other. While
    the connection is down `send` only keeps the message: it goes out with the next connection.
    """

    def __init__(
        self,
        connection: Connection,
        endpoints: Sequence[Endpoint],
        *,
        first_endpoint: int,
        seed: int,
        sleep: Callable[[float], None] = gevent.sleep,
    ) -> None:
        self._connection = connection
        self._endpoints = endpoints
        self._next_endpoint = first_endpoint
        self._random = random.Random(seed)
        self._sleep = sleep
        self._unacknowledged: dict[str, Message] = {}
        self._closed = False
        self.online = False
        self.logins = 0
        self.resent = 0

    @property
    def unacknowledged(self) -> int:
        """How many messages were sent, or kept for sending, and not answered yet."""
        return len(self._unacknowledged)

    def open(self) -> None:
        """Connect and log in, trying for as long as it takes; raises LoginRefused."""
        failures = 0
        while not self._closed:
            endpoint = self._endpoints[self._next_endpoint % len(self._endpoints)]
            try:
                self._connection.open(endpoint)
                self._resend()
            except ConnectionLost:
                self._connection.close()
                self._next_endpoint += 1
                bound = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**failures)
                failures += 1
                self._sleep(self._random.uniform(0, bound))
                continue
            self.logins += 1
            self.online = True
            return

    def send(self, message: Message) -> None:
        """Send the message now, or with the next connection; never waits, never raises."""
        self._unacknowledged[message.message_id] = message
        if not self.online:
            return
        try:
            self._connection.send(message)
        except ConnectionLost:
            self.online = False  # the listening greenlet notices too, and reconnects

    def events(self) -> Iterator[Event]:
        """What arrives for this person, across reconnections, until `close`. Call `open` first."""
        while not self._closed:
            try:
                for event in self._connection.events():
                    if isinstance(event, Acknowledged | Refused):
                        self._unacknowledged.pop(event.message_id, None)
                    yield event
            except ConnectionLost:
                pass
            self.online = False
            self._connection.close()
            self.open()

    def close(self) -> None:
        """Leave for good; `events` ends."""
        self._closed = True
        self.online = False
        self._connection.close()

    def _resend(self) -> None:
        sent: set[str] = set()
        while pending := [m for i, m in self._unacknowledged.items() if i not in sent]:
            for message in pending:  # writing may yield, and more be kept meanwhile
                sent.add(message.message_id)
                self._connection.send(message)
                self.resent += 1

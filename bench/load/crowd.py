"""The people of one load process: their clients, and what becomes of what arrives for them.

Each person's own greenlet calls `live`: it logs in and listens. The dispatcher sends from any of them.
Nothing here waits for anything but the network.
"""

import time
import traceback
from collections.abc import Callable, Sequence

from bench.load.clients import Acknowledged, Connection, Delivered, LoginRefused
from bench.load.clients.client import Client
from bench.load.ledger import Ledger, sequence_of
from bench.load.recorder import Recorder
from bench.records import Endpoint, Person

Connect = Callable[[Person], Connection]
"""Makes the connection of one person, in the generation's protocol; it is not open yet."""


def connect_with(kind: str) -> Connect:
    """The protocol called `kind`: `xmpp`, `http` or `websocket`."""
    if kind == "xmpp":
        from bench.load.clients.xmpp import XmppConnection

        return XmppConnection
    if kind == "http":
        from bench.load.clients.http import HttpConnection

        return HttpConnection
    from bench.load.clients.websocket import WebSocketConnection

    return WebSocketConnection


class Crowd:
    """`size` people, numbered from 0; `clients[n]` is person n's once they have begun to live."""

    def __init__(
        self,
        size: int,
        password: str,
        connect: Connect,
        endpoints: Sequence[Endpoint],
        recorder: Recorder,
        ledger: Ledger,
        *,
        seed: int,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.size = size
        self.clients: list[Client] = []
        self.failures: list[str] = []
        self.last_arrival_ns = 0
        self._password = password
        self._connect = connect
        self._endpoints = endpoints
        self._recorder = recorder
        self._ledger = ledger
        self._seed = seed
        self._clock_ns = clock_ns

    @property
    def online(self) -> int:
        """How many people are connected at this moment."""
        return sum(client.online for client in self.clients)

    @property
    def resent(self) -> int:
        """How often a message was sent again after a reconnection."""
        return sum(client.resent for client in self.clients)

    def next_person(self) -> Person:
        """Someone who does not live yet."""
        number = len(self.clients)
        person = Person(number, f"u{number}", self._password)
        self.clients.append(
            Client(
                self._connect(person),
                self._endpoints,
                first_endpoint=number,
                seed=self._seed + number,
            )
        )
        return person

    def live(self, person: Person) -> None:
        """Log in and listen until the client is closed; what ends it otherwise is kept in `failures`."""
        client = self.clients[person.number]
        intended_ns = self._clock_ns()
        try:
            try:
                client.open()
            except LoginRefused:
                self._recorder.login(intended_ns, self._clock_ns(), ok=False)
                raise
            self._recorder.login(intended_ns, self._clock_ns(), ok=True)
            self._listen(person, client)
        except LoginRefused as refusal:
            self.failures.append(f"login refused: {person.name}: {refusal}")
        except Exception as error:  # a greenlet's edge: the whole load fails, not one person silently
            traceback.print_exc()
            self.failures.append(f"{person.name}: {type(error).__name__}: {error}")

    def _listen(self, person: Person, client: Client) -> None:
        clock_ns, recorder, ledger = self._clock_ns, self._recorder, self._ledger
        for event in client.events():
            now_ns = clock_ns()
            self.last_arrival_ns = now_ns
            if isinstance(event, Delivered):
                parsed = ledger.deliver(event.message_id, event.sender, person.number, event.body)
                if parsed is not None:
                    recorder.delivered(recorder.origin_ns + parsed.intended_us * 1000, now_ns)
                continue
            sequence = sequence_of(event.message_id)
            ok = isinstance(event, Acknowledged)
            if recorder.answered(sequence, now_ns, ok=ok):
                if ok:
                    ledger.acknowledge(sequence)
                else:
                    ledger.refuse(sequence)

    def close(self) -> None:
        """Everybody leaves."""
        for client in self.clients:
            client.close()

"""The people of one load process: their clients, and what becomes of what arrives for them.

Each person's own greenlet calls `live`: it logs in, sleeps, and logs in again when the connection is
lost. The dispatcher asks from any of them. Nothing here waits for anything but the network.
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from bench.load.clients import Connection, LoginRefused, Request
from bench.load.clients.arrivals import arrivals
from bench.load.clients.client import Client
from bench.load.ledger import Ledger
from bench.load.recorder import GROUP_SEND, MESSAGES, SEND, Recorder
from bench.records import OPERATIONS, Endpoint, Person

Connect = Callable[[Person], Connection]
"""Makes the connection of one person, in the generation's protocol; it is not open yet."""
MESSAGE_NAMES = frozenset(OPERATIONS[number] for number in MESSAGES)


def connect_with(kind: str) -> Connect:
    """The protocol called `kind`: `xmpp`, `http`, `websocket` or `request`."""
    if kind == "xmpp":
        from bench.load.clients.xmpp import XmppConnection

        return XmppConnection
    if kind == "http":
        from bench.load.clients.http import HttpConnection

        return HttpConnection
    if kind == "request":
        from bench.load.clients.request import RequestConnection

        return RequestConnection
    from bench.load.clients.websocket import WebSocketConnection

    return WebSocketConnection


class Crowd:
    """The people with the numbers of `share`; a bench.load.clients.client.Witness.

    `clients` are those of the people who have begun to live, by number from `share.start` on.
    """

    def __init__(
        self,
        share: range,
        password: str,
        connect: Connect,
        endpoints: Sequence[Endpoint],
        recorder: Recorder,
        ledger: Ledger,
        *,
        seed: int,
        positions: Mapping[int, int] = MappingProxyType({}),
        clock_ns: Callable[[], int] | None = None,
    ) -> None:
        self.share = share
        self.clients: list[Client] = []
        self.online = 0
        """How many people are connected at this moment."""
        self.failures: list[str] = []
        self.last_arrival_ns = 0
        self.told: Callable[[int, int], None] | None = None
        """Called with person and sequence for each answer, where somebody waits for answers."""
        self._password = password
        self._connect = connect
        self._endpoints = endpoints
        self._recorder = recorder
        self._ledger = ledger
        self._seed = seed
        self._positions = positions
        self._clock_ns = clock_ns or arrivals().now_ns

    @property
    def offline(self) -> int:
        """How many of those who have begun to live are not connected."""
        return len(self.clients) - self.online

    @property
    def positions(self) -> dict[int, int]:
        """Up to which everybody has received, by number, where the protocol counts."""
        return {client.number: client.position for client in self.clients}

    @property
    def resent(self) -> int:
        """How often a request was sent again after a reconnection."""
        return sum(client.resent for client in self.clients)

    def live(self) -> None:
        """Be the next person: log in and stay online until closed; what ends it otherwise is in `failures`.

        Returns at once where everybody of the share lives already.
        """
        if len(self.clients) == len(self.share):
            return
        number = self.share[len(self.clients)]
        person = Person(number, f"u{number}", self._password, self._positions.get(number, 0))
        client = Client(number, self._connect(person), self._endpoints, self, seed=self._seed + number)
        self.clients.append(client)
        try:
            self._log_in(client)
            while client.wait_lost():
                if not client.returning:
                    self._recorder.disconnected(number, self._clock_ns())
                self._log_in(client, asked=client.returning)
        except LoginRefused as refusal:
            self.failures.append(f"login refused: {person.name}: {refusal}")
        except Exception as error:  # a greenlet's edge: the whole load fails, not one person silently
            self.failed(number, error)

    def _log_in(self, client: Client, *, asked: bool = False) -> None:
        """Log in, and record it, but where it was `asked` for: then it is an operation of its own."""
        intended_ns = self._clock_ns()
        try:
            client.open()
        except LoginRefused:
            self._recorder.login(intended_ns, self._clock_ns(), ok=False)
            raise
        if client.online and not asked:
            self._recorder.login(intended_ns, self._clock_ns(), ok=True)

    def answered(self, person: int, request: Request, ok: bool) -> None:
        """See Witness."""
        self.last_arrival_ns = now_ns = self._clock_ns()
        self._recorder.answered(request.sequence, now_ns, ok)
        if request.operation in MESSAGE_NAMES:
            if ok:
                self._ledger.acknowledge(request.sequence)
            else:
                self._ledger.refuse(request.sequence)
        if self.told is not None:
            self.told(person, request.sequence)

    def sent_again(self, person: int, request: Request) -> None:
        """See Witness."""
        if request.operation in MESSAGE_NAMES:
            self._ledger.sent_again(request.sequence)

    def delivered(self, person: int, message_id: str, sender: str, body: str, group: str) -> None:
        """See Witness."""
        self.last_arrival_ns = now_ns = self._clock_ns()
        intended_us = self._ledger.deliver(message_id, sender, person, body, group)
        if intended_us is not None:
            recorder = self._recorder
            operation = GROUP_SEND if group else SEND
            recorder.delivered(operation, recorder.origin_ns + intended_us * 1000, now_ns)

    def turned(self, person: int, online: bool) -> None:
        """See Witness."""
        self.online += 1 if online else -1

    def failed(self, person: int, error: Exception) -> None:
        """See Witness."""
        traceback.print_exception(error)
        self.failures.append(f"u{person}: {type(error).__name__}: {error}")

    def drop(self) -> int:
        """End everybody's connection at once; how many had one. They come back as after any loss."""
        return sum([client.drop() for client in self.clients])

    def close(self) -> None:
        """Everybody leaves."""
        for client in self.clients:
            client.close()

"""One person's account, and what it and the domain see of the sessions that are connected."""

from collections import deque
from typing import Protocol

from services.monolith.records import Message


class Connected(Protocol):
    """A session as its account and the domain know it; session.py has the real one."""

    account: "Account | None"
    resource: str
    jid: str
    written_jid: str
    presence_inner: str
    available: bool
    priority: int
    paused: bool
    received: int
    durable: int
    committing: int

    @property
    def owner(self) -> "Account":
        """The account it is bound to; only asked of a bound session."""

    def deliver(self, message: Message, *, late: bool) -> None:
        """Write a message out, and remember it until the client has acknowledged it."""

    def write_stanza(self, data: bytes) -> None:
        """Write out a stanza that nobody stores."""

    def write_presence(self, other: "Connected", to: str) -> None:
        """Write out `other`'s presence."""

    def acknowledge(self) -> None:
        """Tell the client what is durable."""

    def take_unacknowledged(self) -> list[Message]:
        """Messages that the client has not acknowledged; it forgets them."""

    def look_after(self, now: float) -> None:
        """End what takes too long, ask for acknowledgements that have not come."""

    def end(self, condition: str | None, explanation: str = "") -> None:
        """Close the stream."""


class Account:
    """One person's account: who is connected, and what waits for somebody to connect.

    `sessions` are the bound ones by resource; `chosen` is the one that gets what is addressed to the
    bare JID, None while nobody is available.
    """

    __slots__ = ("chosen", "index", "jid", "queue", "sessions")

    def __init__(self, index: int, jid: str) -> None:
        self.index = index
        self.jid = jid
        self.sessions: dict[str, Connected] = {}
        self.chosen: Connected | None = None
        self.queue: deque[Message] = deque()

    def choose(self) -> None:
        """Choose anew: the highest priority that is not negative, of equals the latest (RFC 6121, 8.5.2)."""
        chosen = None
        for session in self.sessions.values():
            if (
                session.available
                and session.priority >= 0
                and (chosen is None or session.priority >= chosen.priority)
            ):
                chosen = session
        self.chosen = chosen

    def drain(self) -> None:
        """Write out what waits, as far as the chosen session takes it."""
        session, queue = self.chosen, self.queue
        while queue and session is not None and not session.paused:
            session.deliver(queue.popleft(), late=True)

    def take_back(self, messages: list[Message]) -> None:
        """Put messages that a lost session had not acknowledged back, in their order."""
        if messages:
            self.queue = deque(sorted([*messages, *self.queue], key=lambda message: message.number))
        self.drain()

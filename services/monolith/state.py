"""What the server must not forget: messages on their way, and which messages it has taken already.

It changes through records only, so replaying a journal gives what serving gave.
"""

from collections.abc import Iterator
from itertools import groupby

from services.monolith.records import Delivered, End, GroupMessage, Keys, Message, Record

KEYS_A_RECORD = 10_000


class RecentKeys:
    """At least the latest `window` keys added, and at most twice as many; in two halves, by age."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._older: dict[str, None] = {}
        self._newer: dict[str, None] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._newer or key in self._older

    def __iter__(self) -> Iterator[str]:
        """Oldest first."""
        yield from self._older
        yield from self._newer

    def add(self, key: str) -> None:
        """Remember `key`, and forget the older half when the newer one is full."""
        self._newer[key] = None
        if len(self._newer) >= self._window:
            self._older = self._newer
            self._newer = {}


class State:
    """The durable state. `undelivered` holds messages by number, in the order they were taken."""

    def __init__(self, duplicate_window: int) -> None:
        self.undelivered: dict[int, Message] = {}
        self.taken = RecentKeys(duplicate_window)
        self.next_number = 1

    def apply(self, record: Record) -> None:
        """Take in one record. Each may be applied again: a snapshot may know what its journal repeats."""
        match record:
            case Message():
                self.undelivered[record.number] = record
                self.next_number = max(self.next_number, record.number + 1)
                key = record.key
                if key is not None:
                    self.taken.add(key)
            case GroupMessage():
                for message in record.messages():
                    self.undelivered[message.number] = message
                    self.next_number = max(self.next_number, message.number + 1)
                key = record.key
                if key is not None:
                    self.taken.add(key)
            case Delivered():
                for number in record.numbers:
                    self.undelivered.pop(number, None)
            case Keys():
                for key in record.keys:
                    self.taken.add(key)
            case End():
                self.next_number = max(self.next_number, record.next_number)

    def records(self) -> Iterator[Record]:
        """This state as a snapshot's records."""
        keys = tuple(self.taken)
        for start in range(0, len(keys), KEYS_A_RECORD):
            yield Keys(keys[start : start + KEYS_A_RECORD])
        for _, together in groupby(self.undelivered.values(), lambda message: id(message.stanza)):
            messages = list(together)
            if messages[0].shared:
                yield _whole(messages)
            else:
                yield from messages
        yield End(self.next_number)


def _whole(messages: list[Message]) -> GroupMessage:
    """One message to a group again, from those of its addressees who do not have it yet."""
    first = messages[0]
    return GroupMessage(
        first.stored_ms,
        first.sender,
        first.message_id,
        first.stanza,
        tuple(message.number for message in messages),
        tuple(message.addressee for message in messages),
    )

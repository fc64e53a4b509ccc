"""Everybody's mailbox, folded from the log: pure, so the same log always gives the same mailboxes.

Entries are applied in order, each once. A message whose (sender, message id) stands among the last
`remembered` of its partition is a duplicate and is left out: this, not the stream's own window, is what
makes a message that was sent again through another gateway arrive once.

A message is kept as the bytes a client is to receive. All of them stay in memory: about 300 bytes each.
"""

from bisect import bisect_right
from typing import NamedTuple

import orjson

from services.microservices.log import position_of

REMEMBERED = 300_000


class Item(NamedTuple):
    """One message in somebody's mailbox: where it stands, and its frame."""

    user: str
    position: int
    frame: bytes


class Mailboxes:
    """The mailboxes of one partition's users."""

    def __init__(self, *, remembered: int = REMEMBERED) -> None:
        self.last = 0
        """Sequence of the last entry applied."""
        self.duplicates = 0
        self._boxes: dict[str, tuple[list[int], list[bytes]]] = {}
        self._recent: set[str] = set()
        self._older: set[str] = set()
        self._half = remembered // 2

    def apply(self, sequence: int, record: bytes) -> list[Item]:
        """Apply the entry after the last one; gives the messages that were new, in order."""
        assert sequence > self.last
        self.last = sequence
        items = []
        for index, (number, sender, message_id, addressee, body) in enumerate(orjson.loads(record)):
            key = f"{sender}\0{message_id}"
            if key in self._recent or key in self._older:
                self.duplicates += 1
                continue
            self._remember(key)
            position = position_of(sequence, index)
            frame = orjson.dumps(
                {
                    "op": "message",
                    "seq": number,
                    "at": position,
                    "id": message_id,
                    "from": sender,
                    "body": body,
                }
            )
            positions, frames = self._boxes.setdefault(addressee, ([], []))
            positions.append(position)
            frames.append(frame)
            items.append(Item(addressee, position, frame))
        return items

    def after(self, user: str, position: int, *, most_items: int, most_bytes: int) -> tuple[list[Item], bool]:
        """The user's messages after `position`, a page of them (at least one), and whether more remain."""
        positions, frames = self._boxes.get(user, ([], []))
        first = bisect_right(positions, position)
        page: list[Item] = []
        size = 0
        for index in range(first, len(positions)):
            size += len(frames[index])
            if page and (len(page) >= most_items or size > most_bytes):
                return page, True
            page.append(Item(user, positions[index], frames[index]))
        return page, False

    def _remember(self, key: str) -> None:
        self._recent.add(key)
        if len(self._recent) >= self._half:
            self._older, self._recent = self._recent, set()

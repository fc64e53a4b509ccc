"""Everybody's mailbox, folded from the log: pure, so the same log always gives the same mailboxes.

Entries are applied in order, each once. A message whose (sender, message id) stands among the last
`remembered` of its partition is a duplicate and is left out: this, not the stream's own window, is what
makes a message that was sent again through another gateway arrive once, and one to a group that was copied
into the partition again.

A message is kept as the bytes a client is to receive. All of them stay in memory: about 300 bytes each.
"""

from bisect import bisect_right
from typing import NamedTuple

import orjson

from services.microservices.log import position_of

REMEMBERED = 300_000


def _rest(told: dict[str, str]) -> bytes:
    """What all addressees of a message are told, in JSON but for the brace at its beginning."""
    return orjson.dumps(told)[1:]


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
        items: list[Item] = []
        index = 0
        for entry in orjson.loads(record):
            number, sender, message_id, addressee, body = entry[:5]
            key = f"{sender}\0{message_id}"
            known = key in self._recent or key in self._older
            if known:
                self.duplicates += 1
            else:
                self._remember(key)
            told = {"id": message_id, "from": sender, "body": body}
            if len(entry) == 5:
                if not known:
                    items.append(self._put(position_of(sequence, index), number, addressee, _rest(told)))
                index += 1
                continue
            if not known:
                told["group"] = entry[5]
                rest = _rest(told)  # once for all members
                for place, (one, member) in enumerate(zip(number, addressee, strict=True), index):
                    items.append(self._put(position_of(sequence, place), one, member, rest))
            index += len(addressee)
        return items

    def _put(self, position: int, number: int, addressee: str, rest: bytes) -> Item:
        frame = b'{"op":"message","seq":%d,"at":%d,%b' % (number, position, rest)
        positions, frames = self._boxes.setdefault(addressee, ([], []))
        positions.append(position)
        frames.append(frame)
        return Item(addressee, position, frame)

    def reach(self, user: str, position: int) -> int:
        """The position of the user's last message, or `position` where that is not before it."""
        positions, _ = self._boxes.get(user, ([], []))
        return max(positions[-1], position) if positions else position

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

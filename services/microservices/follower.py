"""Following one stream of the log: every entry once, in order, none skipped.

Entries that somebody tells of are taken at once, when they are the next; all others are fetched from the
log, at once where one is missing and every half second in any case.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from services.microservices.bus import Unavailable
from services.microservices.log import RETRY_S

FETCH_EVERY_S = 0.5
HOLE_AFTER_READS = 3
"""So many reads in a row that begin behind the next entry show that it is not there any more."""


class Reading(Protocol):
    """Where entries are fetched from."""

    async def read(self, after: int) -> tuple[list[tuple[int, bytes]], int]:
        """As log.Reader.read."""


class Follower:
    """One stream, from behind entry `last` on. `apply` is called with each entry's sequence and record."""

    def __init__(
        self,
        reader: Reading,
        apply: Callable[[int, bytes], None],
        *,
        last: int = 0,
        fetched: Callable[[], None],
        retried: Callable[[], None],
        hole: Callable[[int, int], None],
    ) -> None:
        self.last = last
        self.caught_up = asyncio.Event()
        """Set once everything that was in the log at some moment since the start was applied."""
        self._reader = reader
        self._apply = apply
        self._fetched = fetched
        self._retried = retried
        self._hole = hole
        self._wanted = asyncio.Event()

    def told(self, sequence: int, record: bytes) -> bool:
        """Take an entry that was just stored, where it is the next one; empty where it is only known of."""
        if sequence == self.last + 1 and record:
            self._take(sequence, record)
            return True
        if sequence > self.last:
            self._wanted.set()
        return False

    async def run(self) -> None:
        """Fetch what is missing, for ever."""
        holes = 0
        while True:
            self._wanted.clear()
            before = self.last
            try:
                entries, remaining = await self._reader.read(before)
            except Unavailable:
                self._retried()
                await asyncio.sleep(RETRY_S)
                continue
            for sequence, record in entries:
                if sequence <= self.last:
                    continue
                if sequence != self.last + 1:
                    if holes < HOLE_AFTER_READS:
                        continue
                    self._hole(self.last, sequence)
                holes = 0
                self._fetched()
                self._take(sequence, record)
            await asyncio.sleep(0)  # a long fold leaves the admin port and the bus their turns
            if entries and self.last == before:
                holes += 1
                continue
            if remaining:
                continue
            self.caught_up.set()
            try:
                await asyncio.wait_for(self._wanted.wait(), FETCH_EVERY_S)
            except TimeoutError:
                continue

    def _take(self, sequence: int, record: bytes) -> None:
        self.last = sequence
        self._apply(sequence, record)

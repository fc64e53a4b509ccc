"""People's syncs at a gateway: up to where a mailbox reached when it was read, its owner then has everything.

What is asked while one call to `inbox` is under way goes with the next. A sync is answered once everything
that the mailbox held has been written to who asked: the feed (feed.py) brings it, nothing is sent twice.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

import orjson

from services.microservices import frames
from services.microservices.bus import Unavailable
from services.microservices.log import RETRY_S
from services.microservices.metrics import Messages, Operations
from services.microservices.session import Session

BATCH = 2_000
TIMEOUT_S = 1.0
DEADLINE_S = 30.0

Read = Callable[[bytes, float], Awaitable[bytes]]
"""Ask `inbox`: (JSON list of [user, after], timeout in s) → list of the positions that they reach."""


class Syncs:
    """The syncs that wait to be read for."""

    def __init__(
        self, read: Read, operations: Operations, messages: Messages, *, capacity: int = 20_000
    ) -> None:
        self._read = read
        self._operations = operations
        self._messages = messages
        self._capacity = capacity
        self._waiting: deque[tuple[Session, str, int]] = deque()
        self._wakeup = asyncio.Event()

    def offer(self, session: Session, request_id: str, after: int) -> bool:
        """Queue one sync; False where there are too many, and then it was not taken at all."""
        if len(self._waiting) >= self._capacity:
            return False
        self._waiting.append((session, request_id, after))
        self._wakeup.set()
        return True

    async def run(self) -> None:
        """Read for ever."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                await self._answer(batch)

    async def _answer(self, batch: list[tuple[Session, str, int]]) -> None:
        request = orjson.dumps([(session.user, after) for session, _, after in batch])
        deadline = time.monotonic() + DEADLINE_S
        with self._operations.timed("sync") as timing:
            while True:
                try:
                    reached = orjson.loads(await self._read(request, TIMEOUT_S))
                    break
                except Unavailable:
                    if time.monotonic() > deadline:
                        timing.outcome = "unknown"
                        for session, _, _ in batch:
                            session.end(frames.TRY_AGAIN, "try again")
                        return
                    self._operations.retried("sync")
                    await asyncio.sleep(RETRY_S)
        for (session, request_id, _), position in zip(batch, reached, strict=True):
            session.answer_at(position, frames.acknowledgement(request_id))
        self._messages.syncs(len(batch))

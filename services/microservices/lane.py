"""A lane: one partition's sends through this gateway, or those to groups, in order, one batch at a time.

While a batch is under way the next gathers, so batches grow with the load and nothing waits when there is
none. A batch without an answer is sent again, the same under the same entry id, to whichever `message` node
takes it; the next one waits, so a conversation keeps its order whatever dies. It is tried until its
deadline; what then becomes of it is unknown, so its senders are asked to come again and to resend, rather
than be told "refused" of something that may be stored.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson

from services.microservices import frames
from services.microservices.bus import Unavailable
from services.microservices.metrics import Messages, Operations
from services.microservices.session import Session

BATCH_MESSAGES = 512
BATCH_BYTES = 256 * 1024
FIRST_TIMEOUT_S = 1.0
LONGEST_TIMEOUT_S = 4.0
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.25
DEADLINE_S = 30.0
ANSWER_SHARE = 0.7
"""Of an attempt's timeout, how much the `message` node has for the log, so that it still can answer."""

Ask = Callable[[bytes, float], Awaitable[bytes]]
Send = tuple[Session, tuple[str, str, str, str]]


class Lane:
    """Sends for one partition, or None for those to groups.

    `ask` puts one batch to a `message` node, or to `group`: (payload, timeout in s) → answer. `name` is
    no other lane's, of this gateway or an earlier life of it.
    """

    def __init__(
        self,
        partition: int | None,
        name: str,
        ask: Ask,
        operations: Operations,
        messages: Messages,
        *,
        capacity: int = 20_000,
    ) -> None:
        self._partition = partition
        self._name = name
        self._ask = ask
        self._operations = operations
        self._operation = "send_batch" if partition is not None else "group_send_batch"
        self._messages = messages
        self._acknowledged = messages.acknowledged if partition is not None else messages.group_sends
        self._capacity = capacity
        self._waiting: deque[Send] = deque()
        self._wakeup = asyncio.Event()
        self._batches = 0
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def depth(self) -> int:
        """How many sends wait for the batch under way to end."""
        return len(self._waiting)

    def offer(self, session: Session, send: tuple[str, str, str, str]) -> bool:
        """Queue one send; False where the lane is full, and then it was not taken at all."""
        if len(self._waiting) >= self._capacity:
            return False
        self._waiting.append((session, send))
        self._wakeup.set()
        self.idle.clear()
        return True

    async def run(self) -> None:
        """Carry batches for ever."""
        while True:
            await self._wakeup.wait()
            batch = self._gather()
            if batch:
                await self._carry(batch)
                continue
            self._wakeup.clear()
            self.idle.set()

    def _gather(self) -> list[Send]:
        batch: list[Send] = []
        size = 0
        waiting = self._waiting
        while waiting and len(batch) < BATCH_MESSAGES and size < BATCH_BYTES:
            send = waiting.popleft()
            size += len(send[1][3].encode())
            batch.append(send)
        return batch

    async def _carry(self, batch: Sequence[Send]) -> None:
        self._batches += 1
        entry_id = f"{self._name}.{self._batches}"
        sends = [send for _, send in batch]
        deadline = time.monotonic() + DEADLINE_S
        timeout_s, pause_s = FIRST_TIMEOUT_S, FIRST_PAUSE_S
        with self._operations.timed(self._operation) as timing:
            while True:
                request = [self._partition, entry_id, int(timeout_s * 1000 * ANSWER_SHARE), sends]
                try:
                    answer = orjson.loads(await self._ask(orjson.dumps(request), timeout_s))
                    if "unavailable" not in answer:
                        break
                except Unavailable:
                    timeout_s = min(2 * timeout_s, LONGEST_TIMEOUT_S)
                if time.monotonic() > deadline:
                    timing.outcome = "unknown"
                    self._messages.unanswered(len(batch))
                    for session in {session for session, _ in batch}:
                        session.end(frames.TRY_AGAIN, "try again")
                    return
                self._operations.retried(self._operation)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self._answer(batch, answer)

    def _answer(self, batch: Sequence[Send], answer: dict[str, Any]) -> None:
        refused: dict[int, str] = dict(answer["refused"])
        written: dict[Session, list[bytes]] = {}
        for index, (session, send) in enumerate(batch):
            frame = (
                frames.refusal(send[1], refused[index])
                if index in refused
                else frames.acknowledgement(send[1])
            )
            written.setdefault(session, []).append(frame)
        for session, parts in written.items():
            session.write(b"".join(parts))
        self._acknowledged(len(batch) - len(refused))
        if refused:
            self._messages.refused(len(refused))

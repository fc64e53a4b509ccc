"""One person's login at this gateway: what may be written to them, and how far they have got."""

import asyncio
from collections import deque

from services.microservices import frames

SLOW_BYTES = 4 * 1024 * 1024


class Session:
    """A live WebSocket after its login. `position` is that of the last message written to it.

    `number` is the gateway's for this login, `person` the user's index.
    """

    __slots__ = ("_answers", "_transport", "gone", "number", "person", "position", "since", "user")

    def __init__(
        self,
        user: str,
        number: int,
        *,
        person: int,
        position: int,
        since: int,
        transport: asyncio.Transport,
    ) -> None:
        self.user = user
        self.number = number
        self.person = person
        self.position = position
        self.since = since
        self.gone = False
        self._transport = transport
        self._answers: deque[tuple[int, bytes]] = deque()

    def write(self, data: bytes) -> None:
        """Write frames out; one who does not read what is theirs is cut off, and may come back."""
        if self.gone or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > SLOW_BYTES:
            self.end(frames.POLICY, "too slow")

    def deliver(self, position: int, frames: bytes) -> None:
        """Write messages out, the last of which has this position, and the answers that waited for them."""
        self.position = position
        self.write(frames)
        while self._answers and self._answers[0][0] <= position:
            self.write(self._answers.popleft()[1])

    def answer_at(self, position: int, frame: bytes) -> None:
        """Write an answer once everything up to `position` has been written; in the order of asking."""
        if position <= self.position and not self._answers:
            self.write(frame)
        else:
            self._answers.append((position, frame))

    def end(self, code: int, reason: str) -> None:
        """Close with a word of explanation; the connection's own task sees it end."""
        if self.gone:
            return
        self.gone = True
        if not self._transport.is_closing():
            self._transport.write(frames.close(code, reason))
            self._transport.close()

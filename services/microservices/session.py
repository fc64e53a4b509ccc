"""One person's login at this gateway: what may be written to them, and how far they have got."""

import asyncio

from services.microservices import frames

SLOW_BYTES = 4 * 1024 * 1024


class Session:
    """A live WebSocket after its login. `position` is that of the last message written to it."""

    __slots__ = ("_transport", "gone", "number", "position", "since", "user")

    def __init__(
        self, user: str, number: int, *, position: int, since: int, transport: asyncio.Transport
    ) -> None:
        self.user = user
        self.number = number
        self.position = position
        self.since = since
        self.gone = False
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Write frames out; one who does not read what is theirs is cut off, and may come back."""
        if self.gone or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > SLOW_BYTES:
            self.end(frames.POLICY, "too slow")

    def end(self, code: int, reason: str) -> None:
        """Close with a word of explanation; the connection's own task sees it end."""
        if self.gone:
            return
        self.gone = True
        if not self._transport.is_closing():
            self._transport.write(frames.close(code, reason))
            self._transport.close()

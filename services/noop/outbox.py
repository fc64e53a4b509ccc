"""What a connection has to write, gathered while the loop handles what it has read, and written in one go."""

import asyncio
from typing import cast


class Outbox(asyncio.Protocol):
    """A protocol whose `write` gathers; everything goes out at the end of the loop's turn.

    `connections` holds every one that is open.
    """

    def __init__(self, connections: "set[Outbox]") -> None:
        self.transport: asyncio.Transport | None = None
        self._connections = connections
        self._parts: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not asyncio's by class
        self._connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Let go of what belongs to the connection."""
        self._connections.discard(self)
        self.gone()

    def gone(self) -> None:
        """The connection has ended."""

    def write(self, data: bytes) -> None:
        """Write `data` at the end of this turn."""
        if not self._parts:
            asyncio.get_running_loop().call_soon(self.flush)
        self._parts.append(data)

    def flush(self) -> None:
        """Write now what was gathered."""
        parts, self._parts = self._parts, []
        if parts and self.transport is not None and not self.transport.is_closing():
            self.transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def end(self) -> None:
        """Write what was gathered and close."""
        self.flush()
        if self.transport is not None:
            self.transport.close()

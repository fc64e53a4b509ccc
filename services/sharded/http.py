"""HTTP/1.1 for the api nodes: httptools parses, requests of one connection are worked on together.

A connection may send requests without waiting (pipelining, RFC 9112 section 9.3.2). They are handed to
the handler as they come and answered in the order they came in, whatever order the answers are ready in.
The handler is a plain function; it answers now or keeps the `Exchange` and answers later. So a request
costs no task.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

LARGEST_BODY_BYTES = 1 << 20
MOST_IN_FLIGHT = 256
"""Requests of one connection worked on at once; beyond it the connection is not read."""

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_HEADS = {
    status: f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: ".encode()
    for status, reason in REASONS.items()
}


class Exchange:
    """One request and, once it is given, its answer.

    `target` is path and query as sent, `token` what follows `Authorization: Bearer`. `on_gone` is
    called when the connection ends before the answer.
    """

    __slots__ = ("_answer", "_closing", "_connection", "body", "method", "on_gone", "target", "token")

    def __init__(self, connection: "_Connection") -> None:
        self._connection = connection
        self._answer: bytes | None = None
        self._closing = False
        self.method = b""
        self.target = b""
        self.token = b""
        self.body = b""
        self.on_gone: Callable[[], None] | None = None

    def answer(self, status: int, body: bytes) -> None:
        """Answer with JSON; the first answer counts, and none is written to a connection that has ended."""
        if self._answer is None:
            end = b"\r\nConnection: close\r\n\r\n" if self._closing else b"\r\n\r\n"
            self._answer = b"%b%d%b%b" % (_HEADS[status], len(body), end, body)
            self.on_gone = None
            self._connection.answered(self)

    @property
    def ready(self) -> bytes | None:
        """The answer's bytes, when it has been given."""
        return self._answer

    def close_after(self) -> None:
        """End the connection once this is answered."""
        self._closing = True

    @property
    def closes(self) -> bool:
        """Whether the connection ends after this answer."""
        return self._closing


Handler = Callable[[Exchange], None]


class HttpServer:
    """Listens, and hands every request to `handler`."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self._handler, self._connections),
            host,
            port,
            reuse_address=True,
            backlog=4096,
        )
        listening: int = self._server.sockets[0].getsockname()[1]
        return listening

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._connections)

    def stop_accepting(self) -> None:
        """Take no new connections."""
        if self._server is not None:
            self._server.close()

    def close(self) -> None:
        """End every connection; what was answered is still written out."""
        self.stop_accepting()
        for connection in list(self._connections):
            connection.close()


class _Connection(asyncio.Protocol):
    def __init__(self, handler: Handler, connections: "set[_Connection]") -> None:
        self._handler = handler
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Exchange] = deque()
        self._transport: asyncio.Transport | None = None
        self._current: Exchange | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._refused = 0
        self._flushing = False
        self._paused = False

    # -- asyncio's callbacks ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not asyncio's by class
        self._connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        for exchange in self._queue:
            if exchange.on_gone is not None:
                exchange.on_gone()
        self._queue.clear()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400)
        except httptools.HttpParserError:
            self._refuse(self._refused or 400)
        if len(self._queue) > MOST_IN_FLIGHT and self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """The peer does not read its answers: read no more of its requests."""
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._resume()

    # -- httptools' callbacks -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._current = Exchange(self)
        self._parts = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        assert self._current is not None
        self._current.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        assert self._current is not None
        if len(name) == 13 and name.lower() == b"authorization" and value[:7].lower() == b"bearer ":
            self._current.token = value[7:].strip()

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._size += len(body)
        if self._size > LARGEST_BODY_BYTES:
            self._refused = 413
            raise ValueError("body too large")

    def on_message_complete(self) -> None:
        exchange = self._current
        assert exchange is not None
        self._current = None
        exchange.method = self._parser.get_method()
        exchange.body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if not self._parser.should_keep_alive():
            exchange.close_after()
        self._queue.append(exchange)
        try:
            self._handler(exchange)
        except Exception as error:  # the request's edge: the parser would take it for a bad request
            context = {"message": f"{exchange.target!r} broke", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            exchange.answer(500, b'{"error":"internal"}')

    # -- answers ------------------------------------------------------------------------------------

    def answered(self, exchange: Exchange) -> None:
        """Write out soon what is ready at the head of the queue: several answers, one write."""
        if not self._flushing and self._queue and self._queue[0] is exchange:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def close(self) -> None:
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        self._flushing = False
        if self._transport is None:
            return
        chunks = []
        closing = False
        while self._queue and not closing and (ready := self._queue[0].ready) is not None:
            chunks.append(ready)
            closing = self._queue.popleft().closes
        if chunks:
            self._transport.write(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if closing:
            self._transport.close()
        elif self._paused and len(self._queue) <= MOST_IN_FLIGHT // 2:
            self._resume()

    def _resume(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def _refuse(self, status: int) -> None:
        """Answer what cannot be parsed, after all that came before it, and end the connection."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.pause_reading()
        exchange = Exchange(self)
        exchange.close_after()
        self._queue.append(exchange)
        exchange.answer(status, b'{"error":"%b"}' % REASONS[status].lower().encode())

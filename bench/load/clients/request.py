"""Plain HTTP/1.1 against any server: each request is one GET of the same path, on a connection that stays.

For what has no accounts and delivers nothing: a web server, a proxy, an endpoint of one's own. 2xx is an
acknowledgement, another status a refusal. A connection has one request under way; further ones of the
same person wait for it, and their response time says so.
"""

from collections import deque
from collections.abc import Callable

import httptools

from bench.load.clients import ConnectionLost, Listener, Request
from bench.load.clients.wire import Wire
from bench.records import Endpoint, Person


class RequestConnection:
    """One keep-alive connection; a bench.load.clients.Connection. There is no login."""

    position = 0

    def __init__(self, person: Person, path: str = "/") -> None:
        self._path = path
        self._wire: Wire | None = None
        self._write: Callable[[bytes], None] | None = None
        self._listener: Listener | None = None
        self._asked: deque[Request] = deque()
        self._get = b""
        self._last = False
        self._parser: httptools.HttpResponseParser | None = None

    def open(self, endpoint: Endpoint, listener: Listener) -> None:
        """Connect. Raises ConnectionLost, LoginRefused where the certificate is not to be trusted."""
        self.close()
        self._asked.clear()
        self._last = False
        wire = self._wire = Wire(endpoint.host, endpoint.port)
        if endpoint.ca_file is not None:
            wire.secure(endpoint.ca_file, endpoint.host)
        self._listener = listener
        self._get = f"GET {self._path} HTTP/1.1\r\nHost: {endpoint.host}:{endpoint.port}\r\n\r\n".encode()
        self._parser = httptools.HttpResponseParser(self)
        self._write = wire.write
        wire.listen(self._received, listener.lost, listener.failed)

    def send(self, request: Request) -> None:
        """Ask, now or once what was asked before is answered."""
        self._asked.append(request)
        if len(self._asked) == 1 and self._write is not None:
            self._write(self._get)

    def close(self) -> None:
        """Close; never raises."""
        wire, self._wire, self._write = self._wire, None, None
        if wire is not None:
            wire.close()

    def on_message_complete(self) -> None:
        """For httptools."""
        if not self._asked:
            raise ConnectionLost("an answer that was not asked for")
        assert self._parser is not None
        assert self._listener is not None
        request = self._asked.popleft()
        status = self._parser.get_status_code()
        self._last = not self._parser.should_keep_alive()
        if self._asked and self._write is not None and not self._last:
            self._write(self._get)
        if 200 <= status < 300:
            self._listener.acknowledged(request.request_id)
        else:
            self._listener.refused(request.request_id, str(status))

    def _received(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None  # what the listener raised, or we
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise ConnectionLost(f"not HTTP: {error}") from error
        if self._last:
            raise ConnectionLost("the server ended the connection")

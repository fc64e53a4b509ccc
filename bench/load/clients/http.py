"""The sharded generation's protocol: JSON over HTTP/1.1 on gevent sockets, parsed by httptools.

One connection for the long poll (`GET /v1/sync?after=N`), and for sends one *lane* for each that the
login's answer grants, opened when it is first needed: a message to X goes out on lane
crc32(X) mod 1024 mod lanes. On a lane requests are written without waiting for answers (pipelining,
RFC 9112 section 9.3.2), and answers come in the order of the requests. So one conversation keeps its
order, and a shard that answers late holds up only what goes there.

503 is no answer to a send: it is written again after a moment, under the same id, while the server keeps
its place in line. Where the other statuses are refusals, 401 for a token ends the connection: the next
one logs in anew.

`after`, the position up to which this person has received, is carried over from life to life. It moves
on with each message handed to the caller, so what was received and not handed on comes again.
"""

import contextlib
import random
from binascii import crc32
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import gevent
import gevent.socket
import httptools
import orjson
from gevent.event import Event as Signal

from bench.load.clients import (
    Acknowledged,
    ConnectionLost,
    Delivered,
    Event,
    LoginRefused,
    Message,
    Refused,
)
from bench.records import Endpoint, Person

OPEN_TIMEOUT_S = 10.0
POLL_WAIT_S = 25
POLL_GRACE_S = 10.0
"""How much longer than POLL_WAIT_S a poll may take before its connection counts as lost."""
RETRY_503_S = 0.2
BUCKETS = 1024
READ_BYTES = 65536


class Response(NamedTuple):
    """One whole answer."""

    status: int
    body: bytes


class ResponseParser:
    """Bytes in, whole responses out, in order; raises ConnectionLost for what is not HTTP."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._whole: list[Response] = []
        self.last = False
        """Whether the server said that it sends nothing after the responses so far."""

    def feed(self, data: bytes) -> list[Response]:
        """The responses that `data` completes."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise ConnectionLost(f"not HTTP: {error}") from error
        whole, self._whole = self._whole, []
        return whole

    def on_message_begin(self) -> None:
        """For httptools."""
        self._parts = []

    def on_body(self, body: bytes) -> None:
        """For httptools."""
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """For httptools."""
        status = self._parser.get_status_code()
        if status >= 200:  # not an interim response (RFC 9110 section 15.2)
            self._whole.append(Response(status, b"".join(self._parts)))
            self.last = not self._parser.should_keep_alive()


def lane_of(addressee: str, lanes: int) -> int:
    """Which lane a message to `addressee` goes out on."""
    return crc32(addressee.encode()) % BUCKETS % lanes


class _Lane:
    """One connection for sends. `answered` gets each message with its answer, `lost` the end, once.

    Two greenlets live with it: one reads; the other, only while there is something that the socket would
    not take at once, writes.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        answered: Callable[[Message, Response], None],
        lost: Callable[[str], None],
    ) -> None:
        self._endpoint = endpoint
        self._answered = answered
        self._lost = lost
        self._socket: gevent.socket.socket | None = None
        self._unsent = bytearray()
        self._outstanding: deque[Message] = deque()
        self._writing = False
        self._reading = gevent.spawn(self._live)
        self.closed = False

    def send(self, message: Message, request: bytes) -> None:
        """Write `request`, now or as soon as the connection takes it."""
        self._outstanding.append(message)
        if self._socket is None or self._unsent:
            self._unsent += request
            return
        try:
            sent = self._socket.send(request, timeout=0.0)  # type: ignore[call-arg]
        except (BlockingIOError, TimeoutError):
            sent = 0
        except OSError as error:
            self._end(str(error))
            return
        if sent < len(request):
            self._unsent += request[sent:]
            self._write_on()

    def close(self) -> None:
        """End it; nothing is called any more."""
        self.closed = True
        if self._socket is not None:
            self._socket.close()
        if self._reading is not gevent.getcurrent():
            self._reading.kill(block=False)

    def _live(self) -> None:
        try:
            self._socket = connect(self._endpoint)
            self._write_on()
            parser = ResponseParser()
            while data := self._socket.recv(READ_BYTES):
                for response in parser.feed(data):
                    if not self._outstanding:
                        raise ConnectionLost("an answer that was not asked for")
                    self._answered(self._outstanding.popleft(), response)
                if parser.last:
                    break
            self._end("the server ended the connection")
        except (OSError, ConnectionLost) as error:
            self._end(str(error))

    def _write_on(self) -> None:
        if self._unsent and not self._writing:
            self._writing = True
            gevent.spawn(self._write)

    def _write(self) -> None:
        try:
            while self._unsent and not self.closed and self._socket is not None:
                with memoryview(self._unsent)[:READ_BYTES] as part:
                    piece = bytes(part)
                sent = self._socket.send(piece)
                del self._unsent[:sent]
        except OSError as error:
            self._end(str(error))
        finally:
            self._writing = False

    def _end(self, reason: str) -> None:
        if not self.closed:
            self.closed = True
            if self._socket is not None:
                self._socket.close()
            self._lost(reason)


def connect(endpoint: Endpoint) -> gevent.socket.socket:
    """A TCP connection without Nagle's delay; raises OSError, and leaves no socket open."""
    family, kind, protocol, _, address = gevent.socket.getaddrinfo(
        endpoint.host, endpoint.port, type=gevent.socket.SOCK_STREAM
    )[0]
    connecting = gevent.socket.socket(family, kind, protocol)
    try:
        connecting.settimeout(OPEN_TIMEOUT_S)
        connecting.connect(address)
        connecting.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
        connecting.settimeout(None)
    except BaseException:
        connecting.close()
        raise
    return connecting


class HttpConnection:
    """One person's connection to an api node of the sharded generation; a `bench.load.clients.Connection`."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._after = 0
        self._endpoint: Endpoint | None = None
        self._poll: gevent.socket.socket | None = None
        self._polling: gevent.Greenlet[..., None] | None = None
        self._lanes: list[_Lane | None] = []
        self._events: deque[tuple[Event, int | None]] = deque()
        """Events; with each delivery its place in the inbox."""
        self._some = Signal()
        self._lost: str | None = "never opened"
        self._life = 0
        self._send_head = b""
        self._poll_head = b""

    def open(self, endpoint: Endpoint) -> None:
        """Connect, log in, begin to poll. Raises ConnectionLost, LoginRefused."""
        self.close()
        try:
            with gevent.Timeout(OPEN_TIMEOUT_S, TimeoutError(f"no login within {OPEN_TIMEOUT_S:g} s")):
                self._poll = connect(endpoint)
                granted = self._login(endpoint)
        except OSError as error:
            self.close()
            raise ConnectionLost(str(error)) from error
        except BaseException:
            self.close()
            raise
        host = f"Host: {endpoint.host}:{endpoint.port}\r\nAuthorization: Bearer {granted['token']}\r\n"
        self._send_head = f"POST /v1/messages HTTP/1.1\r\n{host}Content-Length: ".encode()
        self._poll_head = f" HTTP/1.1\r\n{host}\r\n".encode()
        self._endpoint = endpoint
        self._lanes = [None] * max(1, int(granted["lanes"]))
        self._events.clear()
        self._some.clear()
        self._life += 1
        self._lost = None
        self._polling = gevent.spawn(self._poll_on, self._poll, self._life, self._after)

    def send(self, message: Message) -> None:
        """Write the message out on its addressee's lane. Raises ConnectionLost."""
        if self._lost is not None:
            raise ConnectionLost(self._lost)
        number = lane_of(message.addressee, len(self._lanes))
        lane = self._lanes[number]
        if lane is None:
            assert self._endpoint is not None
            life = self._life
            lane = self._lanes[number] = _Lane(
                self._endpoint,
                lambda sent, response: self._answered(life, sent, response),
                lambda reason: self._end(life, reason),
            )
        body = orjson.dumps({"id": message.message_id, "to": message.addressee, "body": message.body})
        lane.send(message, b"%b%d\r\n\r\n%b" % (self._send_head, len(body), body))

    def events(self) -> Iterator[Event]:
        """What comes, as it comes. Raises ConnectionLost at the end of the connection."""
        while True:
            while self._events:
                event, place = self._events.popleft()
                if place is not None:
                    self._after = place
                yield event
            if self._lost is not None:
                raise ConnectionLost(self._lost)
            self._some.wait()
            self._some.clear()

    def close(self) -> None:
        """End all connections; whoever waits in `events` hears of it."""
        self._end(self._life, "closed")
        for lane in self._lanes:
            if lane is not None:
                lane.close()
        self._lanes = []
        if self._poll is not None:
            self._poll.close()
            self._poll = None
        if self._polling is not None and self._polling is not gevent.getcurrent():
            self._polling.kill(block=False)
        self._polling = None

    # -- within one life ----------------------------------------------------------------------------

    def _login(self, endpoint: Endpoint) -> dict[str, str]:
        body = orjson.dumps({"user": self._person.name, "password": self._person.password})
        head = f"POST /v1/login HTTP/1.1\r\nHost: {endpoint.host}:{endpoint.port}\r\n"
        assert self._poll is not None
        self._poll.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        response = receive(self._poll, ResponseParser())
        if response.status == 401:
            raise LoginRefused(reason_of(response))
        if response.status != 200:
            raise ConnectionLost(f"login was answered {response.status}")
        granted: dict[str, str] = orjson.loads(response.body)
        return granted

    def _poll_on(self, poll: gevent.socket.socket, life: int, after: int) -> None:
        parser = ResponseParser()
        poll.settimeout(POLL_WAIT_S + POLL_GRACE_S)
        try:
            while not parser.last:
                poll.sendall(b"GET /v1/sync?after=%d&wait=%d%b" % (after, POLL_WAIT_S, self._poll_head))
                response = receive(poll, parser)
                if response.status != 200:
                    raise ConnectionLost(f"poll was answered {response.status}: {reason_of(response)}")
                received = orjson.loads(response.body)
                if life != self._life:
                    return
                for one in received["messages"]:
                    self._events.append((Delivered(one["id"], one["from"], one["body"]), one["seq"]))
                if received["messages"]:
                    after = received["next"]
                    self._some.set()
            self._end(life, "the server ended the connection")
        except (OSError, ConnectionLost) as error:
            self._end(life, str(error))

    def _answered(self, life: int, message: Message, response: Response) -> None:
        if life != self._life or self._lost is not None:
            return
        if response.status == 200:
            self._events.append((Acknowledged(message.message_id), None))
        elif response.status == 503:
            gevent.spawn_later(RETRY_503_S * random.uniform(0.5, 1.5), self._send_again, life, message)
            return
        elif response.status == 401:
            self._end(life, "the server does not know this login any more")
            return
        else:
            self._events.append((Refused(message.message_id, reason_of(response)), None))
        self._some.set()

    def _send_again(self, life: int, message: Message) -> None:
        if life == self._life:
            with contextlib.suppress(ConnectionLost):  # `events` tells of that
                self.send(message)

    def _end(self, life: int, reason: str) -> None:
        if life == self._life and self._lost is None:
            self._lost = reason
            self._some.set()


def receive(connection: gevent.socket.socket, parser: ResponseParser) -> Response:
    """The next response; raises ConnectionLost, OSError."""
    while data := connection.recv(READ_BYTES):
        if responses := parser.feed(data):
            if len(responses) > 1:
                raise ConnectionLost("an answer that was not asked for")
            return responses[0]
    raise ConnectionLost("the server ended the connection")


def reason_of(response: Response) -> str:
    """The reason in a refusal's body, or the status where it has none."""
    try:
        return str(orjson.loads(response.body)["error"])
    except (ValueError, KeyError, TypeError):
        return str(response.status)

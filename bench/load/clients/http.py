"""The sharded generation's protocol: JSON over HTTP/1.1, parsed by httptools.

One connection for the long poll (`GET /v1/sync?after=N`), and for all else one *lane* for each that the
login's answer grants, opened when it is first needed: a message to X goes out on lane
crc32(X) mod 1024 mod lanes, a group's on that of the group's name, what concerns only oneself on that of
one's own. On a lane requests are written without waiting for answers (pipelining,
RFC 9112 section 9.3.2), and answers come in the order of the requests. So one conversation keeps its
order, and a shard that answers late holds up only what goes there.

503 is no answer: the request is written again after a moment, under the same id, while the server keeps
its place in line. Where the other statuses are refusals, 401 for a token ends the connection: the next
one logs in anew.

`after`, the position up to which this person has received, is carried over from life to life. A poll's
and a sync's answers may overlap: each holds all that came behind its own `after`, so what is not behind
ours has been told already.
"""

import random
from binascii import crc32
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import gevent
import httptools
import orjson
from gevent import get_hub

from bench.load.clients import ConnectionLost, Listener, LoginRefused, Request
from bench.load.clients.wire import Wire, within
from bench.records import Endpoint, Person

LOGIN_TIMEOUT_S = 10.0
POLL_WAIT_S = 25
POLL_GRACE_S = 10.0
"""A poll that POLL_WAIT_S and this were not enough for twice over is a lost connection."""
RETRY_503_S = 0.2
BUCKETS = 1024


class Response(NamedTuple):
    """One whole answer."""

    status: int
    body: bytes


class ResponseParser:
    """Bytes in; each whole response goes to `whole`, in order."""

    def __init__(self, whole: Callable[[Response], None]) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._whole = whole
        self._body = b""
        self._last = False

    def feed(self, data: bytes) -> None:
        """Take `data`; raises ConnectionLost for what is not HTTP, and after the last response."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None  # what `whole` raised
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise ConnectionLost(f"not HTTP: {error}") from error
        if self._last:
            raise ConnectionLost("the server ended the connection")

    def on_message_begin(self) -> None:
        """For httptools."""
        self._body = b""

    def on_body(self, body: bytes) -> None:
        """For httptools."""
        self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        """For httptools."""
        status = self._parser.get_status_code()
        if status >= 200:  # not an interim response (RFC 9110 section 15.2)
            self._last = not self._parser.should_keep_alive()
            self._whole(Response(status, self._body))


def lane_of(target: str, lanes: int) -> int:
    """Which lane what is stored with `target`, a person or a group, goes out on."""
    return crc32(target.encode()) % BUCKETS % lanes


def connect(endpoint: Endpoint) -> Wire:
    """A connection, under TLS where the endpoint names a certificate; raises ConnectionLost, LoginRefused."""
    wire = Wire(endpoint.host, endpoint.port)
    try:
        if endpoint.ca_file is not None:
            wire.secure(endpoint.ca_file, endpoint.host)
    except BaseException:
        wire.close()
        raise
    return wire


class _Lane:
    """One connection of a person's, made in a greenlet of its own, so that writing to it never waits."""

    def __init__(
        self,
        endpoint: Endpoint,
        answered: Callable[[Request, Response], None],
        lost: Callable[[str], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._endpoint = endpoint
        self._answered = answered
        self._lost = lost
        self._failed = failed
        self._parser = ResponseParser(self._whole)
        self._wire: Wire | None = None
        self._unsent = bytearray()
        self._asked: deque[Request] = deque()
        self._connecting = gevent.spawn(self._connect)

    def send(self, request: Request, data: bytes) -> None:
        """Write `data`, now or as soon as there is a connection."""
        self._asked.append(request)
        if self._wire is None:
            self._unsent += data
        else:
            self._wire.write(data)

    def close(self) -> None:
        """End it; nothing is called any more."""
        if self._connecting is not gevent.getcurrent():
            self._connecting.kill(block=False)
        if self._wire is not None:
            self._wire.close()

    def _connect(self) -> None:
        try:
            wire = connect(self._endpoint)
        except (ConnectionLost, LoginRefused) as error:
            self._lost(str(error))
            return
        self._wire = wire
        wire.listen(self._parser.feed, self._lost, self._failed)
        wire.write(bytes(self._unsent))
        self._unsent.clear()

    def _whole(self, response: Response) -> None:
        if not self._asked:
            raise ConnectionLost("an answer that was not asked for")
        self._answered(self._asked.popleft(), response)


class HttpConnection:
    """One person's connection to an api node of the sharded generation; a bench.load.clients.Connection."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self.position = person.position
        self._endpoint: Endpoint | None = None
        self._listener: Listener | None = None
        self._poll: Wire | None = None
        self._lanes: list[_Lane | None] = []
        self._own_lane = 0
        self._head = b""
        self._heads: dict[str, bytes] = {}
        self._watch: Any = None
        self._polls = 0
        self._polls_seen = 0

    def open(self, endpoint: Endpoint, listener: Listener) -> None:
        """Connect, log in, begin to poll. Raises ConnectionLost, LoginRefused."""
        self.close()
        try:
            with within(LOGIN_TIMEOUT_S):
                poll = self._poll = connect(endpoint)
                granted = self._log_in(poll, endpoint)
        except BaseException:
            self.close()
            raise
        common = f"Host: {endpoint.host}:{endpoint.port}\r\nAuthorization: Bearer {granted['token']}\r\n"
        self._head = f" HTTP/1.1\r\n{common}".encode()
        self._heads = {
            "send": b"POST /v1/messages" + self._head,
            "presence": b"PUT /v1/presence" + self._head,
        }
        self._endpoint, self._listener = endpoint, listener
        self._lanes = [None] * max(1, int(granted["lanes"]))
        self._own_lane = lane_of(self._person.name, len(self._lanes))
        self._polls = self._polls_seen = 0
        self._watch = get_hub().loop.timer(POLL_WAIT_S + POLL_GRACE_S, repeat=POLL_WAIT_S + POLL_GRACE_S)
        self._watch.start(self._look_at_poll)
        poll.listen(ResponseParser(self._polled).feed, self._end, self._fail, at_once=True)
        self._poll_on()

    def send(self, request: Request) -> None:
        """Write the request out on its lane; never waits, never raises."""
        if self._listener is None:
            return
        operation, request_id, target, text, _ = request
        if operation == "sync":
            self._lane(self._own_lane).send(
                request, b"GET /v1/sync?after=%d&wait=0%b\r\n" % (self.position, self._head)
            )
            return
        if operation == "send":
            number, head = lane_of(target, len(self._lanes)), self._heads["send"]
            body = orjson.dumps({"id": request_id, "to": target, "body": text})
        elif operation == "group_send":
            number = lane_of(target, len(self._lanes))
            head = b"POST /v1/groups/%b/messages%b" % (target.encode(), self._head)
            body = orjson.dumps({"id": request_id, "body": text})
        else:
            number, head = self._own_lane, self._heads["presence"]
            body = orjson.dumps({"show": target})
        self._lane(number).send(request, b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))

    def close(self) -> None:
        """End all connections; nothing is told any more."""
        self._listener = None
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        lanes, self._lanes = self._lanes, []
        for lane in lanes:
            if lane is not None:
                lane.close()
        if self._poll is not None:
            self._poll.close()
            self._poll = None

    # Within one life

    def _log_in(self, wire: Wire, endpoint: Endpoint) -> dict[str, Any]:
        body = orjson.dumps({"user": self._person.name, "password": self._person.password})
        head = f"POST /v1/login HTTP/1.1\r\nHost: {endpoint.host}:{endpoint.port}\r\n"
        wire.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answers: list[Response] = []
        parser = ResponseParser(answers.append)
        while not answers:
            parser.feed(wire.read())
        response = answers[0]
        if response.status == 401:
            raise LoginRefused(reason_of(response))
        if response.status != 200:
            raise ConnectionLost(f"login was answered {response.status}")
        granted: dict[str, Any] = orjson.loads(response.body)
        return granted

    def _lane(self, number: int) -> _Lane:
        lane = self._lanes[number]
        if lane is None:
            assert self._endpoint is not None
            lane = _Lane(self._endpoint, self._answered, self._end, self._fail)
            self._lanes[number] = lane
        return lane

    def _poll_on(self) -> None:
        if self._poll is not None:
            self._poll.write(
                b"GET /v1/sync?after=%d&wait=%d%b\r\n" % (self.position, POLL_WAIT_S, self._head)
            )

    def _polled(self, response: Response) -> None:
        self._polls += 1
        if response.status != 200:
            raise ConnectionLost(f"poll was answered {response.status}: {reason_of(response)}")
        self._take(response)
        self._poll_on()

    def _take(self, response: Response) -> None:
        """Hand on what is behind our position, and move on with it."""
        for one in orjson.loads(response.body)["messages"]:
            if one["seq"] > self.position and self._listener is not None:
                self.position = one["seq"]
                self._listener.delivered(one["id"], one["from"], one["body"], one.get("group", ""))

    def _look_at_poll(self) -> None:
        if self._polls == self._polls_seen:
            self._end(f"the poll was not answered within {POLL_WAIT_S + POLL_GRACE_S:g} s")
        self._polls_seen = self._polls

    def _answered(self, request: Request, response: Response) -> None:
        listener = self._listener
        if listener is None:
            return
        if response.status == 200:
            if request.operation == "sync":
                self._take(response)
            listener.acknowledged(request.request_id)
        elif response.status == 503:
            gevent.spawn_later(RETRY_503_S * random.uniform(0.5, 1.5), self._send_again, request, self._lanes)
        elif response.status == 401:
            raise ConnectionLost("the server does not know this login any more")
        else:
            listener.refused(request.request_id, reason_of(response))

    def _send_again(self, request: Request, lanes: list[_Lane | None]) -> None:
        if lanes is self._lanes:
            self.send(request)

    def _end(self, reason: str) -> None:
        """One of the connections has ended, and so this life."""
        listener = self._listener
        if listener is not None:
            self.close()
            listener.lost(reason)

    def _fail(self, error: Exception) -> None:
        listener = self._listener
        if listener is not None:
            self.close()
            listener.failed(error)


def reason_of(response: Response) -> str:
    """The reason in a refusal's body, or the status where it has none."""
    try:
        return str(orjson.loads(response.body)["error"])
    except (ValueError, KeyError, TypeError):
        return str(response.status)

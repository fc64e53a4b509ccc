"""A person's connection to the `microservices` generation: JSON over a WebSocket (see services' gateway.py).

Reading and writing frames is the sans-I/O protocol of `websockets`, whose masking is in C, without
compression. What is carried from one life to the next: the position up to which messages came, so that the
next login receives what is behind it and nothing twice; and the token, so that logging in again works
without the password being checked.
"""

import contextlib
from collections import deque
from collections.abc import Iterator
from typing import Any

import gevent
import orjson
from gevent import socket
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

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
RECEIVE_BYTES = 65_536
LONGEST_MESSAGE_BYTES = 1024 * 1024


class WebSocketConnection:
    """One person's WebSocket; see bench.load.clients.Connection. The gateway speaks no TLS."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._position = 0
        self._token: str | None = None
        self._socket: socket.socket | None = None
        self._protocol: ClientProtocol | None = None
        self._received: deque[Frame] = deque()
        self._unwritten = bytearray()
        self._ending: str | None = None

    def open(self, endpoint: Endpoint) -> None:
        """Connect, log in, and be ready; raises ConnectionLost or LoginRefused, within 10 s."""
        self.close()
        try:
            with gevent.Timeout(OPEN_TIMEOUT_S, TimeoutError("no welcome in time")):
                self._connect(endpoint)
                self._log_in()
        except (OSError, EOFError, InvalidState) as error:
            self.close()
            raise ConnectionLost(f"{endpoint.host}:{endpoint.port}: {error}") from error
        except BaseException:
            self.close()
            raise

    def send(self, message: Message) -> None:
        """Write the message out, or keep what the kernel does not take for a greenlet to write."""
        self._write_json(
            {"op": "send", "id": message.message_id, "to": message.addressee, "body": message.body}
        )

    def events(self) -> Iterator[Event]:
        """What arrives, as it comes; raises ConnectionLost at the end."""
        while True:
            while self._received:
                event = self._event(self._received.popleft())
                if event is not None:
                    yield event
            try:
                self._receive()
            except (OSError, EOFError) as error:
                raise ConnectionLost(str(error)) from error

    def close(self) -> None:
        """Say goodbye if the kernel takes it at once, and close."""
        connected, self._socket = self._socket, None
        protocol, self._protocol = self._protocol, None
        self._received.clear()
        self._ending = None
        if connected is None:
            return
        with contextlib.suppress(OSError, InvalidState):
            if protocol is not None and protocol.state is State.OPEN and not self._unwritten:
                protocol.send_close(1000)
                connected.send(b"".join(protocol.data_to_send()), 0, 0.0)  # type: ignore[call-arg]  # 0 s
        self._unwritten.clear()
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)  # wakes a greenlet that waits for this connection
        connected.close()

    def _connect(self, endpoint: Endpoint) -> None:
        connected = socket.create_connection((endpoint.host, endpoint.port))
        self._socket = connected
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        uri = parse_uri(f"ws://{endpoint.host}:{endpoint.port}/v1/socket")
        self._protocol = protocol = ClientProtocol(uri, max_size=LONGEST_MESSAGE_BYTES)
        protocol.send_request(protocol.connect())
        self._flush()
        while protocol.state is State.CONNECTING:
            self._receive()
        if protocol.state is not State.OPEN:
            raise EOFError(f"handshake refused: {protocol.handshake_exc}")

    def _log_in(self) -> None:
        login: dict[str, Any] = {"op": "login", "user": self._person.name, "after": self._position}
        if self._token is None:
            login["password"] = self._person.password
        else:
            login["token"] = self._token
        self._write_json(login)
        while not self._received:
            self._receive()
        answer = orjson.loads(self._payload(self._received.popleft()))
        if answer["op"] == "welcome":
            self._token = answer["token"]
        elif self._token is None:
            raise LoginRefused(f"{self._person.name}: {answer.get('reason')}")
        else:
            self._token = None
            raise ConnectionLost("token refused; the next login is by password")

    def _event(self, frame: Frame) -> Event | None:
        told = orjson.loads(self._payload(frame))
        match told["op"]:
            case "message":
                self._position = max(self._position, told["at"])
                return Delivered(told["id"], told["from"], told["body"])
            case "ack":
                return Acknowledged(told["id"])
            case "refused":
                return Refused(told["id"], told["reason"])
        return None

    def _payload(self, frame: Frame) -> Any:
        """The bytes of a text frame; anything else ends the connection. The gateway never splits one."""
        if frame.opcode is not Opcode.TEXT or not frame.fin:
            raise ConnectionLost(f"the gateway sent {frame}")
        return frame.data

    def _receive(self) -> None:
        """Wait for bytes and keep the frames in them; answers pings. Raises OSError or EOFError."""
        connected, protocol = self._socket, self._protocol
        if connected is None or protocol is None:
            raise ConnectionLost("closed")
        if self._ending is not None:  # said behind frames that had to be handed out first
            raise EOFError(self._ending)
        data = connected.recv(RECEIVE_BYTES)
        if not data:
            raise EOFError("closed by the gateway")
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Response):
                continue
            assert isinstance(event, Frame)
            if event.opcode is Opcode.CLOSE:
                self._ending = f"the gateway ended it: {protocol.close_rcvd}"
            elif event.opcode is not Opcode.PING and event.opcode is not Opcode.PONG:
                self._received.append(event)
        if protocol.parser_exc is not None and self._ending is None:
            self._ending = f"not understood: {protocol.parser_exc}"
        self._flush()

    def _write_json(self, value: dict[str, Any]) -> None:
        protocol = self._protocol
        if protocol is None:
            raise ConnectionLost("not connected")
        try:
            protocol.send_text(orjson.dumps(value))
            self._flush()
        except (OSError, InvalidState) as error:
            raise ConnectionLost(str(error)) from error

    def _flush(self) -> None:
        """Write what the protocol has to say without waiting; what the kernel refuses, a greenlet writes."""
        connected, protocol = self._socket, self._protocol
        assert connected is not None
        assert protocol is not None
        parts = protocol.data_to_send()
        if not parts:
            return
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if self._unwritten:
            self._unwritten += data
            return
        try:
            written = connected.send(data, 0, 0.0)  # type: ignore[call-arg]  # gevent: for 0 s
        except BlockingIOError:
            written = 0
        if written < len(data):
            self._unwritten += data[written:]
            gevent.spawn(self._write_rest, connected)

    def _write_rest(self, connected: socket.socket) -> None:
        """Write until nothing is left; an error is met by the greenlet that reads."""
        with contextlib.suppress(OSError):
            while self._unwritten and connected is self._socket:
                written = connected.send(bytes(self._unwritten[:RECEIVE_BYTES]))
                if connected is self._socket:
                    del self._unwritten[:written]

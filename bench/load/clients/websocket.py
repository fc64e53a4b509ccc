"""A person's connection to the `microservices` generation: JSON over a WebSocket (see services' gateway.py).

The handshake is that of `websockets`, without compression; the frames are in websocket_frames.py. What is
carried from one life to the next: the position up to which messages came, so that the next login receives
what is behind it and nothing twice; and the token, so that logging in again works without the password
being checked.
"""

from typing import Any, Final

import orjson
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

from bench.load.clients import ConnectionLost, Listener, LoginRefused, Request
from bench.load.clients.websocket_frames import CLOSE, PING, PONG, TEXT, masked, whole
from bench.load.clients.wire import Wire, within
from bench.records import Endpoint, Person

LOGIN_TIMEOUT_S = 10.0
LONGEST_HEAD_BYTES = 16_384
PATH = "/v1/socket"
_GOODBYE: Final = (1000).to_bytes(2, "big")
_END_OF_HEAD: Final = b"\r\n\r\n"


class WebSocketConnection:
    """One person's WebSocket, under TLS where the endpoint has it; a bench.load.clients.Connection."""

    __slots__ = ("_listener", "_person", "_token", "_unread", "_wire", "position")

    def __init__(self, person: Person) -> None:
        self._person = person
        self.position = person.position
        self._token: str | None = None
        self._wire: Wire | None = None
        self._listener: Listener | None = None
        self._unread = b""

    def open(self, endpoint: Endpoint, listener: Listener) -> None:
        """Connect, log in, and be ready to send and receive; raises ConnectionLost or LoginRefused."""
        self.close()
        self._unread = b""
        self._listener = listener
        try:
            with within(LOGIN_TIMEOUT_S):
                wire = self._wire = Wire(endpoint.host, endpoint.port)
                if endpoint.ca_file is not None:
                    wire.secure(endpoint.ca_file, endpoint.host)
                self._shake_hands(wire, endpoint)
                self._log_in(wire)
        except BaseException:
            self.close()
            raise
        wire.listen(self._read, listener.lost, listener.failed)

    def send(self, request: Request) -> None:
        """Write the request out; never waits, never raises.

        What cannot be said in JSON, such as half a surrogate pair, ends the connection as a defect.
        """
        wire = self._wire
        if wire is None:
            return
        operation, request_id, target, body, _ = request
        asked: dict[str, Any]
        if operation == "send":
            asked = {"op": "send", "id": request_id, "to": target, "body": body}
        elif operation == "group_send":
            asked = {"op": "group_send", "id": request_id, "group": target, "body": body}
        elif operation == "sync":
            asked = {"op": "sync", "id": request_id, "after": self.position}
        else:
            asked = {"op": "presence", "id": request_id, "show": target}
        try:
            payload = orjson.dumps(asked)
        except TypeError as error:
            self.close()
            assert self._listener is not None
            self._listener.failed(error)
            return
        wire.write(masked(TEXT, payload))

    def close(self) -> None:
        """Say goodbye if the kernel takes it at once, and close; never raises."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.write(masked(CLOSE, _GOODBYE))
            wire.close()

    def _shake_hands(self, wire: Wire, endpoint: Endpoint) -> None:
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        scheme = "ws" if endpoint.ca_file is None else "wss"
        protocol = ClientProtocol(parse_uri(f"{scheme}://{host}:{endpoint.port}{PATH}"))
        protocol.send_request(protocol.connect())
        wire.write(b"".join(protocol.data_to_send()))
        head = b""
        while (end := head.find(_END_OF_HEAD)) < 0:
            if len(head) > LONGEST_HEAD_BYTES:
                raise ConnectionLost("handshake: the server answered without end")
            head += wire.read()
        end += len(_END_OF_HEAD)
        protocol.receive_data(head[:end])
        if protocol.state is not State.OPEN:
            status = head.partition(b"\r\n")[0].decode(errors="replace")
            raise ConnectionLost(f"handshake: the server answered {status!r}")
        self._unread = head[end:]

    def _log_in(self, wire: Wire) -> None:
        login: dict[str, Any] = {"op": "login", "user": self._person.name, "after": self.position}
        if self._token is None:
            login["password"] = self._person.password
        else:
            login["token"] = self._token
        wire.write(masked(TEXT, orjson.dumps(login)))
        frames, self._unread = whole(self._unread)
        while not frames:
            frames, self._unread = whole(self._unread + wire.read())
        kind, payload = frames[0]
        if kind != TEXT:
            self._take_control(kind, payload)
            raise ConnectionLost("the server sent no answer to the login")
        answer = _understood(payload)
        if answer.get("op") == "welcome":
            self._token = str(answer.get("token"))
            self._take_all(frames[1:])
        elif self._token is None:
            raise LoginRefused(str(answer.get("reason")))
        else:
            self._token = None
            raise ConnectionLost("token refused; the next login is by password")

    def _read(self, data: bytes) -> None:
        """Take what has arrived; the rest of a frame is still to come."""
        frames, self._unread = whole(self._unread + data if self._unread else data)
        self._take_all(frames)

    def _take_all(self, frames: list[tuple[int, bytes]]) -> None:
        for kind, payload in frames:
            if kind == TEXT:
                self._take(payload)
            else:
                self._take_control(kind, payload)
            if self._wire is None:
                return  # the listener has closed it

    def _take(self, payload: bytes) -> None:
        told = _understood(payload)
        listener = self._listener
        assert listener is not None
        try:
            operation = told["op"]
            if operation == "ack":
                request_id = told["id"]
            elif operation == "message":
                position = told["at"]
                delivered = told["id"], told["from"], told["body"], told.get("group", "")
            elif operation == "refused":
                request_id, reason = told["id"], told["reason"]
            else:
                return
        except KeyError as error:
            raise ConnectionLost(f"the server sent {payload[:80]!r}") from error
        if operation == "ack":
            listener.acknowledged(request_id)
        elif operation == "message":
            self.position = max(self.position, position)
            listener.delivered(*delivered)
        else:
            listener.refused(request_id, reason)

    def _take_control(self, kind: int, payload: bytes) -> None:
        if kind == PING:
            assert self._wire is not None
            self._wire.write(masked(PONG, payload))
        elif kind == CLOSE:
            code = int.from_bytes(payload[:2], "big")
            raise ConnectionLost(f"the server ended it: {code} {payload[2:].decode(errors='replace')}")
        elif kind != PONG:
            raise ConnectionLost(f"the server sent a frame of kind {kind:#x}, expected text")


def _understood(payload: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise ConnectionLost(f"the server sent no JSON: {error}") from error
    if type(told) is not dict:
        raise ConnectionLost(f"the server sent {payload[:80]!r}")
    return told

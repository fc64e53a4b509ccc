"""The microservices generation's client protocol: JSON in text frames of a WebSocket (RFC 6455)."""

import struct
from typing import Any

import httptools
import orjson
from websockets.speedups import apply_mask
from websockets.utils import accept_key

from services.noop.hub import FORBIDDEN, NOT_FOUND, Hub
from services.noop.outbox import Outbox

TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
_REASONS = {NOT_FOUND: "unknown group", FORBIDDEN: "not a member"}


class WebSocketSession(Outbox):
    """One connection: its handshake, its login, then sends, syncs and presences."""

    def __init__(self, connections: set[Outbox], hub: Hub) -> None:
        super().__init__(connections)
        self._hub = hub
        self._request: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._key = b""
        self._unread = b""
        self._user: str | None = None
        self._position = 0

    def gone(self) -> None:
        """Take this person out."""
        if self._user is not None:
            self._hub.disconnect(self._user, self)

    def data_received(self, data: bytes) -> None:
        """Handle every whole frame; keep what is left of the last."""
        if self._request is not None:
            try:
                self._request.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                self._request, data = None, data[upgrade.args[0] :]
                self._accept()
            except httptools.HttpParserError:
                self.end()
                return
        try:
            self._unread = self._frames(self._unread + data if self._unread else data)
        except (ValueError, KeyError, TypeError):
            self.end()

    def on_header(self, name: bytes, value: bytes) -> None:
        """For httptools."""
        if name.lower() == b"sec-websocket-key":
            self._key = value

    def deliver(self, message_id: str, sender: str, body: str, group: str = "") -> None:
        """See Receiver."""
        self._position += 1
        place = self._position
        told = {"op": "message", "seq": place, "at": place, "id": message_id, "from": sender, "body": body}
        if group:
            told["group"] = group
        self._write(told)

    def replaced(self) -> None:
        """See Receiver."""
        self.write(bytes((CLOSE, 2)) + struct.pack("!H", 4001))
        self.end()

    def _accept(self) -> None:
        self.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_key(self._key.decode()).encode()
        )

    def _frames(self, data: bytes) -> bytes:
        begin, size = 0, len(data)
        while size - begin >= 6:
            kind, length = data[begin], data[begin + 1] & 0x7F
            mask_at = begin + 2
            if length == 126:
                length, mask_at = int.from_bytes(data[begin + 2 : begin + 4], "big"), begin + 4
            elif length == 127:
                if size - begin < 10:
                    break
                length, mask_at = int.from_bytes(data[begin + 2 : begin + 10], "big"), begin + 10
            end = mask_at + 4 + length
            if size < end:
                break
            self._frame(kind, apply_mask(data[mask_at + 4 : end], data[mask_at : mask_at + 4]))
            begin = end
        return data[begin:]

    def _frame(self, kind: int, payload: bytes) -> None:
        if kind in (TEXT, BINARY):
            self._told(orjson.loads(payload))
        elif kind == PING:
            self.write(bytes((PONG, len(payload))) + payload)
        else:
            self.end()

    def _told(self, told: dict[str, Any]) -> None:
        user = self._user
        if user is None:
            self._log_in(told)
            return
        operation, identity = told["op"], told["id"]
        reason = None
        if operation == "send":
            if not self._hub.send(identity, user, told["to"], told["body"]):
                reason = "unknown addressee"
        elif operation == "group_send":
            refused = self._hub.send_to_group(identity, user, told["group"], told["body"])
            reason = None if refused is None else _REASONS[refused]
        if reason is None:
            self._write({"op": "ack", "id": identity})
        else:
            self._write({"op": "refused", "id": identity, "reason": reason})

    def _log_in(self, told: dict[str, Any]) -> None:
        user = told["user"]
        if told.get("token") != user and not self._hub.admits(user, told.get("password", "")):
            self._write({"op": "refused", "reason": "not authorized"})
            self.end()
            return
        self._user = user
        self._position = int(told.get("after", 0))
        self._write({"op": "welcome", "token": user})
        self._hub.connect(user, self)

    def _write(self, value: dict[str, Any]) -> None:
        payload = orjson.dumps(value)
        size = len(payload)
        if size < 126:
            self.write(bytes((TEXT, size)) + payload)
        elif size < 65_536:
            self.write(struct.pack("!BBH", TEXT, 126, size) + payload)
        else:
            self.write(struct.pack("!BBQ", TEXT, 127, size) + payload)

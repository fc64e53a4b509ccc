"""WebSocket frames as this server writes them (RFC 6455 section 5.2): text or close, whole, never masked.

A frame is built once and written straight to the transport, several in one write where there are several:
that halves what a delivery costs. Reading, pings and the handshake are aiohttp's.
"""

import struct

import orjson

TEXT = 0x81
CLOSE = 0x88
REPLACED = 4001
UNAUTHORIZED = 4003
TRY_AGAIN = 1013
GOING_AWAY = 1001
POLICY = 1008


def text(payload: bytes) -> bytes:
    """One text frame that holds `payload`, which is UTF-8."""
    size = len(payload)
    if size < 126:
        return bytes((TEXT, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", TEXT, 126, size) + payload
    return struct.pack("!BBQ", TEXT, 127, size) + payload


def close(code: int, reason: str) -> bytes:
    """A close frame (section 7.4 has the codes; 4000 to 4999 are ours)."""
    payload = struct.pack("!H", code) + reason.encode()
    return bytes((CLOSE, len(payload))) + payload


def acknowledgement(message_id: str) -> bytes:
    """The frame that says: this is done; of a message, it is durable."""
    return text(b'{"op":"ack","id":%b}' % orjson.dumps(message_id))


def refusal(message_id: str, reason: str) -> bytes:
    """The frame that says: this is not taken, and need not be asked for again."""
    return text(orjson.dumps({"op": "refused", "id": message_id, "reason": reason}))


def presence(user: str, show: str) -> bytes:
    """The frame that says what a contact shows now."""
    return text(orjson.dumps({"op": "presence", "from": user, "show": show}))

"""WebSocket frames as a client writes and reads them (RFC 6455, 5.2): whole ones, masked on the way out.

The masking itself is in C, from `websockets`; its own protocol object costs five times as much a frame,
for what a client of this kind never meets: fragments, extensions, a server that masks.
"""

import os
import struct
from collections.abc import Iterator
from typing import Final

from websockets.speedups import apply_mask

from bench.load.clients import ConnectionLost

TEXT: Final = 0x81
CLOSE: Final = 0x88
PING: Final = 0x89
PONG: Final = 0x8A
LONGEST_BYTES = 1024 * 1024
_MASKED: Final = 0x80
_MASK_BYTES: Final = 4
_POOL_BYTES: Final = 16_384


def _random_masks() -> Iterator[bytes]:
    """Masks from the kernel's source, as 5.3 demands, but not by a system call each."""
    while True:
        pool = os.urandom(_POOL_BYTES)
        for begin in range(0, _POOL_BYTES, _MASK_BYTES):
            yield pool[begin : begin + _MASK_BYTES]


_masks = _random_masks()


def masked(kind: int, payload: bytes) -> bytes:
    """One frame whose first byte is `kind`, under a mask of its own."""
    mask = next(_masks)
    size = len(payload)
    if size < 126:
        return bytes((kind, _MASKED | size)) + mask + apply_mask(payload, mask)
    if size < 65_536:
        return struct.pack("!BBH", kind, _MASKED | 126, size) + mask + apply_mask(payload, mask)
    return struct.pack("!BBQ", kind, _MASKED | 127, size) + mask + apply_mask(payload, mask)


def whole(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole frames at the beginning of `data`, each its first byte and its payload, and what is left.

    Raises ConnectionLost for one that a server may not send (5.1), or that is too long.
    """
    frames: list[tuple[int, bytes]] = []
    begin, size = 0, len(data)
    while size - begin >= 2:
        length = data[begin + 1]
        start = begin + 2
        if length > 125:
            if length & _MASKED:
                raise ConnectionLost("the server sent a masked frame")
            start += 2 if length == 126 else 8
            if start > size:
                break
            length = int.from_bytes(data[begin + 2 : start], "big")
            if length > LONGEST_BYTES:
                raise ConnectionLost(
                    f"the server sent a frame of {length:,} bytes, expected {LONGEST_BYTES:,}"
                )
        end = start + length
        if end > size:
            break
        frames.append((data[begin], data[start:end]))
        begin = end
    return frames, data[begin:] if begin else data

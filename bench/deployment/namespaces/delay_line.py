"""A program that stands in a node's link: what the node sends passes it late, or not at all.

For kernels without netem, which does this better. Run by its path in the switch's network namespace, it takes
frames off the device `--node`, behind which the node is, and puts them on `--switch`, `--latency-us` later,
but the share `--loss` of them; what comes the other way passes at once. Says `ready` when it does.

Frames come and go with the kernel's own header on them (PACKET_VNET_HDR, packet(7)), so that segments of 64
KB with their checksums still to be made pass whole. Reads nothing of this project's.
"""

import argparse
import contextlib
import os
import random
import select
import socket
import time
from collections import deque

ALL_PROTOCOLS = 0x0003
SOL_PACKET = 263
PACKET_VNET_HDR = 15
SO_RCVBUFFORCE = 33
ROOM_BYTES = 32 << 20
LARGEST_FRAME_BYTES = 10 + 14 + 4 + 65_536
MOST_AT_ONCE = 64


def main() -> None:
    """Pass frames until killed."""
    words = argparse.ArgumentParser()
    words.add_argument("--node", required=True)
    words.add_argument("--switch", required=True)
    words.add_argument("--latency-us", type=float, default=0.0)
    words.add_argument("--loss", type=float, default=0.0)
    asked = words.parse_args()
    node, switch = opened(asked.node), opened(asked.switch)
    with contextlib.suppress(OSError):
        os.nice(-10)  # a link does not wait for a core
    print("ready", flush=True)
    delay(node, switch, round(asked.latency_us * 1000), asked.loss)


def opened(device: str) -> socket.socket:
    """Everything that arrives at `device`."""
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    frames.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    frames.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM_BYTES)
    frames.bind((device, ALL_PROTOCOLS))
    frames.setblocking(False)
    return frames


def delay(node: socket.socket, switch: socket.socket, latency_ns: int, loss_ratio: float) -> None:
    """Pass frames for ever. They keep their order, because all wait equally long."""
    held: deque[tuple[int, bytes]] = deque()
    while True:
        wait_s = max(held[0][0] - time.monotonic_ns(), 0) / 1e9 if held else None
        readable, _, _ = select.select([node, switch], [], [], wait_s)
        if switch in readable:
            for frame in arrived(switch):
                put(node, frame)
        if node in readable:
            due_ns = time.monotonic_ns() + latency_ns
            held.extend((due_ns, frame) for frame in arrived(node) if random.random() >= loss_ratio)
        while held and held[0][0] <= time.monotonic_ns():
            put(switch, held.popleft()[1])


def arrived(device: socket.socket) -> list[bytes]:
    """What has come in since; not what we put there ourselves."""
    frames = []
    with contextlib.suppress(BlockingIOError):
        for _ in range(MOST_AT_ONCE):
            frame, (_, _, kind, *_) = device.recvfrom(LARGEST_FRAME_BYTES)
            if kind != socket.PACKET_OUTGOING:
                frames.append(frame)
    return frames


def put(device: socket.socket, frame: bytes) -> None:
    """Send it; one for which there is no room is lost, as on any link."""
    with contextlib.suppress(OSError):
        device.send(frame)


if __name__ == "__main__":
    main()

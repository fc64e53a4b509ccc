"""What comes in on all connections of this process: read together, and dated by the kernel.

To be woken costs a process some 30 µs on a virtual machine, and as much again because its caches are cold:
more than to read a message and judge it. So under an open loop's load nothing that comes in wakes anybody:
who wakes to send looks, or every HOLD_S where nothing is sent. No time that is measured holds that wait:
the kernel notes when bytes came in (SO_TIMESTAMPNS, socket(7)), and that is the moment of what they say.
"""

import functools
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gevent import get_hub
from gevent.monkey import get_original

HOLD_S = 0.010
"""So long may lie what has come in while it is held."""
MOST = 32
"""So many connections are read at one look: then what is due gets its turn."""
DATED_BYTES = socket.CMSG_SPACE(16)
"""The room for a date beside what is received."""
SO_TIMESTAMPNS = 35
"""The socket option, set to 1, for dates (asm-generic/socket.h; the socket module does not name it)."""
COMPARE_EVERY_NS = 10_000_000
"""So often the clock of the dates is set against the monotonic one: it may be slewed by 500 ppm, 5 µs."""
CLOSE_NS, TRIES = 10_000, 5
"""A comparison that took longer was interrupted, and is made again."""
_unpack = struct.Struct("@qq").unpack  # struct timespec
_READ = 1


class Arrivals:
    """The connections of one event loop; `arrivals()` is the one to use."""

    def __init__(self) -> None:
        self._polling = get_original("select", "epoll")()  # gevent takes it away where it patches
        self._read: dict[int, Callable[[], None]] = {}
        self._ready = get_hub().loop.io(self._polling.fileno(), _READ)
        self._ready.start(self.look)
        self._moment_ns = 0
        self._clocks_apart_ns = 0
        self._compared_ns = 0

    def watch(self, connection: socket.socket, read: Callable[[], None]) -> None:
        """Have `read`, which calls `date`, called whenever there is something to read, until `forget`."""
        self._read[connection.fileno()] = read
        self._polling.register(connection.fileno(), _READ)

    def forget(self, connection: socket.socket) -> None:
        """Call nobody for this connection any more; it is open still."""
        if self._read.pop(connection.fileno(), None) is not None:
            self._polling.unregister(connection.fileno())

    def look(self) -> int:
        """Have what has come in read, of MOST connections at the most; of how many."""
        ready = self._polling.poll(0, MOST)
        if not ready:
            return 0
        self._compare_clocks()
        try:
            for descriptor, _ in ready:
                read = self._read.get(descriptor)  # none: one that was read before it has ended this one
                if read is not None:
                    read()
        finally:
            self._moment_ns = 0
        return len(ready)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile nothing is read but by who has this, and calls `look` every HOLD_S.

        Not for a closed loop, in which whoever waits for an answer would be held up by it.
        """
        self._ready.stop()
        try:
            yield
        finally:
            self._ready.start(self.look)

    def take(self, read: Callable[[], None]) -> None:
        """Have one connection read that is not watched here."""
        self._compare_clocks()
        try:
            read()
        finally:
            self._moment_ns = 0

    def date(self, told: Sequence[tuple[int, int, bytes]]) -> None:
        """What is handled from here on came when the kernel says so; `told` is recvmsg's ancillary data."""
        if told:
            seconds, ns = _unpack(told[0][2])
            self._moment_ns = seconds * 1_000_000_000 + ns - self._clocks_apart_ns
        else:
            self._moment_ns = 0

    def now_ns(self) -> int:
        """When what is being handled came in; outside of that, now. On CLOCK_MONOTONIC."""
        return self._moment_ns or time.monotonic_ns()

    def _compare_clocks(self) -> None:
        after_ns = time.monotonic_ns()
        if after_ns - self._compared_ns < COMPARE_EVERY_NS:
            return
        for _ in range(TRIES):
            before_ns, real_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
            if after_ns - before_ns < CLOSE_NS:
                break
        self._clocks_apart_ns = real_ns - before_ns
        self._compared_ns = after_ns


@functools.cache
def _of(_: Any) -> Arrivals:
    return Arrivals()


def arrivals() -> Arrivals:
    """Those of the event loop of this thread."""
    return _of(get_hub())

"""A web server whose latencies are known exactly: it draws each answer's delay, and logs what it really gave.

`python -m tests.benchmarks.scripted`: one process, on a core of its own. Delays are lognormal, seeded. What
it logs is, for each answer, the nanoseconds from the request's arrival, as the kernel dates it, to the writing
of the answer, however late that may be: the truth that tools are held to.
It writes the log as a numpy array to the file it was told when it gets SIGTERM. With a stall it does
nothing at all for that long, once, that long after the first request.
"""

import argparse
import ctypes
import heapq
import select
import signal
import socket
import struct
import sys
import time
from array import array
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from bench.load.clients.arrivals import DATED_BYTES, SO_TIMESTAMPNS
from tests.benchmarks.peers import Target
from tests.benchmarks.running import Running

MEDIAN_MS, SIGMA = 1.0, 0.8
"""Lognormal: the 99th percentile is 6.4 times the median, the 99.9th 11.9 times."""
DRAWS = 1 << 18
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 64\r\n\r\n" + b"x" * 64
END = b"\r\n\r\n"
LOOK_S = 0.1
"""So often it looks whether it is to stop."""
_PR_SET_TIMERSLACK = 29  # linux/prctl.h: how late a sleep may end, 50 µs where nobody says


class Script:
    """The server itself. `stall` is (after, for) in seconds from the first request, or None."""

    def __init__(self, median_ms: float, sigma: float, seed: int, stall: tuple[float, float] | None) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listening.setblocking(False)
        delays = median_ms * 1e6 * np.random.default_rng(seed).lognormal(0.0, sigma, DRAWS)
        self._delays_ns: list[int] = delays.astype(np.int64).tolist()
        self._stall = stall
        self._given_ns = array("q")
        self._stopped = False

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listening.getsockname()[1]
        return port

    @property
    def given_ns(self) -> npt.NDArray[np.int64]:
        """Every delay it gave, in the order of the answers."""
        return np.array(self._given_ns, dtype=np.int64)

    def stop(self) -> None:
        """Have `serve` return."""
        self._stopped = True

    def serve(self) -> None:
        """Answer until stopped."""
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)
        polling, clock_ns = select.epoll(), time.time_ns
        polling.register(self._listening, select.EPOLLIN)
        connections: dict[int, socket.socket] = {}
        due: list[tuple[int, int, int]] = []
        drawn = 0
        stalls_ns: int | None = None
        while not self._stopped:
            until_s = (due[0][0] - clock_ns()) / 1e9 if due else LOOK_S
            if until_s > 0:  # select, for epoll counts in milliseconds
                select.select([polling], (), (), min(until_s, LOOK_S))
            for descriptor, _ in polling.poll(0):
                if descriptor == self._listening.fileno():
                    self._accept(polling, connections)
                    continue
                data, came_ns = _received(connections[descriptor])
                if not data:
                    connections.pop(descriptor).close()
                for _ in range(data.count(END)):
                    if self._stall is not None and not drawn:
                        stalls_ns = came_ns + round(self._stall[0] * 1e9)
                    delay_ns = self._delays_ns[drawn % DRAWS]
                    drawn += 1
                    heapq.heappush(due, (came_ns + delay_ns, descriptor, came_ns))
            if stalls_ns is not None and clock_ns() >= stalls_ns:
                assert self._stall is not None
                time.sleep(self._stall[1])
                stalls_ns = None
            while due and due[0][0] <= clock_ns():
                _, descriptor, came_ns = heapq.heappop(due)
                if descriptor in connections:
                    self._given_ns.append(clock_ns() - came_ns)
                    _send(connections[descriptor])
        for connection in connections.values():
            connection.close()
        self._listening.close()
        polling.close()

    def _accept(self, polling: select.epoll, connections: dict[int, socket.socket]) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except BlockingIOError:
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            connections[connection.fileno()] = connection
            polling.register(connection, select.EPOLLIN)


class Scripted:
    """A Script in a process of its own, as `with`; `truth_ns` once it has ended."""

    def __init__(
        self, folder: Path, cores: frozenset[int] | None, stall: tuple[float, float] | None = None
    ) -> None:
        self._truth = folder / "truth.npy"
        words = () if stall is None else ("--stall", f"{stall[0]},{stall[1]}")
        command = (sys.executable, "-m", "tests.benchmarks.scripted", "--log", str(self._truth), *words)
        self._running = Running(command, folder / "scripted.log", cores=cores, talk=True)

    @property
    def truth_ns(self) -> npt.NDArray[np.int64]:
        """Every delay it gave."""
        given: npt.NDArray[np.int64] = np.load(self._truth)
        return given

    def __enter__(self) -> Target:
        line = self._running.stdout.readline()
        self._running.check()
        return Target("127.0.0.1", int(line))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.end()


def _received(connection: socket.socket) -> tuple[bytes, int]:
    """What has come, nothing where the other end has left; and when, in ns of CLOCK_REALTIME."""
    try:
        data, told, _, _ = connection.recvmsg(16_384, DATED_BYTES)
    except OSError:
        return b"", 0
    if not told:  # the first, where it was there before the kernel was asked for dates
        return data, time.time_ns()
    seconds, ns = struct.unpack("@qq", told[0][2])
    return data, seconds * 1_000_000_000 + ns


def _send(connection: socket.socket) -> None:
    try:
        connection.send(ANSWER)
    except OSError:
        return  # it has left; the next read says so


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scripted", description=__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--stall", help="AFTER,FOR in seconds")
    given = parser.parse_args()
    stall = None
    if given.stall is not None:
        after, length = map(float, given.stall.split(","))
        stall = (after, length)
    script = Script(MEDIAN_MS, SIGMA, 1, stall)
    signal.signal(signal.SIGTERM, lambda *_: script.stop())
    print(script.port, flush=True)
    script.serve()
    np.save(given.log, script.given_ns)


if __name__ == "__main__":
    main()

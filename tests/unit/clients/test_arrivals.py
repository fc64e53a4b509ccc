"""What comes in on many connections: all of it is read, and dated by when it came. Real sockets on loopback."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from bench.load.clients.arrivals import DATED_BYTES, MOST, SO_TIMESTAMPNS, Arrivals, arrivals
from bench.load.clients.wire import Wire
from tests.certificates import DOMAIN, self_signed

PATIENCE_S = 10
ASLEEP_S = 0.05


@pytest.fixture(autouse=True)
def _watchdog() -> Iterator[None]:
    with gevent.Timeout(PATIENCE_S):
        yield


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def _dating() -> Iterator[None]:
    """The kernel begins to date a moment after somebody first asks for it, and goes on while anybody does."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
    ):
        other, _ = server.accept()
        with other:
            one.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            until_s = time.monotonic() + PATIENCE_S
            dates: list[tuple[int, int, bytes]] = []
            while not dates and time.monotonic() < until_s:
                other.sendall(b"x")
                _, dates, _, _ = one.recvmsg(1, DATED_BYTES)
            assert dates
            yield


class Pair:
    """A wire that listens, and the other end of it; `heard` are (what came, the moment it is dated to)."""

    def __init__(self, listening: socket.socket, *, at_once: bool = False) -> None:
        self.heard: list[tuple[bytes, int]] = []
        self.lost: list[str] = []
        self.then: Callable[[], None] = lambda: None
        self.wire = Wire("127.0.0.1", listening.getsockname()[1])
        self.peer, _ = listening.accept()
        self.wire.listen(self._received, self.lost.append, self._failed, at_once=at_once)

    def _received(self, data: bytes) -> None:
        self.heard.append((data, arrivals().now_ns()))
        self.then()

    @staticmethod
    def _failed(error: Exception) -> None:
        raise error

    def close(self) -> None:
        self.wire.close()
        self.peer.close()


@pytest.fixture
def pair(listening: socket.socket) -> Iterator[Callable[..., Pair]]:
    made: list[Pair] = []

    def make(*, at_once: bool = False) -> Pair:
        made.append(Pair(listening, at_once=at_once))
        return made[-1]

    yield make
    for one in made:
        one.close()


def until(done: Callable[[], object]) -> None:
    while not done():
        gevent.sleep(0.001)


@pytest.mark.parametrize("at_once", [False, True])
def test_what_lay_a_while_is_dated_by_when_it_came(pair: Callable[..., Pair], at_once: bool) -> None:
    one = pair(at_once=at_once)
    before_ns = time.monotonic_ns()
    one.peer.sendall(b"hello")
    time.sleep(ASLEEP_S)  # of the whole process: nobody looks
    awake_ns = time.monotonic_ns()
    until(lambda: one.heard)
    ((said, came_ns),) = one.heard
    assert said == b"hello"
    assert before_ns - 1_000_000 <= came_ns <= awake_ns - ASLEEP_S * 1e9 / 2


def test_under_tls_too(listening: socket.socket, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    sent_ns: list[int] = []

    def serve() -> None:
        connection, _ = listening.accept()
        with context.wrap_socket(connection, server_side=True) as secured:
            assert secured.recv(100) == b"now"
            sent_ns.append(time.monotonic_ns())
            secured.sendall(b"hello")
            secured.recv(100)

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    wire = Wire("127.0.0.1", listening.getsockname()[1])
    wire.secure(str(certificate), DOMAIN)
    heard: list[tuple[bytes, int]] = []
    wire.listen(
        lambda data: heard.append((data, arrivals().now_ns())),
        lambda _: None,
        lambda error: pytest.fail(str(error)),
    )
    wire.write(b"now")
    time.sleep(ASLEEP_S)
    awake_ns = time.monotonic_ns()
    until(lambda: heard)
    wire.close()
    serving.join(PATIENCE_S)
    ((said, came_ns),) = heard
    assert said == b"hello"
    assert sent_ns[0] - 1_000_000 <= came_ns <= max(sent_ns[0] + ASLEEP_S * 1e9 / 2, awake_ns - 1)


def test_outside_of_a_reading_it_is_now() -> None:
    before_ns = time.monotonic_ns()
    assert before_ns <= arrivals().now_ns() <= time.monotonic_ns()


def test_what_comes_while_it_is_held_waits_for_a_look_and_no_longer_than_it_is_held(
    pair: Callable[..., Pair],
) -> None:
    one = pair()
    with arrivals().held():
        one.peer.sendall(b"a")
        gevent.sleep(0.01)
        assert one.heard == []
        assert arrivals().look() == 1
        assert [said for said, _ in one.heard] == [b"a"]
        one.peer.sendall(b"b")
        gevent.sleep(0.01)
        assert len(one.heard) == 1
    until(lambda: len(one.heard) == 2)


def test_one_look_reads_all_that_is_there_and_says_of_how_many(pair: Callable[..., Pair]) -> None:
    pairs = [pair() for _ in range(3)]
    for one in pairs[:2]:
        one.peer.sendall(b"x")
    assert arrivals().look() == 2
    assert arrivals().look() == 0
    assert [len(one.heard) for one in pairs] == [1, 1, 0]


def test_more_than_one_look_takes_is_read_by_the_next(pair: Callable[..., Pair]) -> None:
    pairs = [pair() for _ in range(2 * MOST + 1)]
    for one in pairs:
        one.peer.sendall(b"x")
    assert arrivals().look() == MOST
    until(lambda: all(one.heard for one in pairs))
    assert sum(len(one.heard) for one in pairs) == len(pairs)


def test_whom_an_earlier_one_has_closed_is_not_read(pair: Callable[..., Pair]) -> None:
    pairs = [pair(), pair()]
    pairs[0].then = pairs[1].wire.close
    pairs[1].then = pairs[0].wire.close
    for one in pairs:
        one.peer.sendall(b"x")
    assert arrivals().look() == 2
    assert sum(len(one.heard) for one in pairs) == 1
    assert arrivals().look() == 0


def test_the_end_of_a_connection_is_told_once(pair: Callable[..., Pair]) -> None:
    one = pair()
    one.peer.close()
    until(lambda: one.lost)
    gevent.sleep(0.01)
    assert one.lost == ["closed by the server"]


def test_without_a_date_it_is_now() -> None:
    undated = Arrivals()
    seen: list[int] = []

    def read() -> None:
        undated.date([])
        seen.append(undated.now_ns())

    before_ns = time.monotonic_ns()
    undated.take(read)
    assert before_ns <= seen[0] <= time.monotonic_ns()

"""One TCP connection on gevent's event loop: callbacks that read, writes that never wait, TLS when asked for.

A life in two parts. At first one greenlet reads and writes by turns, for a handshake or a login. Then
`listen` hands what arrives to callbacks, with all other connections' (arrivals.py): no greenlet to switch to.
"""

import functools
import socket
import ssl
from collections.abc import Callable
from typing import Any

import gevent
import gevent.socket
import gevent.ssl
from gevent import get_hub
from gevent.monkey import get_original

from bench.load.clients import ConnectionLost, LoginRefused
from bench.load.clients.arrivals import DATED_BYTES, SO_TIMESTAMPNS, arrivals

READ_BYTES = 16_384
CONNECT_TIMEOUT_S = 10.0
_READ, _WRITE = 1, 2


class Wire:
    """A connected socket. What ends it, but `close`, is told once: to who is in `read`, or to `lost`."""

    __slots__ = (
        *("_arrivals", "_at_once", "_broken", "_decrypt", "_failed", "_lost", "_plain", "_received", "_send"),
        *("_socket", "_unsent", "_writable", "closed"),
    )

    def __init__(self, host: str, port: int) -> None:
        """Connect; blocks this greenlet, 10 s at most. Raises ConnectionLost, and leaves no socket open."""
        try:
            self._socket: Any = _connected(host, port)
        except OSError as error:
            raise ConnectionLost(f"{host}:{port}: {error}") from error
        self._unsent = bytearray()
        self._received: Callable[[bytes], None] | None = None
        self._lost: Callable[[str], None] | None = None
        self._failed: Callable[[Exception], None] | None = None
        self._broken: str | None = None
        self._arrivals = arrivals()
        self._at_once: Any = None
        self.closed = False
        self._adopt()

    def _adopt(self) -> None:
        """Take what reads and writes the socket without waiting, and watch its descriptor."""
        plain = self._plain = self._socket._sock
        secured = getattr(self._socket, "_sslobj", None)
        self._decrypt: Callable[[int], bytes] | None = None if secured is None else secured.read
        self._send: Callable[[bytes], int] = plain.send if secured is None else secured.write
        self._writable = get_hub().loop.io(self._socket.fileno(), _WRITE)

    def secure(self, ca_file: str, name: str) -> None:
        """Go on under TLS with a server that proves to be `name`; raises LoginRefused where it does not."""
        self._writable.close()
        try:
            self._socket = _context(ca_file).wrap_socket(self._socket, server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            raise LoginRefused(f"certificate: {error.verify_message}") from error
        except OSError as error:
            raise ConnectionLost(f"TLS: {error}") from error
        self._adopt()

    def read(self) -> bytes:
        """The next bytes; waits for them in this greenlet. Raises ConnectionLost. Only before `listen`."""
        if self._broken is not None:
            raise ConnectionLost(self._broken)
        try:
            data: bytes = self._socket.recv(READ_BYTES)
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        if not data:
            raise ConnectionLost("closed by the server")
        return data

    def listen(
        self,
        received: Callable[[bytes], None],
        lost: Callable[[str], None],
        failed: Callable[[Exception], None],
        *,
        at_once: bool = False,
    ) -> None:
        """From now on hand what arrives to `received`, out of the event loop.

        `at_once` is for what the server waits for an answer to: else it may lie for some milliseconds.
        A ConnectionLost that it raises ends the connection, and `lost` is told why; so is the end by the
        server. Anything else that it raises is a defect: the connection ends, and `failed` is told.
        """
        self._received, self._lost, self._failed = received, lost, failed
        if self._broken is not None:
            get_hub().loop.run_callback(self._tell)
        elif at_once and not self.closed:
            self._at_once = get_hub().loop.io(self._plain.fileno(), _READ)
            self._at_once.start(self._arrivals.take, self._read_on)
        elif not self.closed:
            self._arrivals.watch(self._plain, self._read_on)

    def write(self, data: bytes) -> None:
        """Send `data`, and keep what the kernel does not take for when it does; never waits, never raises."""
        if self._unsent:
            self._unsent += data
            return
        if self.closed or self._broken is not None:
            return
        try:
            sent = self._send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = 0
        except OSError as error:
            self._break(str(error))
            return
        if sent < len(data):
            self._unsent += data[sent:]
            self._writable.start(self._write_on)

    def close(self) -> None:
        """Close; nothing is told any more. A greenlet in `read` hears ConnectionLost. Safe more than once."""
        if self.closed:
            return
        self.closed = True
        self._deafen()
        self._writable.close()
        self._unsent.clear()
        self._socket.close()

    def _read_on(self) -> None:
        try:
            if self._decrypt is None:
                data, told, _, _ = self._plain.recvmsg(READ_BYTES, DATED_BYTES)
            else:
                _, told, _, _ = self._plain.recvmsg(1, DATED_BYTES, socket.MSG_PEEK)
                data = self._decrypt(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._break(str(error))
            return
        if not data:
            self._break("closed by the server")
            return
        assert self._received is not None
        self._arrivals.date(told)
        try:
            self._received(data)
        except ConnectionLost as error:
            self._break(str(error))
        except Exception as error:  # the loop's edge: a defect must not vanish in it
            self._deafen()
            self._broken = f"{type(error).__name__}: {error}"
            if self._failed is not None:
                self._failed(error)

    def _write_on(self) -> None:
        try:
            sent = self._send(bytes(self._unsent[:READ_BYTES]))
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._break(str(error))
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._writable.stop()

    def _break(self, reason: str) -> None:
        if self.closed or self._broken is not None:
            return
        self._broken = reason
        self._deafen()
        self._writable.stop()
        self._unsent.clear()
        if self._lost is not None:
            get_hub().loop.run_callback(self._tell)  # never from within a write

    def _deafen(self) -> None:
        if self._at_once is not None:
            self._at_once.close()
        self._arrivals.forget(self._plain)

    def _tell(self) -> None:
        if not self.closed and self._lost is not None and self._broken is not None:
            self._lost(self._broken)


def _connected(host: str, port: int) -> Any:
    """A TCP connection without Nagle's delay, what comes in on which is dated."""
    family, kind, protocol, _, address = _resolved(host, port)
    connecting = gevent.socket.socket(family, kind, protocol)
    try:
        connecting.settimeout(CONNECT_TIMEOUT_S)
        connecting.connect(address)
        connecting.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
        connecting.setsockopt(gevent.socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        connecting.settimeout(None)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _resolved(host: str, port: int) -> Any:
    """The first of the host's addresses: at once of one written in numbers, else by gevent's threads.

    Of these there would be ten, with memory of their own, for thousands of people who log in by number.
    """
    try:
        native = get_original("socket", "getaddrinfo")
        return native(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
    except socket.gaierror:
        return gevent.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]


@functools.cache
def _context(ca_file: str) -> gevent.ssl.SSLContext:
    # Not create_default_context: where nothing is monkey-patched it makes one whose sockets block the loop.
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca_file)
    return context


def within(seconds: float) -> gevent.Timeout:
    """As `with`: what blocks longer than this raises ConnectionLost."""
    return gevent.Timeout(seconds, ConnectionLost(f"no login within {seconds:g} s"))

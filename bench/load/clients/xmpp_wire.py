"""One TCP connection on gevent's sockets: reads that wait, writes that never do, TLS when asked for."""

import contextlib
import functools
from typing import Any

import gevent
import gevent.socket
import gevent.ssl

from bench.load.clients import ConnectionLost, LoginRefused

READ_BYTES = 65_536


class Wire:
    """A connected socket. One greenlet reads; any may write or close.

    What a write cannot put into the socket at once is kept, and a greenlet of its own hands it on.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            self._socket: Any = gevent.socket.create_connection((host, port))
            self._socket.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
        except OSError as error:
            raise ConnectionLost(f"{host}:{port}: {error}") from error
        self._unsent = bytearray()
        self._flusher: gevent.Greenlet[..., None] | None = None
        self.closed = False

    def secure(self, ca_file: str, name: str) -> None:
        """Go on under TLS with a server that proves to be `name`; raises LoginRefused where it does not."""
        try:
            self._socket = _context(ca_file).wrap_socket(self._socket, server_hostname=name)
        except gevent.ssl.SSLCertVerificationError as error:
            raise LoginRefused(f"certificate: {error.verify_message}") from error
        except OSError as error:
            raise ConnectionLost(f"TLS: {error}") from error

    def read(self) -> bytes:
        """The next bytes; waits for them. Raises ConnectionLost at the end."""
        try:
            data: bytes = self._socket.recv(READ_BYTES)
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        if not data:
            raise ConnectionLost("closed by the server")
        return data

    def write(self, data: bytes) -> None:
        """Send `data`, or keep for sending what does not fit; raises ConnectionLost."""
        if self.closed:
            raise ConnectionLost("closed")
        if self._flusher is not None:
            self._unsent += data
            return
        sock = self._socket
        sock.settimeout(0.0)  # for this one attempt, which does not yield to the reader
        try:
            sent = sock.send(data)
        except (BlockingIOError, gevent.ssl.SSLWantReadError, gevent.ssl.SSLWantWriteError):
            sent = 0
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        finally:
            sock.settimeout(None)
        if sent < len(data):
            self._unsent += data[sent:]
            self._flusher = gevent.spawn(self._flush)

    def close(self) -> None:
        """Close; a greenlet that reads is told. Never raises, safe more than once."""
        self.closed = True
        with contextlib.suppress(OSError):
            self._socket.close()

    def _flush(self) -> None:
        try:
            while self._unsent:
                chunk, self._unsent = bytes(self._unsent), bytearray()
                self._socket.sendall(chunk)
        except OSError:
            self.close()
        finally:
            self._flusher = None


@functools.cache
def _context(ca_file: str) -> gevent.ssl.SSLContext:
    return gevent.ssl.create_default_context(cafile=ca_file)

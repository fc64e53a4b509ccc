"""The least that any XMPP client in Python can cost: at its moment each message is written, and that is all.

`python -m tests.benchmarks.peers.bare HOST PORT PEOPLE RATE_PER_S SECONDS`: nothing is looked up, recorded,
acknowledged or judged, and what comes in is thrown away unread at the next sending. The process wakes once
for each message, as whoever sends each at a moment of its own must.
"""

import itertools
import random
import select
import socket
import sys
import time
from base64 import b64encode
from pathlib import Path

from bench.plan import PASSWORD
from tests.benchmarks.peers import Load, Target
from tests.benchmarks.peers.tsung import BODY_BYTES
from tests.benchmarks.prosody import DOMAIN
from tests.benchmarks.running import Running

READ_BYTES = 16_384


class Bare:
    """A generator of chat messages; its people are u0 … u<n - 1>."""

    name = "bare loop"

    def start(self, target: Target, load: Load, folder: Path, cores: frozenset[int] | None) -> Running:
        """Begin: people come online one after the other, and write `load.rate_per_s` together."""
        assert load.rate_per_s is not None
        given = (target.host, target.port, load.connections, load.rate_per_s, load.seconds)
        command = (sys.executable, "-m", "tests.benchmarks.peers.bare", *map(str, given))
        return Running(command, folder / "bare.log", cores=cores)


def _online(host: str, port: int, name: str) -> socket.socket:
    """A stream of this person's, bound and present (RFC 6120 and 6121), with a password in plain (RFC 4616)."""
    connection = socket.create_connection((host, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opening = (
        f"<stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams'>"
    )
    secret = b64encode(f"\0{name}\0{PASSWORD}".encode()).decode()
    sasl = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
    bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
    for said, awaited in (
        (opening, b"</stream:features>"),
        (sasl, b"<success"),
        (opening, b"</stream:features>"),
        (bind, b"</iq>"),
        ("<presence/>", b"<presence"),
    ):
        connection.sendall(said.encode())
        answer = b""
        while awaited not in answer:
            more = connection.recv(READ_BYTES)
            if not more:
                sys.exit(f"bare: {name}: the server closed after {answer!r}")
            answer += more
    return connection


def _write(people: list[socket.socket], rate_per_s: float, seconds: float) -> None:
    """Chat messages from anyone to anyone, at the moments of a Poisson process."""
    polling = select.epoll()
    receive = {connection.fileno(): connection.recv for connection in people}
    for descriptor in receive:
        polling.register(descriptor, select.EPOLLIN)
    chance = random.Random(1)
    moments = itertools.accumulate(
        (chance.expovariate(rate_per_s) for _ in itertools.count()), initial=time.monotonic()
    )
    end = time.monotonic() + seconds
    body = "x" * BODY_BYTES
    for number, moment in enumerate(moments):
        if moment > end:
            return
        time.sleep(max(0.0, moment - time.monotonic()))
        for descriptor, _ in polling.poll(0):
            receive[descriptor](READ_BYTES)
        addressee = chance.randrange(len(people))
        message = (
            f"<message to='u{addressee}@{DOMAIN}' id='m{number}' type='chat'><body>{body}</body></message>"
        )
        chance.choice(people).send(message.encode())


if __name__ == "__main__":
    host, port, many, rate, lasting = sys.argv[1:]
    everybody = [_online(host, int(port), f"u{number}") for number in range(int(many))]
    _write(everybody, float(rate), float(lasting))

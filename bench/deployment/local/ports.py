"""Ports for nodes that must come back on the same one after a kill.

A port from the kernel's ephemeral range could be taken by an outgoing connection while its node is
down, and the node would not come back. So ports are drawn from below that range, tried, and never
given out twice by one process.
"""

import random
import socket
from pathlib import Path

from bench.errors import DeploymentError

LOWEST = 10_000
_given: set[int] = set()
_random = random.SystemRandom()


def ephemeral_floor() -> int:
    """The lowest port the kernel uses for outgoing connections (32768 where it does not say)."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        return int(text.split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768


def any_port() -> int:
    """A port outside the ephemeral range that was not given out before; raises DeploymentError for none."""
    if len(_given) >= _highest() - LOWEST:
        raise DeploymentError(f"all ports from {LOWEST} to {_highest()} were given out by this process")
    while (port := _random.randrange(LOWEST, _highest())) in _given:
        pass
    _given.add(port)
    return port


def free_port(host: str = "127.0.0.1") -> int:
    """A free TCP port on `host` outside the ephemeral range; raises DeploymentError where there is none."""
    for _ in range(1_000):
        port = any_port()
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
    raise DeploymentError(
        f"no free port on {host} from {LOWEST} to {_highest()}: end what occupies them (ss -ltn)"
    )


def _highest() -> int:
    return max(ephemeral_floor(), LOWEST + 1_000)

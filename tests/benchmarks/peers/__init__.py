"""The tools that are set beside each other: one file each, all asked for the same request.

wrk.py  k6.py  locust_users.py (both kinds of Locust's HTTP users)  ours.py  tsung.py and bare.py (XMPP)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.benchmarks.running import Running

QUANTILES: Sequence[float] = (0.5, 0.99, 0.999)
"""What every tool is asked to report."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server that answers `GET /`."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Its one page."""
        return f"http://{self.host}:{self.port}/"


@dataclass(frozen=True, slots=True)
class Load:
    """What a tool is asked for: so many connections for so long; `rate_per_s` None is all that it can."""

    connections: int
    seconds: float
    rate_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a tool says of its own run: latencies in ms by quantile; `lag_p99_ms` where it knows it."""

    requests: int
    latency_ms: Mapping[float, float]
    service_ms: Mapping[float, float] = field(default_factory=dict)
    lag_p99_ms: float | None = None


class Peer(Protocol):
    """One tool."""

    name: str

    def start(self, target: Target, load: Load, folder: Path, cores: frozenset[int] | None) -> Running:
        """Begin; the first requests leave at once, or soon."""

    def report(self, running: Running, folder: Path) -> Report:
        """Wait until the run is over, and read what it says of it."""

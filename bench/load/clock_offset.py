"""How far this process's clock is from another's, by asking it the time.

The offset is that of the quickest of several exchanges, and off by half its round trip at the most, as
in Cristian's algorithm (Distributed Computing 3, 1989). Processes of one booted host read the same
CLOCK_MONOTONIC: theirs is 0, whatever the exchanges say.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIME_NAMESPACE = Path("/proc/self/ns/time")


class Exchange(NamedTuple):
    """Asked and heard on this clock, told on the other, all in ns."""

    asked_ns: int
    told_ns: int
    heard_ns: int


class Offset(NamedTuple):
    """The other clock is `offset_ns` ahead of this one, give or take `plus_minus_ns`."""

    offset_ns: int
    plus_minus_ns: int


def offset_of(exchanges: Iterable[Exchange]) -> Offset:
    """From at least one exchange."""
    quickest = min(exchanges, key=lambda one: one.heard_ns - one.asked_ns)
    middle_ns = (quickest.asked_ns + quickest.heard_ns) // 2
    return Offset(quickest.told_ns - middle_ns, (quickest.heard_ns - quickest.asked_ns + 1) // 2)


def clock_name() -> str:
    """Equal for two processes that read the same CLOCK_MONOTONIC; empty where that cannot be told."""
    try:
        return f"{BOOT_ID.read_text().strip()} {TIME_NAMESPACE.readlink()}"
    except OSError:
        return ""

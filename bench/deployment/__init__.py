"""Where a generation runs: processes or containers of this host now; the user's own endpoints later.

What a deployment can do beyond running is said by small protocols; a fault asks for the one it needs.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from bench.records import Endpoint, Link

__all__ = [
    "ClockJump",
    "Deployment",
    "Endpoint",
    "FullDisk",
    "Kill",
    "Link",
    "Partition",
    "Pause",
    "Prove",
    "SlowNetwork",
    "Stop",
]

Prove = Callable[[Sequence[Endpoint]], Awaitable[None]]
"""Passes a real message through the generation, or raises."""


class Deployment(Protocol):
    """One running generation."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where people connect."""

    def nodes(self) -> Mapping[str, int | None]:
        """Process id by node name; None for a node that is down."""


@runtime_checkable
class Kill(Protocol):
    """Nodes can be ended without warning, and started again. Raises DeploymentError where one cannot."""

    async def kill(self, node: str) -> None:
        """End the node at once; return when that is confirmed."""

    async def restart(self, node: str) -> None:
        """Start a dead node with its old data; return when its process runs (it need not be ready)."""


@runtime_checkable
class Pause(Protocol):
    """Nodes can be frozen, and go on. Raises DeploymentError where one cannot."""

    async def pause(self, node: str) -> None:
        """Freeze the node; return when that is confirmed."""

    async def resume(self, node: str) -> None:
        """Let it go on."""


@runtime_checkable
class Stop(Protocol):
    """Nodes can be asked to end, and started again (by Kill's `restart`)."""

    async def stop(self, node: str) -> None:
        """SIGTERM, and patience; return when the node has ended. Raises DeploymentError where it does not."""


@runtime_checkable
class Partition(Protocol):
    """Nodes can be cut off from all others and from the people, while they go on running."""

    async def cut_off(self, node: str) -> None:
        """Let no packet in or out of the node; return when that is so."""

    async def join_again(self, node: str) -> None:
        """Let them through; one that is not cut off is left alone."""


@runtime_checkable
class SlowNetwork(Protocol):
    """What nodes send can be made to arrive late, not at all, or slowly."""

    async def slow_down(self, node: str, link: Link) -> None:
        """Put `link` before all that the node sends; return when that is so."""

    async def full_speed(self, node: str) -> None:
        """Take it away; one that is not slow is left alone."""


@runtime_checkable
class FullDisk(Protocol):
    """The disk that a node writes to can be full."""

    async def fill_disk(self, node: str) -> None:
        """Leave no free byte where the node keeps its data; return when that is so."""

    async def free_disk(self, node: str) -> None:
        """Give back what was taken; one whose disk is not full is left alone."""


@runtime_checkable
class ClockJump(Protocol):
    """A node's wall clock can be wrong."""

    async def jump_clock(self, node: str, seconds: float) -> None:
        """Set the node's clock ahead of the true one (behind it where negative); return when that is so."""

    async def set_clock_right(self, node: str) -> None:
        """Back to true time; one whose clock is right is left alone."""

"""Where a generation runs: local processes now; containers and the user's own endpoints later.

What a deployment can do beyond running is said by small protocols; a fault asks for the one it needs.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from bench.records import Endpoint


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

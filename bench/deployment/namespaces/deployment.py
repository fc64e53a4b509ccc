"""The `namespaces` deployment: the local one, whose nodes each have a place of their own.

So they can also be cut off, slowed, robbed of their disk, and told the wrong time.
"""

from collections.abc import Callable
from pathlib import Path

from bench.deployment import Link, Prove
from bench.deployment.local.deployment import LocalDeployment
from bench.deployment.local.topology import Site, Topology
from bench.deployment.namespaces.ground import Ground


class NamespacedDeployment(LocalDeployment):
    """One generation, laid out on the places of `ground`. Use as `async with`."""

    def __init__(
        self,
        topology: Topology,
        site: Site,
        ground: Ground,
        logs: Path,
        *,
        cores: frozenset[int] | None = None,
        prove: Prove | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(topology, site, logs, cores=cores, prove=prove, say=say)
        self._ground = ground

    async def cut_off(self, node: str) -> None:
        """Let no packet in or out of the node, from or to anybody."""
        await self._ground.network.cut_off(self._process(node).name)

    async def join_again(self, node: str) -> None:
        """Let them through; one that is not cut off is left alone."""
        await self._ground.network.join_again(self._process(node).name)

    async def slow_down(self, node: str, link: Link) -> None:
        """Put `link` before all that the node sends."""
        await self._ground.network.slow_down(self._process(node).name, link)

    async def full_speed(self, node: str) -> None:
        """Take it away; one that is not slow is left alone."""
        await self._ground.network.full_speed(self._process(node).name)

    async def fill_disk(self, node: str) -> None:
        """Leave no free byte on the node's own disk; what the node itself removes it may use again."""
        await self._ground.disks.fill(self._process(node).name)

    async def free_disk(self, node: str) -> None:
        """Give back what was taken, and start the node again where it died of it and nobody else would."""
        await self._ground.disks.free(self._process(node).name)
        await self.restart(node)

    async def jump_clock(self, node: str, seconds: float) -> None:
        """Set the node's wall clock ahead (behind where negative); its monotonic clock stays true."""
        await self._ground.clocks.jump(self._process(node).name, seconds)

    async def set_clock_right(self, node: str) -> None:
        """Back to true time; one whose clock is right is left alone."""
        await self._ground.clocks.right(self._process(node).name)

    async def _start_all(self) -> None:
        self._say("laying namespaces, links and disks")
        await self._ground.open()
        await super()._start_all()

    async def _clear(self) -> None:
        try:
            await self._ground.close()
        finally:
            await super()._clear()

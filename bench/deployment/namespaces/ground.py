"""The ground of one deployment: its namespaces, network, disks and clocks, laid and taken away together.

What a topology must know beforehand, addresses and how a command is started at a node's place, is settled
when a `Ground` is made; the namespaces themselves come with `open`. Until then the paths in those commands
lead nowhere: they are links in `folder`/places, to what the kernel shows of the holding processes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import programs
from bench.deployment.local.topology import Place
from bench.deployment.namespaces.addresses import Block
from bench.deployment.namespaces.clocks import Clocks
from bench.deployment.namespaces.disks import Disks
from bench.deployment.namespaces.holder import Holder
from bench.deployment.namespaces.network import Network

SITE = "site"
"""The link to the mount namespace that all nodes share."""


class Ground:
    """Namespaces for `nodes`, in the site's `folder`; `moved_clocks` names those whose clock is to jump.

    What the kernel and its programs complain of goes to `log`.
    """

    def __init__(
        self,
        folder: Path,
        nodes: Sequence[str],
        block: Block,
        log: Path,
        *,
        moved_clocks: frozenset[str] = frozenset(),
        cores: frozenset[int] | None = None,
    ) -> None:
        self._folder = folder / "ground"
        self._links = self._folder / "places"
        self._nodes = nodes
        self._block = block
        self._log = log
        self._holders: list[Holder] = []
        self.clocks = Clocks(self._folder / "clocks", moved_clocks, log)
        self.disks = Disks(self._folder / "disks", folder / "data", log)
        self.network = Network(block, nodes, self._folder / "batches", log, cores)

    def places(self) -> Mapping[str, Place]:
        """Each node's address, and the words that start a command where it is."""
        nsenter = programs.require("nsenter")
        return {
            node: Place(
                host=str(self._block.node(index)),
                enter=(
                    *(
                        nsenter,
                        f"--net={self._links / node}",
                        f"--mount={self._links / SITE}",
                        "--wd=.",
                        "--",
                    ),
                    *self.clocks.environment(node),
                ),
            )
            for index, node in enumerate(self._nodes)
        }

    async def open(self) -> None:
        """Lay it all; raises DeploymentError where the kernel refuses. Call `close` however it ends."""
        self._links.mkdir(parents=True)
        site = await self._hold("--net", "--mount")
        await self.clocks.open(site)
        self._link(SITE, site.path("mnt"))
        holders = {node: await self._hold("--net") for node in self._nodes}
        for node, holder in holders.items():
            self._link(node, holder.path("net"))
        await self.disks.open(site)
        await self.network.open(site, holders)

    async def close(self) -> None:
        """Take it away; the nodes must have ended."""
        try:
            await self.network.close()
        finally:
            await asyncio.gather(*(holder.release() for holder in self._holders))
            self._holders.clear()

    async def _hold(self, *kinds: str) -> Holder:
        holder = await Holder.start(kinds, self._log)
        self._holders.append(holder)
        return holder

    def _link(self, name: str, target: Path) -> None:
        (self._links / name).symlink_to(target)

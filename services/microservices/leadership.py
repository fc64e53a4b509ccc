"""Who leads the streams of the log: kept with each one's preferred server, and told as it changes.

Kafka's preferred leader election in miniature: after a fault a stream's leadership goes back once its
preferred server has been up to date for a while. Told in the log of the node that does this, `target`
being the server, or all of them joined by `+`:

    promoted     it was elected leader of `stream`, by its own advisory, and nobody had asked for that
    redundant    every stream has all its replicas up to date again: as looked at once a second
    rebalanced   every stream is led by its preferred server again: likewise
"""

import asyncio
import time

import orjson
from nats.aio.msg import Msg

from services.microservices import log
from services.microservices.bus import Bus, Unavailable
from services.runtime import Node

LOOK_EVERY_S = 1.0
ELECTED = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.*"
"""Where a server tells that it leads a stream (nats-server, server/jetstream_events.go)."""


class Leadership:
    """Of the log's `servers`; leadership goes back to one that has been up to date for `after_s`."""

    def __init__(self, node: Node, bus: Bus, servers: tuple[str, ...], *, after_s: float) -> None:
        self._node = node
        self._bus = bus
        self._preferred = log.preferred_leaders(servers)
        self._replicas = log.replicas_among(servers)
        self._everyone = "+".join(servers)
        self._after_s = after_s
        self._asked: set[str] = set()
        self._wrong_since: dict[str, float] = {}

    async def place(self) -> None:
        """Ask each preferred server to lead, and return when all do or ten seconds have passed."""
        for _ in range(100):
            try:
                if all([await self._is_placed(name) for name in self._preferred]):
                    return
            except Unavailable:
                pass
            await asyncio.sleep(log.RETRY_S)

    async def keep(self) -> None:
        """Give leadership back where it belongs, and tell what changes, until cancelled."""
        await self._bus.listen(ELECTED, self._elected)
        redundant = balanced = True
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            found = [await self._look(name) for name in self._preferred]
            whole = all(cluster is not None and len(cluster.current) >= self._replicas for cluster in found)
            if whole and not redundant:
                self._node.log("redundant", target=self._everyone, replicas=self._replicas)
            redundant = whole
            placed = all(
                cluster is not None and cluster.leader == server
                for cluster, server in zip(found, self._preferred.values(), strict=True)
            )
            if placed and not balanced:
                self._node.log("rebalanced", target=self._everyone)
            balanced = placed

    async def _look(self, name: str) -> log.Cluster | None:
        """The stream's servers, None where nobody says; asks for its leadership back where it is time."""
        preferred = self._preferred[name]
        try:
            cluster = await log.cluster_of(self._bus, name)
            if cluster.leader == preferred or preferred not in cluster.current:
                self._wrong_since.pop(name, None)
                return cluster
            since_s = self._wrong_since.setdefault(name, time.monotonic())
            if time.monotonic() - since_s >= self._after_s:
                self._wrong_since.pop(name, None)
                await self._ask_for(name)
        except Unavailable:
            self._wrong_since.pop(name, None)
            return None
        return cluster

    async def _is_placed(self, name: str) -> bool:
        cluster, preferred = await log.cluster_of(self._bus, name), self._preferred[name]
        if cluster.leader not in (None, preferred) and preferred in cluster.current:
            await self._ask_for(name)
        return cluster.leader == preferred

    async def _ask_for(self, name: str) -> None:
        self._asked.add(name)
        await log.give_leadership(self._bus, name, self._preferred[name])

    async def _elected(self, message: Msg) -> None:
        advisory = orjson.loads(message.data)
        name, leader = advisory.get("stream", ""), advisory.get("leader", "")
        asked = name in self._asked and leader == self._preferred.get(name)
        self._asked.discard(name)
        if not asked:
            self._node.log("promoted", target=leader, stream=name)

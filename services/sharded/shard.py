"""The life of one shard under failover's hand: two servers, one of them primary.

Two loops. `_watch` probes the primary and fails over when it is gone. `_tend` looks after the other
server: fences it, rebuilds it, makes it follow, and says when the shard is redundant again.

A primary is gone when several probes in a row had no answer *and* its replica has lost it too. The
replica is promoted only when it is `in_sync` and its applier has run on without restart since; else
promoting would lose acknowledged commits, and the shard waits for its primary to come back.

When the replica is lost, commits on the primary wait for it, and nothing is acknowledged: there is no
silent fallback. After a promotion there is no replica either; whether the new primary then acknowledges
alone is the configuration's to say, and is said in the log and the metrics.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.runtime import Node
from services.sharded.database import Contended, Unavailable
from services.sharded.rebuild import rebuild
from services.sharded.routing import Account, Primary
from services.sharded.server import Controls, Role, Server, number
from services.sharded.state import ShardState, StateFile

CATCH_UP_S = 1.0
START_POLL_S = 0.02
APPLY_RELAY_LOG_S = 60.0


class ShardConfig(BaseModel):
    """How failover decides, and the database accounts it decides with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    admin: Account
    """Failover's own; may do everything."""
    application: Account
    """The api nodes'; made by failover."""
    replication: Account
    """The replicas'; made by failover."""
    mode: Literal["automatic", "manual"] = "automatic"
    """`manual` plays an operator: `decide_delay_s` pass between detecting and promoting."""
    decide_delay_s: float = Field(default=0.0, ge=0)
    probe_interval_s: float = Field(default=0.5, gt=0)
    probe_timeout_s: float = Field(default=1.0, gt=0)
    misses: int = Field(default=3, gt=0)
    """Probes in a row without an answer before a primary counts as gone."""
    alone: Literal["never", "promoted", "always"] = "promoted"
    """When a primary may acknowledge without a replica: never; after a promotion, until the shard is
    redundant again; or whenever the replica is lost. While it does, no server is promoted."""


class Shard:
    """One shard. `run` for ever; `primary` is what the map says of it; `promoted` is called
    with the shard's number when that changes.

    For whoever watches: `answers` (the primary does), `redundant`, and `lag` (commits that the replica has
    not applied).
    """

    def __init__(
        self,
        number: int,
        servers: tuple[Server, Server],
        *,
        config: ShardConfig,
        states: StateFile,
        node: Node,
        promoted: Callable[[int], None],
    ) -> None:
        self.number = number
        self.redundant = False
        self.answers = False
        self.lag = 0
        self._config = config
        self._states = states
        self._node = node
        self._promoted = promoted
        # Two connections a server: a probe must not wait behind a long command.
        self._probes = [Controls(server, config.admin) for server in servers]
        self._hands = [Controls(server, config.admin) for server in servers]
        self._tending: asyncio.Task[None] | None = None
        self._position = ""

    @property
    def state(self) -> ShardState:
        """What is on disk of this shard."""
        return self._states.get(self.number)

    @property
    def primary(self) -> Primary:
        """The shard's entry in the map."""
        server = self._probes[self.state.primary].server
        return Primary(host=server.host, port=server.port, node=server.node, epoch=self.state.epoch)

    async def start(self, people: int) -> None:
        """Bring the shard into service; returns when its primary takes writes and, when new, is replicated.

        Raises Unavailable while a server that must be there is not.
        """
        if self.state.prepared:
            self._log("resumed", primary=self._hand.node, standing=self.state.standing)
            return
        for hand in self._hands:
            await hand.prepare(people, self._config.application, self._config.replication)
        await self._make_primary()
        while not self.redundant:
            await self._tend_once()
            await asyncio.sleep(START_POLL_S)
        self._put(self.state.changed(prepared=True))

    async def run(self) -> None:
        """Watch and tend until cancelled."""
        self._tending = asyncio.create_task(self._tend())
        try:
            await self._watch()
        finally:
            await self._stop_tending()
            for controls in (*self._probes, *self._hands):
                controls.close()

    # -- the primary --------------------------------------------------------------------------------

    async def _watch(self) -> None:
        misses, stuck = 0, False
        while True:
            began = time.monotonic()
            try:
                role = await self._probe.role(timeout_s=self._config.probe_timeout_s)
                misses, stuck, self.answers = 0, False, True
                self._position = role.position
                if role.read_only:
                    await self._make_primary()
                    self._log("primary_restarted", primary=self._hand.node)
            except (Unavailable, Contended) as error:
                misses += 1
                self.answers = misses < self._config.misses
                if misses >= self._config.misses and await self._replica_lost_it_too():
                    if not await self._promotable():
                        if not stuck:
                            self._log("not_promotable", standing=self.state.standing, reason=str(error))
                        stuck = True
                    elif await self._fail_over(misses):
                        misses = 0
            rest = self._config.probe_interval_s - (time.monotonic() - began)
            await asyncio.sleep(max(0.0, rest))

    async def _make_primary(self) -> None:
        state = self.state
        await self._hand.become_primary(state.epoch, alone=state.alone)

    async def _made_primary(self) -> bool:
        try:
            await self._make_primary()
        except Unavailable as error:
            self._log("promotion_delayed", server=self._hand.node, error=str(error))
            return False
        return True

    async def _replica_lost_it_too(self) -> bool:
        try:
            view = await self._other_probe.replication(timeout_s=self._config.probe_timeout_s)
        except Unavailable:
            return False
        return view is None or not view.connected

    async def _promotable(self) -> bool:
        try:
            view = await self._other_probe.replication(timeout_s=self._config.probe_timeout_s)
        except Unavailable:
            return False
        return self.state.standing == "in_sync" and view is not None and view.applying

    async def _fail_over(self, misses: int) -> bool:
        """Promote the replica; whether it was done. It is not when the primary came back meanwhile."""
        old, new = self._hand, self._other_hand
        self.redundant = False
        self._log("detected", target=old.node, misses=misses)
        if self._config.mode == "manual":
            self._log("deciding", seconds=self._config.decide_delay_s)
            await asyncio.sleep(self._config.decide_delay_s)
            try:
                await self._probe.role(timeout_s=self._config.probe_timeout_s)
            except Unavailable:
                pass
            else:
                self._log("primary_returned", primary=old.node)
                return False
        began = time.monotonic()
        await self._stop_tending()
        try:
            state = self.state
            if not await self._promotable():  # no longer: the replica has been lost meanwhile
                return False
            self._log("decided", target=new.node, old=old.node)
            fork = await new.take_all(timeout_s=APPLY_RELAY_LOG_S)
            self._log("replayed", target=new.node, old=old.node, commits=fork)
            self._put(
                state.changed(
                    epoch=state.epoch + 1,
                    primary=1 - state.primary,
                    standing="former",
                    fork=fork,
                    alone=self._config.alone != "never",
                )
            )
            # From here on there is no way back: the new primary is on disk as such.
            while not await self._made_primary():
                await asyncio.sleep(self._config.probe_interval_s)
        except Unavailable as error:
            self._log("promotion_failed", server=new.node, error=str(error))
            return False
        finally:
            self._tending = asyncio.create_task(self._tend())
        self._promoted(self.number)
        self._log(
            "promoted",
            target=new.node,
            old=old.node,
            commits=fork,
            alone=self.state.alone,
            took_s=round(time.monotonic() - began, 3),
        )
        return True

    # -- the other server ---------------------------------------------------------------------------

    async def _tend(self) -> None:
        while True:
            try:
                await self._tend_once()
            except (Unavailable, Contended) as error:
                if self.redundant and isinstance(error, Unavailable):
                    self._log("detected", target=self._other_hand.node, reason=str(error))
                await self._replica_lost(str(error))
            await asyncio.sleep(self._config.probe_interval_s)

    async def _stop_tending(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
            self._tending = None
            for hand in self._hands:
                hand.close()

    async def _tend_once(self) -> None:
        other, state = self._other_hand, self.state
        role = await other.role(timeout_s=self._config.probe_timeout_s)
        if not role.read_only:
            await other.fence(self._config.application)
            self._log("fenced", server=other.node)
        if state.standing == "former":
            state = await self._judge_former(role)
        if state.standing == "rebuild":
            began = time.monotonic()
            rows = await rebuild(self._hand.server, other.server, self._config.admin)
            state = self._put(state.changed(standing="unknown"))
            self._log("rebuilt", server=other.node, rows=rows, took_s=round(time.monotonic() - began, 3))
        view = await other.replication()
        if view is not None and view.error:
            self._log("replication_broken", server=other.node, error=view.error)
            self._put(state.changed(standing="rebuild"))
            self.redundant = False
            return
        if view is None or not view.applying:
            # It has restarted and thrown its relay log away, or never followed: it may lack commits.
            self._put(state.changed(standing="unknown"))
            self.redundant = False
            await other.follow(self._hand.server, self._config.replication, from_own_log=False)
        if self.state.standing != "in_sync":
            await self._catch_up()
        elif view is not None and not view.connected:
            await self._replica_lost("it is not connected to the primary")
        elif not self.redundant:
            self._now_redundant()
        self.lag = max(0, number(self._position) - number((await other.role(timeout_s=1.0)).position))

    async def _judge_former(self, role: Role) -> ShardState:
        """Whether a former primary shares the new one's history: nothing beyond the fork."""
        state, other = self.state, self._other_hand
        assert state.fork is not None
        position = await other.position()
        diverged = number(position) > state.fork
        self._log(
            "rejoining",
            server=other.node,
            was_read_only=role.read_only,
            diverged_commits=max(0, number(position) - state.fork),
        )
        if diverged:
            return self._put(state.changed(standing="rebuild"))
        await other.follow(self._hand.server, self._config.replication, from_own_log=True)
        return self._put(state.changed(standing="unknown"))

    async def _catch_up(self) -> None:
        """Bring a following server in sync; returns early when it is too far behind for now."""
        primary, other = self._hand, self._other_hand
        if not await other.applied(await primary.position(), timeout_s=CATCH_UP_S):
            return
        role = await primary.role(timeout_s=self._config.probe_timeout_s)
        if role.read_only:
            return  # it has just restarted and is not primary yet
        if not role.waits_for_replica:
            await primary.wait_for_replica(True)
            await other.reconnect_to_primary()
        # From here on every commit is acknowledged by the replica; those before are up to this position.
        if not await other.applied(await primary.position(), timeout_s=CATCH_UP_S):
            return
        role = await primary.role(timeout_s=self._config.probe_timeout_s)
        if role.waits_for_replica and role.replicas > 0:
            self._put(self.state.changed(standing="in_sync", alone=False))
            self._now_redundant()

    def _now_redundant(self) -> None:
        self.redundant = True
        self._log("redundant", target=self._other_hand.node, primary=self._hand.node)

    async def _replica_lost(self, reason: str) -> None:
        if self.redundant:
            self.redundant = False
            self._log("replica_lost", replica=self._other_hand.node, reason=reason, alone=self.state.alone)
        if self._config.alone == "always" and not self.state.alone:
            try:
                await self._hand.role(timeout_s=self._config.probe_timeout_s)
                # First on disk: from now on the replica may lack acknowledged commits.
                self._put(self.state.changed(standing="unknown", alone=True))
                await self._hand.wait_for_replica(False)
                self._log("alone", primary=self._hand.node)
            except (Unavailable, Contended):
                return  # the primary is in trouble itself: the watch sees to it

    # -- small things -------------------------------------------------------------------------------

    @property
    def _probe(self) -> Controls:
        return self._probes[self.state.primary]

    @property
    def _other_probe(self) -> Controls:
        return self._probes[1 - self.state.primary]

    @property
    def _hand(self) -> Controls:
        return self._hands[self.state.primary]

    @property
    def _other_hand(self) -> Controls:
        return self._hands[1 - self.state.primary]

    def _put(self, state: ShardState) -> ShardState:
        if state != self.state:
            self._states.put(self.number, state)
        return state

    def _log(self, event: str, **fields: object) -> None:
        self._node.log(event, shard=self.number, epoch=self.state.epoch, **fields)

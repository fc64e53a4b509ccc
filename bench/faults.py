"""The nemesis: strikes at the planned moments, heals at the planned moments, and judges nothing.

Each fault has a task of its own, so that one which takes long to strike keeps no other waiting. Each step
writes down when it was planned, asked for and confirmed, on the trial's clock; several nodes are struck at
once, and confirmed when the last of them is. Whatever happens, every fault that was begun is healed before
the nemesis leaves. Heals leave alone what is well, so that one which was cut short is done again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.deployment import ClockJump, Deployment, FullDisk, Kill, Partition, Pause, SlowNetwork, Stop
from bench.errors import DeploymentError, RunError
from bench.generations import FaultKind
from bench.plan import PlannedFault
from bench.records import FaultRow, Link

Act = Callable[[str], Awaitable[None]]
"""Does something to the node of that name."""
DropConnections = Callable[[], Awaitable[int]]
"""Ends everybody's connection at once; how many there were."""


@dataclass(frozen=True, slots=True)
class _Hand:
    """How a kind of fault is done to one node, and how it is undone."""

    inject: Act
    heal: Act


class Nemesis:
    """The faults of one trial. `rows` grows as steps complete; `drop_connections` is who makes the load."""

    def __init__(
        self,
        deployment: Deployment,
        faults: Sequence[PlannedFault],
        trial: int,
        origin_ns: int,
        *,
        drop_connections: DropConnections | None = None,
        say: Callable[[str], None] = lambda _: None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.rows: list[FaultRow] = []
        self._deployment = deployment
        self._faults = faults
        self._trial = trial
        self._origin_ns = origin_ns
        self._drop_connections = drop_connections
        self._say = say
        self._clock_ns = clock_ns

    async def run(self) -> None:
        """Inject and heal everything at its time; when cancelled, heal at once what still ails."""
        async with asyncio.TaskGroup() as tasks:
            for fault in self._faults:
                tasks.create_task(self._live(fault))

    async def _live(self, fault: PlannedFault) -> None:
        await self._until(fault.inject_s)
        healed = fault.heal_s is None
        try:
            await self._step(fault, "inject", fault.inject_s)
            if fault.heal_s is not None:
                await self._until(fault.heal_s)
                await self._step(fault, "heal", fault.heal_s)
                healed = True
        finally:
            if not healed:
                await self._step(fault, "heal", self._now_s())

    async def _step(self, fault: PlannedFault, step: Literal["inject", "heal"], planned_s: float) -> None:
        self._say(_words(fault, step))
        invoked_s = self._now_s()
        completed_s: float | None = None
        detail = "cut short"
        try:
            detail = await self._act(fault, step)
            completed_s = self._now_s()
        except (RunError, OSError) as error:  # written down; the other faults still happen
            detail = str(error)
            self._say(f"{_words(fault, step)} failed: {detail}")
        finally:
            row = FaultRow(
                generation=fault.generation,
                trial=self._trial,
                fault=fault.fault,
                kind=fault.kind,
                node=fault.node_names,
                step=step,
                planned_s=round(planned_s, 6),
                invoked_s=round(invoked_s, 6),
                completed_s=None if completed_s is None else round(completed_s, 6),
                detail=detail,
            )
            self.rows.append(row)

    async def _act(self, fault: PlannedFault, step: Literal["inject", "heal"]) -> str:
        """Do it; what there is to be told of it. Every node is attempted, and the first error raised."""
        if fault.kind == "none":
            return ""
        if fault.kind == "reconnect":
            if self._drop_connections is None:
                raise DeploymentError("nobody here makes connections that could be dropped")
            return f"{await self._drop_connections()} connections dropped"
        hand = _hand(self._deployment, fault)
        act = hand.inject if step == "inject" else hand.heal
        results = await asyncio.gather(*(act(node) for node in fault.nodes), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return ""

    async def _until(self, moment_s: float) -> None:
        await asyncio.sleep(max(0.0, moment_s - self._now_s()))

    def _now_s(self) -> float:
        return (self._clock_ns() - self._origin_ns) / 1e9


def _hand(deployment: Deployment, fault: PlannedFault) -> _Hand:
    """How `deployment` does a fault that is aimed at nodes; raises DeploymentError where it cannot."""
    hand: _Hand | None = None
    match fault.kind:
        case "kill" if isinstance(deployment, Kill):
            hand = _Hand(deployment.kill, deployment.restart)
        case "stop" | "restart" if isinstance(deployment, Stop) and isinstance(deployment, Kill):
            hand = _Hand(deployment.stop, deployment.restart)
        case "pause" if isinstance(deployment, Pause):
            hand = _Hand(deployment.pause, deployment.resume)
        case "partition" if isinstance(deployment, Partition):
            hand = _Hand(deployment.cut_off, deployment.join_again)
        case "slow" if isinstance(deployment, SlowNetwork):
            hand = _slow(deployment, fault.link or Link())
        case "full_disk" if isinstance(deployment, FullDisk):
            hand = _Hand(deployment.fill_disk, deployment.free_disk)
        case "clock_jump" if isinstance(deployment, ClockJump):
            hand = _jump(deployment, fault.jump_s or 0.0)
    if hand is None:
        raise DeploymentError(f"this deployment cannot do a {fault.kind}")
    return hand


def _slow(deployment: SlowNetwork, link: Link) -> _Hand:
    return _Hand(lambda node: deployment.slow_down(node, link), deployment.full_speed)


def _jump(deployment: ClockJump, jump_s: float) -> _Hand:
    return _Hand(lambda node: deployment.jump_clock(node, jump_s), deployment.set_clock_right)


_HEALS: Mapping[FaultKind, str] = {
    "kill": "start {} again",
    "stop": "start {} again",
    "restart": "start {} again",
    "pause": "resume {}",
    "partition": "join {} again",
    "slow": "full speed for {}",
    "full_disk": "free the disk of {}",
    "clock_jump": "set the clock of {} right",
}


def _words(fault: PlannedFault, step: Literal["inject", "heal"]) -> str:
    """A step as it is told: `kill nats-1`, `start nats-1 again`, `control: nothing is done`."""
    if fault.kind == "none":
        return "control: nothing is done"
    if fault.kind == "reconnect":
        return "everybody's connection is dropped"
    nodes = ", ".join(fault.nodes)
    return f"{fault.kind.replace('_', ' ')} {nodes}" if step == "inject" else _HEALS[fault.kind].format(nodes)

"""The nemesis: strikes at the planned moments, heals at the planned moments, and judges nothing.

Each step writes down when it was planned, asked for and confirmed, on the trial's clock. Whatever
happens, every fault that was injected is healed before the nemesis leaves.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Literal

from bench.deployment import Deployment, Kill, Pause
from bench.errors import DeploymentError
from bench.plan import PlannedFault
from bench.records import FaultRow


class Nemesis:
    """The faults of one trial. `rows` grows as steps complete."""

    def __init__(
        self,
        deployment: Deployment,
        faults: Sequence[PlannedFault],
        trial: int,
        origin_ns: int,
        *,
        say: Callable[[str], None] = lambda _: None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.rows: list[FaultRow] = []
        self._deployment = deployment
        self._faults = faults
        self._trial = trial
        self._origin_ns = origin_ns
        self._say = say
        self._clock_ns = clock_ns
        self._unhealed: dict[int, PlannedFault] = {}

    async def run(self) -> None:
        """Inject and heal everything at its time; when cancelled, heal at once what still ails."""
        steps = [(fault.inject_s, 0, fault.fault, fault) for fault in self._faults]
        steps += [(f.heal_s, 1, f.fault, f) for f in self._faults if f.heal_s is not None]
        try:
            for at_s, is_heal, _, fault in sorted(steps, key=lambda step: step[:3]):
                await asyncio.sleep(max(0.0, at_s - self._now_s()))
                if is_heal:
                    await self._heal(fault, at_s)
                else:
                    await self._inject(fault)
        finally:
            for fault in list(self._unhealed.values()):
                await self._heal(fault, self._now_s())

    async def _inject(self, fault: PlannedFault) -> None:
        self._say(f"{fault.kind} {fault.node_names}")
        if fault.kind == "pause" or fault.heal_s is not None:
            self._unhealed[fault.fault] = fault
        await self._step(fault, "inject", fault.inject_s)

    async def _heal(self, fault: PlannedFault, planned_s: float) -> None:
        if self._unhealed.pop(fault.fault, None) is not None:
            self._say(f"{'restart' if fault.kind == 'kill' else 'resume'} {fault.node_names}")
            await self._step(fault, "heal", planned_s)

    async def _step(self, fault: PlannedFault, step: Literal["inject", "heal"], planned_s: float) -> None:
        invoked_s = self._now_s()
        completed_s: float | None = None
        detail = ""
        try:
            await self._act(fault, step)
            completed_s = self._now_s()
        except (DeploymentError, OSError) as error:  # written down; the other faults still happen
            detail = str(error)
            self._say(f"{step} of {fault.kind} {fault.node_names} failed: {detail}")
        self.rows.append(
            FaultRow(
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
        )

    async def _act(self, fault: PlannedFault, step: Literal["inject", "heal"]) -> None:
        deployment = self._deployment
        for node in fault.nodes:
            if fault.kind == "kill" and isinstance(deployment, Kill):
                await (deployment.kill if step == "inject" else deployment.restart)(node)
            elif fault.kind == "pause" and isinstance(deployment, Pause):
                await (deployment.pause if step == "inject" else deployment.resume)(node)
            else:
                raise DeploymentError(f"this deployment cannot {fault.kind} a node")

    def _now_s(self) -> float:
        return (self._clock_ns() - self._origin_ns) / 1e9

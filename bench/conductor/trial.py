"""One trial against a generation that is up: load, faults and telemetry together, and what they leave.

a. start the telemetry and the load process; wait until everybody is online
b. fix the origin: the stages are offered while the nemesis strikes and heals
c. drain, audit, leave
d. judge whether the figures are the system's
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import machine
from bench.analysis.planned import slo, stages
from bench.analysis.verdict import Signs, Verdict, judge, signs
from bench.deployment import Deployment
from bench.errors import RunError
from bench.faults import Nemesis
from bench.histograms import decode_log
from bench.load.driver import ALONE, Crew, LoadDriver, Measured
from bench.load.trial import Assignment
from bench.plan import Plan, PlannedFault
from bench.records import FaultRow, TelemetryRow
from bench.telemetry.sampler import Sampler
from bench.watcher import Watcher

LEAD_S = 0.3
"""From the moment everybody is online to the origin."""


@dataclass(slots=True)
class Reached:
    """How far a trial came, kept for whoever has to say it."""

    origin_ns: int = 0
    step: str = "before it began"


@dataclass(frozen=True, slots=True)
class Left:
    """What a trial left, whole or as far as it came."""

    measured: Measured
    faults: Sequence[FaultRow]
    telemetry: Sequence[TelemetryRow]


@dataclass(slots=True)
class Session:
    """One load process in its life against a deployment; `left` may be asked once `run` has ended, however.

    `scratch` is where the load process writes, `log` where it complains; `positions` is the file in which
    the people of one session after another keep up to where they have received. `faults` strike under load.
    `sayings` are what it had to say about its own figures.
    """

    plan: Plan
    plan_file: Path
    assignment: Assignment
    scratch: Path
    log: Path
    watcher: Watcher
    crew: Crew = ALONE
    positions: Path | None = None
    faults: Sequence[PlannedFault] = ()
    reached: Reached = field(default_factory=Reached)
    sayings: list[str] = field(default_factory=list)
    lost_workers: Sequence[str] = ()
    _load: LoadDriver | None = None
    _sampler: Sampler | None = None
    _nemesis: Nemesis | None = None

    async def run(self, deployment: Deployment) -> None:
        """Bring everybody online, offer the plan's load while its faults strike, drain, and leave."""
        plan, reached = self.plan, self.reached
        cores = machine.divide_cores()
        load = self._load = LoadDriver(
            self.plan_file,
            self.assignment,
            self.scratch,
            self.log,
            cores=cores.generator,
            progress=self._progress,
            crew=self.crew,
            positions=self.positions,
        )
        sampler = self._sampler = Sampler(lambda: {**deployment.nodes(), **load.pids})
        async with sampler, load:
            self._step(f"bringing {plan.clients:,} people online")
            await load.online(30 + self.crew.wait_s + 2 * plan.clients / plan.login_rate_per_s)
            reached.origin_ns = time.monotonic_ns() + round(LEAD_S * 1e9)
            await load.begin(reached.origin_ns)
            self._step("under load")
            self._nemesis = Nemesis(
                deployment,
                self.faults,
                self.assignment.trial,
                reached.origin_ns,
                drop_connections=load.drop_connections,
                say=self.watcher.note,
            )
            report = await while_faults_strike(load, self._nemesis)
            self.lost_workers = report["lost_workers"]
            self.sayings = [*report["lost_workers"], *report["clocks"]]
            if report["negative_deltas"]:
                self.sayings.append(f"{report['negative_deltas']} negative time differences, counted as 1 µs")
            for saying in self.sayings:
                self.watcher.note(saying)

    @property
    def generator_pid(self) -> int | None:
        """The load process's id while it runs."""
        return self._load.pid if self._load is not None else None

    def left(self) -> Left:
        """All that was measured so far."""
        measured = self._load.measured() if self._load is not None else Measured((), (), (), "")
        telemetry: Sequence[TelemetryRow] = ()
        if self._sampler is not None and self.reached.origin_ns:
            named = (self.assignment.generation, self.assignment.trial)
            telemetry = self._sampler.rows(*named, self.reached.origin_ns)
        return Left(measured, self._nemesis.rows if self._nemesis is not None else (), telemetry)

    def _step(self, text: str) -> None:
        self.reached.step = text
        self.watcher.step(text)

    def _progress(self, report: Mapping[str, Any]) -> None:
        if report["event"] == "listening" and self.crew.join:
            master = f"{self.crew.host}:{report['port']}"
            self.watcher.note(
                f"waiting for {self.crew.join} worker(s); on each: bench worker --master {master}"
            )
        if "t_s" in report and "phase" in report:
            self.reached.step = f"{report['phase']} at {report['t_s']:.1f} s"
            self.watcher.load(
                report["t_s"],
                report["phase"],
                report["offered"],
                report["acknowledged"],
                report["in_flight"] + report["unknown"],
                report["online"],
            )


async def while_faults_strike(load: LoadDriver, nemesis: Nemesis) -> Mapping[str, Any]:
    """Run both until the load is over, and heal; the load's closing report."""
    faults = asyncio.create_task(nemesis.run())
    try:
        report = await load.finished()
    finally:
        faults.cancel()
        (ended,) = await asyncio.gather(faults, return_exceptions=True)
    if isinstance(ended, ExceptionGroup):  # of the nemesis' tasks
        ended = ended.exceptions[0]
    if isinstance(ended, Exception):  # what it cannot do it writes down: this is a defect
        raise RunError(f"the nemesis broke: {type(ended).__name__}: {ended}") from ended
    return report


def signs_of(plan: Plan, left: Left) -> tuple[Signs, ...]:
    """What a trial that ran to its end shows of generator and machine."""
    lags = (line for line in left.measured.hlog_text.splitlines(keepends=True) if "/lag," in line)
    return signs(
        stages(_as_read(plan)),
        left.measured.timeline,
        left.telemetry,
        decode_log((line.encode() for line in lags), "histograms of this trial"),
        generator_cores=len(machine.divide_cores().generator or (0,)),
    )


def verdict_of(plan: Plan, left: Left, *, ceiling_per_s: float | None = None) -> Verdict:
    """Whether the figures of a trial that ran to its end are the system's."""
    return judge(signs_of(plan, left), slo(_as_read(plan)), ceiling_per_s=ceiling_per_s)


def _as_read(plan: Plan) -> Mapping[str, Any]:
    """The plan as the analysis reads it from a run folder."""
    return json.loads(json.dumps(asdict(plan)))  # type: ignore[no-any-return]

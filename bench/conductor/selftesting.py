"""The self-test: scripted targets whose truth is written down, put under load as any system is.

1. at once, for none of them asks much of the machine: a target and a generator that stall, a target that is
   down, and in each protocol one that loses, doubles, swaps and corrupts a message
2. alone: a generator asked for more than it can make
3. in blocks of three at once, so that a block's trials meet the same machine: two equal systems and a
   slower one

What they leave stands in run folders under results/selftest/, which the next self-test replaces; each figure
is read from there, and what must come out stands in analysis/selftest.py.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import machine
from bench.analysis import selftest as truths
from bench.analysis.planned import Slo
from bench.analysis.selftest import Check
from bench.analysis.verdict import Signs
from bench.calibration import PROTOCOLS
from bench.conductor.deploying import furnish
from bench.conductor.run import begin_folder, close_folder
from bench.conductor.site import WORK, clear_leftovers, clear_work, refuse_memory_disk
from bench.conductor.trial import Session, signs_of
from bench.deployment.local import noop
from bench.deployment.local.deployment import LocalDeployment
from bench.errors import DeploymentError
from bench.evidence import Evidence
from bench.generations import ClientKind
from bench.load.trial import Assignment
from bench.lock import host_lock
from bench.manifest import Phase, Trial
from bench.plan import Plan, PlannedTrial
from bench.planning import FAULT_BIN_WIDTH_S, make_plan
from bench.profile import Profile
from bench.results import RunFolder
from bench.watcher import Watcher

FOLDER = "selftest"
GENERATION = "noop"
CLIENTS = 8
BLOCKS, MOST_BLOCKS = 5, 15
"""Trials of each system that is compared: with 5 v 5, an outlier in each does not decide. On a machine too
noisy for a word, more, as a user would be told to make; a word once found, right or wrong, ends it."""
EASY_PER_S, OVERLOAD_PER_S = 2_000, 60_000
MISDEEDS: Mapping[str, Any] = {"lose": [60], "double": [90], "swap": [120], "corrupt": [150]}
PORT_TRIES = 3
PORT_TAKEN = "address already in use"
Tell = Callable[[Check], None]
During = Callable[[Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Target:
    """One scripted target and the load it is put under; stages are (name, seconds, rate per second)."""

    name: str
    client: ClientKind
    script: Mapping[str, Any]
    stages: tuple[tuple[str, float, float], ...]
    bin_width_s: float = 1.0

    def plan(self, trials: int) -> Plan:
        """The plan of so many trials."""
        profile = Profile.model_validate(
            {
                "name": self.name,
                "generations": ["monolith"],
                "population": {"clients": CLIENTS, "login_rate": "50/s", "contacts": 2},
                "load": {
                    "timeout": "3s",
                    "stages": [
                        {"name": name, "kind": "steady", "duration": f"{length_s}s", "rate": f"{rate}/s"}
                        for name, length_s, rate in self.stages
                    ],
                },
                "slo": {"response": "1s", "share": "99%"},
                "drain": {"quiet": "500ms", "limit": "20s"},
            }
        )
        # The target is no generation that a profile can name.
        planned = tuple(PlannedTrial(GENERATION, number, number) for number in range(1, trials + 1))
        return replace(
            make_plan(profile), generations=(GENERATION,), trials=planned, bin_width_s=self.bin_width_s
        )


STALLS = Target(
    "stalls",
    "xmpp",
    {"stall": {"at_s": 2.0, "for_s": truths.STALL_S}},
    (("warm", 1.0, 300), ("target", 4.0, 300), ("generator", 4.0, 300)),
)
GENERATOR_STALLS_AT_S = 6.0
OUTAGE = Target(
    "outage",
    "websocket",
    {"down": {"at_s": 5.0, "for_s": truths.OUTAGE_S}},
    (("steady", 5.0, 300), ("fault", 16.0, 300)),
    FAULT_BIN_WIDTH_S,
)
OVERLOAD = Target("overload", "xmpp", {}, (("easy", 3.0, EASY_PER_S), ("overload", 1.0, OVERLOAD_PER_S)))


def thief(client: ClientKind) -> Target:
    """A target that does each misdeed to one message."""
    return Target(f"misdeeds-{client}", client, MISDEEDS, (("steady", 2.0, 200),))


def system(name: str, slower_ms: float) -> Target:
    """One of the systems that are compared."""
    stages = (("warm", 0.5, 150), ("steady", 1.5, 150))
    return Target(name, "websocket", {"slower_ms": slower_ms}, stages, bin_width_s=0.5)


async def selftest(results: Path, project: Path, watcher: Watcher, tell: Tell) -> Sequence[Check]:
    """Do all of it; `tell` hears of each check as it is made. Raises what broke a trial."""
    checks: list[Check] = []

    def say(made: Sequence[Check]) -> None:
        for check in made:
            checks.append(check)
            tell(check)

    with host_lock():
        clear_leftovers(results, watcher.note)
        refuse_memory_disk(results)
        shutil.rmtree(results / FOLDER, ignore_errors=True)
        try:
            bench = Bench(results, project, watcher)
            watcher.note("stalls, an outage and misdeeds, all at once: about 25 s")
            async with asyncio.TaskGroup() as group:
                for part in (_stalls, _outage, *(_misdeeds(client) for client in PROTOCOLS)):
                    group.create_task(_saying(part(bench), say))
            watcher.note("a generator asked for too much: about 10 s")
            say(await _overload(bench))
            watcher.note(f"{BLOCKS} blocks of three systems to compare, or more: from 30 s on")
            say(await _comparisons(bench))
        finally:
            clear_work(results)
    return checks


async def _saying(made: Awaitable[Sequence[Check]], say: Callable[[Sequence[Check]], None]) -> None:
    say(await made)


class Bench:
    """Puts scripted targets under load, each in a run folder of its own."""

    def __init__(self, results: Path, project: Path, watcher: Watcher) -> None:
        self._results = results
        self._project = project
        self._watcher = watcher

    def folder(self, target: Target, trials: int = 1) -> tuple[Plan, RunFolder]:
        """A new run folder of the target, with its plan."""
        plan = target.plan(trials)
        return plan, begin_folder(plan, self._results / FOLDER, self._project)

    async def run(self, target: Target, during: During | None = None) -> Evidence:
        """One trial of the target, and what it left."""
        plan, folder = self.folder(target)
        await self.trial(target, plan, folder, 1, during)
        return folder.evidence()

    async def trial(
        self, target: Target, plan: Plan, folder: RunFolder, number: int, during: During | None = None
    ) -> tuple[Signs, ...]:
        """Trial `number` of the run in `folder`; `during` goes beside it. Its signs, by stage."""
        work = self._results / WORK / f"{folder.path.name}-{number}"
        logs = folder.logs(GENERATION, number)
        async with _up(target, plan, work, logs) as deployment:
            session = Session(
                plan=plan,
                plan_file=folder.path / "plan.json",
                assignment=Assignment(
                    generation=GENERATION,
                    client=target.client,
                    trial=number,
                    seed=number,
                    run=zlib.crc32(folder.path.name.encode()),
                    endpoints=deployment.endpoints,
                ),
                scratch=work.with_name(f"{work.name}-load"),
                log=logs / "load.log",
                watcher=self._watcher,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(session.run(deployment))
                if during is not None:
                    group.create_task(_as_coroutine(during(session)))
        left = session.left()
        folder.add_trial(
            Trial(
                generation=GENERATION,
                trial=number,
                status="complete",
                origin_ns=session.reached.origin_ns,
                phases=tuple(Phase(stage.name, stage.start_s, stage.end_s) for stage in plan.stages),
            ),
            timeline=left.measured.timeline,
            telemetry=left.telemetry,
            audit=left.measured.audit,
            touched=left.measured.touched,
            findings=left.measured.findings,
            hlog_text=left.measured.hlog_text,
        )
        close_folder(folder, "complete", f"{number} trials", None)
        return signs_of(plan, left)


@contextlib.asynccontextmanager
async def _up(target: Target, plan: Plan, work: Path, logs: Path) -> AsyncIterator[LocalDeployment]:
    """The target, started; anew where another program took its port between the drawing and the start."""
    async with contextlib.AsyncExitStack() as stack:
        for tries_left in reversed(range(PORT_TRIES)):
            site = furnish(plan, work)
            topology = noop.topology(site, target.client, target.script)
            deployment = LocalDeployment(topology, site, logs, cores=machine.divide_cores().sut)
            try:
                await stack.enter_async_context(deployment)
            except DeploymentError as error:
                if not tries_left or PORT_TAKEN not in str(error):
                    raise
            else:
                break
        yield deployment


async def _as_coroutine(made: Awaitable[None]) -> None:
    await made


async def _stalls(bench: Bench) -> Sequence[Check]:
    lengths_s: list[float] = []

    async def stall_generator(session: Session) -> None:
        while not session.reached.origin_ns:
            await asyncio.sleep(0.05)
        at_ns = session.reached.origin_ns + round(GENERATOR_STALLS_AT_S * 1e9)
        await asyncio.sleep(max(at_ns - time.monotonic_ns(), 0) / 1e9)
        if session.generator_pid is not None:
            # In a thread, for what else goes on here must not make it longer.
            lengths_s.append(await asyncio.to_thread(_stall, session.generator_pid))

    evidence = await bench.run(STALLS, stall_generator)
    return truths.of_stalls(evidence, "target", "generator", sum(lengths_s))


def _stall(pid: int) -> float:
    """Stop a process for the length of a stall, by SIGSTOP; for how long it was, in s."""
    os.kill(pid, signal.SIGSTOP)
    began_s = time.monotonic()
    try:
        time.sleep(truths.STALL_S)
    finally:
        os.kill(pid, signal.SIGCONT)
    return time.monotonic() - began_s


async def _outage(bench: Bench) -> Sequence[Check]:
    return (truths.of_outage(await bench.run(OUTAGE), OUTAGE.bin_width_s),)


def _misdeeds(client: ClientKind) -> Callable[[Bench], Awaitable[Sequence[Check]]]:
    async def found(bench: Bench) -> Sequence[Check]:
        return truths.of_misdeeds(client, await bench.run(thief(client)))

    return found


async def _overload(bench: Bench) -> Sequence[Check]:
    plan, folder = bench.folder(OVERLOAD)
    easy, overloaded = await bench.trial(OVERLOAD, plan, folder, 1)
    return truths.of_overload(easy, overloaded, Slo(plan.slo.response_ms, plan.slo.share))


async def _comparisons(bench: Bench) -> Sequence[Check]:
    systems = [
        system("equal-one", truths.BASE_MS),
        system("equal-two", truths.BASE_MS),
        system("slower", truths.SLOWER_MS),
    ]
    made = [bench.folder(target, MOST_BLOCKS) for target in systems]
    order = random.Random(1)
    for number in range(1, MOST_BLOCKS + 1):
        block = list(zip(systems, made, strict=True))
        order.shuffle(block)
        async with asyncio.TaskGroup() as group:
            for target, (plan, folder) in block:
                group.create_task(bench.trial(target, plan, folder, number))
        p50s = [truths.p50s(folder.evidence(), "steady") for _, folder in made]
        if number >= BLOCKS and not truths.undecided(*p50s):
            break
    return truths.of_comparisons(*p50s)

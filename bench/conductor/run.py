"""The life of a run, from a plan to a run folder.

    1. hold the host, clear what a run that was killed left; see to the images of containers
    2. make the run folder: the plan, and a manifest that says `planned`
    3. for each planned trial, in order:
         a. deploy the generation; it is ready when a real message has passed through it
         b. put it under load and faults (trial.py); keep the trial's rows, whole or as far as they came
         c. where the figures are not the system's, say so and try again, three times at most
    4. say in the manifest how it ended

Whatever ends a run early, an interrupt, an error, a refused login, the trials before it stay whole and
the one it hit is kept as far as it was measured.
"""

import asyncio
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench import machine
from bench.analysis.verdict import Verdict
from bench.conductor.deploying import deploy, prepare, require_programs, versions
from bench.conductor.site import WORK, clear_containers, clear_leftovers, refuse_memory_disk
from bench.conductor.trial import Reached, Session, verdict_of
from bench.deployment.local.topology import POSITIONS
from bench.load.driver import ALONE, Crew
from bench.load.trial import Assignment
from bench.lock import host_lock
from bench.manifest import Ended, Kind, Manifest, Phase, Trial, TrialStatus
from bench.plan import Plan, PlannedTrial, client_kind
from bench.results import RunFolder
from bench.sweep import Sweep
from bench.watcher import Watcher

RETRIES = 3
"""How often a trial whose figures are not the system's is tried again."""


@dataclass(slots=True)
class _Attempt:
    """One try at a planned trial; `planned.trial` is its own number, `retry_of` the planned one's."""

    planned: PlannedTrial
    retry_of: int | None = None
    tries: int = 0


async def run(
    plan: Plan,
    results: Path,
    project: Path,
    watcher: Watcher,
    crew: Crew = ALONE,
    ceilings_per_s: Mapping[str, float] = MappingProxyType({}),
    sweep: Sweep | None = None,
) -> RunFolder:
    """Do all of it; the run folder, whose manifest says how it ended.

    With a `sweep`, whose plan it must be, each trial has the people and the history that are set for it.

    `crew` says which processes make the load; where some come from other hosts, the system under test
    listens at the address that they come to. `ceilings_per_s` are the generator's, by protocol, where it
    is calibrated; they are of one host, and not gone by where workers come from others. An interrupt
    (cancellation) ends it within seconds; the folder is then `interrupted`. Raises MachineError before
    anything was made, RunError after a trial broke (`failed`).
    """
    require_programs(plan)
    with host_lock():
        clear_leftovers(results)
        await clear_containers(watcher)
        refuse_memory_disk(results)
        await prepare(plan, results, watcher)
        folder = begin_folder(
            plan,
            results,
            project,
            {} if crew.join else ceilings_per_s,
            kind="run" if sweep is None else "recovery",
            text=None if sweep is None else sweep.to_json(),
        )
        unknown = sorted({client_kind(name) for name in plan.generations} - ceilings_per_s.keys())
        if unknown:
            watcher.note(
                f"not calibrated ({', '.join(unknown)}), so only its lag and CPU tell on the generator"
            )
        try:
            await _trials(plan, folder, watcher, crew, sweep)
        finally:
            clear_leftovers(results)
    return folder


async def keep_up(plan: Plan, results: Path, watcher: Watcher, announce: Any) -> None:
    """Start the plan's first generation, call `announce(deployment)`, and keep it up until cancelled."""
    require_programs(plan)
    with host_lock():
        clear_leftovers(results)
        await clear_containers(watcher)
        refuse_memory_disk(results)
        name = plan.generations[0]
        logs = results / WORK / f"up-{name}-logs"
        try:
            async with deploy(plan, name, results / WORK / f"up-{name}", logs, watcher) as deployment:
                announce(deployment)
                await asyncio.Event().wait()
        finally:
            clear_leftovers(results)


def begin_folder(
    plan: Plan,
    results: Path,
    project: Path,
    ceilings_per_s: Mapping[str, float] = MappingProxyType({}),
    *,
    kind: Kind = "run",
    text: str | None = None,
) -> RunFolder:
    """A new run folder with the plan, and a manifest that says `planned`.

    `text` is what plan.json holds where that is more than the plan.
    """
    folder = RunFolder.create(results, plan.name, datetime.now(UTC))
    text = plan.to_json() if text is None else text
    folder.write_plan(text)
    manifest = Manifest(
        run=folder.path.name,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        profile=plan.name,
        plan_digest=hashlib.sha256(text.encode()).hexdigest(),
        host=machine.host(),
        versions={**machine.versions(project), **versions(plan)},
        reached="no trial yet",
        ceilings_per_s=dict(ceilings_per_s),
        kind=kind,
    )
    folder.write_manifest(manifest)
    return folder


def close_folder(folder: RunFolder, how: Ended, reached: str, error: BaseException | None) -> None:
    """Say in the manifest how it ended."""
    manifest = folder.manifest()
    folder.write_manifest(
        replace(
            manifest,
            status="measured" if manifest.trials else "planned",
            ended=how,
            reached=reached,
            error=str(error) if isinstance(error, Exception) else None,
        )
    )


async def _trials(
    plan: Plan, folder: RunFolder, watcher: Watcher, crew: Crew, sweep: Sweep | None = None
) -> None:
    attempts = [_Attempt(planned) for planned in plan.trials]
    free = {name: _last_number(plan, name) + 1 for name in plan.generations}
    done = void = 0
    while attempts:
        attempt = attempts.pop(0)
        planned, reached = attempt.planned, Reached()
        watcher.trial(plan, planned, retry_of=attempt.retry_of)
        try:
            status, verdict = await _trial(plan, attempt, folder, reached, watcher, crew, sweep)
        except BaseException as error:
            how: Ended = "failed" if isinstance(error, Exception) else "interrupted"
            where = f"{planned.generation} trial {planned.trial}, {reached.step}"
            close_folder(folder, how, f"{done} of {len(plan.trials)} trials, then {where}", error)
            raise
        if verdict is None or not verdict.void:
            done += status == "complete"
            void += status == "void"  # a worker was lost, and with it part of the load
            continue
        again = attempt.tries < RETRIES and not verdict.lasting
        watcher.note(f"void, {verdict.word.replace('_', '-')}: {verdict.reason}{_what_now(attempt, verdict)}")
        if again:
            retry = replace(planned, trial=free[planned.generation])
            free[planned.generation] += 1
            retry_of = planned.trial if attempt.retry_of is None else attempt.retry_of
            attempts.insert(0, _Attempt(retry, retry_of, attempt.tries + 1))
        else:
            void += 1
    said = f"{done} of {len(plan.trials)} trials"
    close_folder(folder, "complete", f"{said}, {void} void" if void else said, None)


def _what_now(attempt: _Attempt, verdict: Verdict) -> str:
    if verdict.lasting:
        return "; it would be again, so it is not retried"
    if attempt.tries >= RETRIES:
        return f"; given up after {RETRIES} retries"
    return f"; trying again ({attempt.tries + 1} of {RETRIES} at most)"


def _last_number(plan: Plan, generation: str) -> int:
    return max(planned.trial for planned in plan.trials if planned.generation == generation)


async def _trial(
    plan: Plan,
    attempt: _Attempt,
    folder: RunFolder,
    reached: Reached,
    watcher: Watcher,
    crew: Crew,
    sweep: Sweep | None,
) -> tuple[TrialStatus, Verdict | None]:
    """Deploy, put under load, keep what it left; how it ended, with the verdict where no worker was lost."""
    planned = attempt.planned
    name = planned.generation
    plan_file = folder.path / "plan.json"
    messages = 0
    logs = folder.logs(name, planned.trial)
    work = folder.path.parent / WORK / f"{folder.path.name}-{name}-{planned.trial}"
    cores = machine.divide_cores()
    session: Session | None = None
    verdict: Verdict | None = None
    status: TrialStatus = "failed"
    details: Sequence[str] = ()
    try:
        reached.step = "starting"
        watcher.step("starting")
        if sweep is not None:
            setting = sweep.of(name, attempt.retry_of or planned.trial)
            plan, messages = sweep.plans[setting.clients], setting.messages
            plan_file = work.with_name(work.name + "-plan.json")
            plan_file.parent.mkdir(exist_ok=True)
            plan_file.write_text(plan.to_json())
            watcher.note(f"{setting.messages:,} messages of history, {setting.clients:,} people online")
        async with deploy(plan, name, work, logs, watcher, host=crew.host, messages=messages) as deployment:
            session = Session(
                plan=plan,
                plan_file=plan_file,
                assignment=Assignment(
                    generation=name,
                    client=client_kind(name),
                    trial=planned.trial,
                    seed=planned.seed,
                    run=zlib.crc32(folder.path.name.encode()),
                    endpoints=deployment.endpoints,
                ),
                scratch=work.with_name(work.name + "-load"),
                log=logs / "load.log",
                watcher=watcher,
                crew=crew,
                positions=work / POSITIONS if messages else None,
                # A trial that is tried again is struck as the planned one was.
                faults=plan.faults_of(name, attempt.retry_of or planned.trial),
                reached=reached,
            )
            await session.run(deployment)
            reached.step = "stopping"
            watcher.step("stopping")
        details = session.sayings
        if session.lost_workers:
            status = "void"
        else:
            ceiling_per_s = folder.manifest().ceilings_per_s.get(client_kind(name))
            verdict = verdict_of(plan, session.left(), ceiling_per_s=ceiling_per_s)
            status = "void" if verdict.void else "complete"
    except asyncio.CancelledError:
        status, details = "interrupted", [reached.step]
        raise
    except BaseException as error:
        details = [f"{reached.step}: {error}"]
        raise
    finally:
        left = session.left() if session is not None else None
        folder.add_trial(
            Trial(
                generation=name,
                trial=planned.trial,
                status=status,
                origin_ns=reached.origin_ns,
                phases=tuple(Phase(s.name, s.start_s, s.end_s) for s in plan.stages),
                detail="; ".join(details),
                sut_cores=tuple(sorted(cores.sut or ())),
                generator_cores=tuple(sorted(cores.generator or ())),
                verdict=verdict.word if verdict else None,
                verdict_reason=verdict.reason if verdict else "",
                retry_of=attempt.retry_of,
            ),
            timeline=left.measured.timeline if left else (),
            faults=left.faults if left else (),
            telemetry=left.telemetry if left else (),
            audit=left.measured.audit if left else (),
            touched=left.measured.touched if left else (),
            findings=left.measured.findings if left else (),
            hlog_text=left.measured.hlog_text if left else "",
        )
    return status, verdict

"""The life of a run, from a plan to a run folder.

    1. hold the host, clear what a run that was killed left
    2. make the run folder: the plan, and a manifest that says `planned`
    3. for each planned trial, in order:
         a. deploy the generation; it is ready when a real message has passed through it
         b. start the telemetry and the load process; wait until everybody is online
         c. fix the origin: the stages are offered while the nemesis strikes and heals
         d. drain, audit, leave; keep the trial's rows, whole or as far as they came
    4. say in the manifest how it ended

Whatever ends a run early, an interrupt, an error, a refused login, the trials before it stay whole and
the one it hit is kept as far as it was measured. This is the only module that holds several effects.
"""

import asyncio
import json
import shutil
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine, programs
from bench.deployment.local import lay_out
from bench.deployment.local.deployment import LocalDeployment
from bench.deployment.local.topology import Site
from bench.errors import MachineError, RunError
from bench.faults import Nemesis
from bench.generations import GENERATIONS
from bench.load.driver import LoadDriver, prove
from bench.load.population import contacts
from bench.load.trial import Assignment
from bench.lock import host_lock
from bench.manifest import Ended, Manifest, Phase, Trial, TrialStatus
from bench.plan import PROBES, Plan, PlannedTrial, client_kind
from bench.records import FaultRow, TelemetryRow
from bench.results import RunFolder
from bench.telemetry.sampler import Sampler
from bench.watcher import Watcher

WORK = ".work"
LEAD_S = 0.3
"""From the moment everybody is online to the origin."""


@dataclass(slots=True)
class _Reached:
    """How far a trial came, kept for whoever has to say it."""

    origin_ns: int = 0
    step: str = "before it began"


async def run(plan: Plan, results: Path, project: Path, watcher: Watcher) -> RunFolder:
    """Do all of it; the run folder, whose manifest says how it ended.

    An interrupt (cancellation) ends it within seconds; the folder is then `interrupted`. Raises
    MachineError before anything was made, RunError after a trial broke (`failed`).
    """
    _require_programs(plan)
    with host_lock():
        clear_leftovers(results)
        _refuse_memory_disk(results)
        folder = RunFolder.create(results, plan.name, datetime.now(UTC))
        folder.write_plan(plan.to_json())
        manifest = Manifest(
            run=folder.path.name,
            created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            profile=plan.name,
            plan_digest=plan.digest,
            host=machine.host(),
            versions=machine.versions(project),
            reached="no trial yet",
        )
        folder.write_manifest(manifest)
        done = 0
        try:
            for planned in plan.trials:
                watcher.trial(plan, planned)
                reached = _Reached()
                try:
                    await _trial(plan, planned, folder, reached, watcher)
                except BaseException as error:
                    how: Ended = "failed" if isinstance(error, Exception) else "interrupted"
                    where = f"{planned.generation} trial {planned.trial}, {reached.step}"
                    _close(folder, how, f"{done} of {len(plan.trials)} trials, then {where}", error)
                    raise
                done += 1
            _close(folder, "complete", f"{done} of {len(plan.trials)} trials", None)
        finally:
            clear_leftovers(results)
    return folder


async def keep_up(plan: Plan, results: Path, watcher: Watcher, announce: Any) -> None:
    """Start the plan's first generation, call `announce(deployment)`, and keep it up until cancelled."""
    _require_programs(plan)
    with host_lock():
        clear_leftovers(results)
        _refuse_memory_disk(results)
        name = plan.generations[0]
        logs = results / WORK / f"up-{name}-logs"
        try:
            async with _deploy(plan, name, results / WORK / f"up-{name}", logs, watcher) as deployment:
                announce(deployment)
                await asyncio.Event().wait()
        finally:
            clear_leftovers(results)


def clear_leftovers(results: Path) -> None:
    """Remove the data folders of runs that were killed; call with the host held."""
    shutil.rmtree(results / WORK, ignore_errors=True)


async def _trial(
    plan: Plan, planned: PlannedTrial, folder: RunFolder, reached: _Reached, watcher: Watcher
) -> None:
    name = planned.generation
    logs = folder.logs(name, planned.trial)
    work = folder.path.parent / WORK / f"{folder.path.name}-{name}-{planned.trial}"
    cores = machine.divide_cores()
    nemesis: Nemesis | None = None
    sampler: Sampler | None = None
    load: LoadDriver | None = None
    status: TrialStatus = "failed"
    detail = ""

    def step(text: str) -> None:
        reached.step = text
        watcher.step(text)

    def progress(report: Mapping[str, Any]) -> None:
        if "t_s" in report and "phase" in report:
            reached.step = f"{report['phase']} at {report['t_s']:.1f} s"
            watcher.load(
                report["t_s"],
                report["phase"],
                report["offered"],
                report["acknowledged"],
                report["in_flight"] + report["unknown"],
                report["online"],
            )

    try:
        step("starting")
        async with _deploy(plan, name, work, logs, watcher) as deployment:
            load = LoadDriver(
                folder.path / "plan.json",
                Assignment(
                    generation=name,
                    client=client_kind(name),
                    trial=planned.trial,
                    seed=planned.seed,
                    run=zlib.crc32(folder.path.name.encode()),
                    endpoints=deployment.endpoints,
                ),
                work.with_name(work.name + "-load"),
                logs / "load.log",
                cores=cores.generator,
                progress=progress,
            )
            sampler = Sampler(_watched(deployment, load))
            async with sampler, load:
                step(f"bringing {plan.clients:,} people online")
                await load.online(30 + 2 * plan.clients / plan.login_rate_per_s)
                reached.origin_ns = time.monotonic_ns() + round(LEAD_S * 1e9)
                await load.begin(reached.origin_ns)
                step("under load")
                nemesis = Nemesis(
                    deployment, plan.faults_of(name), planned.trial, reached.origin_ns, say=watcher.note
                )
                report = await _while_faults_strike(load, nemesis)
                if report["negative_deltas"]:
                    detail = f"{report['negative_deltas']} negative time differences were counted as 1 µs"
                    watcher.note(detail)
            step("stopping")
        status = "complete"
    except asyncio.CancelledError:
        status, detail = "interrupted", reached.step
        raise
    except BaseException as error:
        detail = f"{reached.step}: {error}"
        raise
    finally:
        measured = load.measured() if load is not None else None
        folder.add_trial(
            Trial(
                generation=name,
                trial=planned.trial,
                status=status,
                origin_ns=reached.origin_ns,
                phases=tuple(Phase(s.name, s.start_s, s.end_s) for s in plan.stages),
                detail=detail,
                sut_cores=tuple(sorted(cores.sut or ())),
                generator_cores=tuple(sorted(cores.generator or ())),
            ),
            timeline=measured.timeline if measured else (),
            faults=_fault_rows(nemesis),
            telemetry=_telemetry_rows(sampler, planned, reached),
            audit=measured.audit if measured else (),
            hlog_text=measured.hlog_text if measured else "",
        )


async def _while_faults_strike(load: LoadDriver, nemesis: Nemesis) -> Mapping[str, Any]:
    """Run both until the load is over, and heal; the load's closing report."""
    faults = asyncio.create_task(nemesis.run())
    try:
        report = await load.finished()
    finally:
        faults.cancel()
        (ended,) = await asyncio.gather(faults, return_exceptions=True)
    if isinstance(ended, Exception):  # what it cannot do it writes down: this is a defect
        raise RunError(f"the nemesis broke: {type(ended).__name__}: {ended}") from ended
    return report


def _deploy(plan: Plan, generation: str, work: Path, logs: Path, watcher: Watcher) -> LocalDeployment:
    """The generation laid out in `work`, with the plan's people; not started yet."""
    work.mkdir(parents=True)
    graph = contacts(plan.clients, plan.contacts, plan.seed)
    probes = range(plan.clients, plan.clients + PROBES)
    graph += [[other for other in probes if other != probe] for probe in probes]
    people_file = work / "contacts.json"
    people_file.write_text(json.dumps(graph))
    people = {"count": len(graph), "password": plan.password, "contacts_file": str(people_file)}
    site = Site(folder=work, people=people)

    async def pass_message(endpoints: Any) -> None:
        await prove(client_kind(generation), endpoints, len(graph), plan.password, logs / "probe.log")

    return LocalDeployment(
        lay_out(generation, site),
        site,
        logs,
        cores=machine.divide_cores().sut,
        prove=pass_message,
        say=watcher.step,
    )


def _watched(deployment: LocalDeployment, load: LoadDriver) -> Any:
    return lambda: {**deployment.nodes(), "generator": load.pid}


def _fault_rows(nemesis: Nemesis | None) -> list[FaultRow]:
    return nemesis.rows if nemesis is not None else []


def _telemetry_rows(sampler: Sampler | None, planned: PlannedTrial, reached: _Reached) -> list[TelemetryRow]:
    if sampler is None or not reached.origin_ns:
        return []
    return sampler.rows(planned.generation, planned.trial, reached.origin_ns)


def _close(folder: RunFolder, how: Ended, reached: str, error: BaseException | None) -> None:
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


def _require_programs(plan: Plan) -> None:
    """Refuse before anything is started, not in the middle of a run."""
    for generation in plan.generations:
        for program in GENERATIONS[generation].programs:
            programs.require(program)


def _refuse_memory_disk(results: Path) -> None:
    """Durability on a disk that is memory would be a lie, and a fast one."""
    results.mkdir(parents=True, exist_ok=True)
    kind = machine.file_system(results)
    if kind in machine.MEMORY_FILE_SYSTEMS:
        raise MachineError(
            f"{results} is in memory ({kind}), where fsync costs nothing and keeps nothing: "
            "name a folder on a disk with --results"
        )

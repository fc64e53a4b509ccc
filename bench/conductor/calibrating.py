"""Calibration: the generator against a target that does nothing, at one rate after another.

1. hold the host, deploy the target in the protocol's form
2. offer a rate for a few seconds in a load process of its own; say whether the generator held
3. climb, narrow, and keep the answer for the runs to come
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench import machine
from bench.analysis.metrics import cpu_seconds_between
from bench.calibration import (
    FIRST_RATE_PER_S,
    FOLDER,
    Calibration,
    Rung,
    load,
    save,
    seek,
    source_digest,
)
from bench.conductor.deploying import furnish, proved
from bench.conductor.site import WORK, clear_leftovers, clear_work, refuse_memory_disk
from bench.conductor.trial import Left, Session, signs_of
from bench.deployment.local import noop
from bench.generations import ClientKind
from bench.load.trial import Assignment
from bench.lock import host_lock
from bench.plan import Plan, PlannedTrial, client_kind
from bench.planning import make_plan
from bench.profile import Profile
from bench.watcher import Watcher

CLIENTS = 50
LOGINS_PER_S = 200
WARMUP_S = 1
OFFER_S = 3.0
GENERATION = "noop"
Tell = Callable[[ClientKind, Rung], None]


def versions(project: Path) -> Mapping[str, str]:
    """What a calibration holds for, besides the machine."""
    every = {name: text for name, text in machine.versions(project).items() if name in _THAT_MATTER}
    return {**every, "generator": source_digest(project)}


_THAT_MATTER = frozenset({"python", "locust", "numpy", "hdrhistogram"})


def known(results: Path, project: Path, client: ClientKind) -> Calibration | None:
    """The calibration that holds for this machine as it is now, if there is one."""
    return load(results, client, machine.host().fingerprint, versions(project))


def ceilings(plan: Plan, results: Path, project: Path) -> Mapping[str, float]:
    """The calibrated ceilings per second, by protocol, of those that the plan's generations speak."""
    kinds = dict.fromkeys(client_kind(name) for name in plan.generations)
    found = {kind: known(results, project, kind) for kind in kinds}
    return {kind: one.ceiling_per_s for kind, one in found.items() if one is not None}


async def calibrate(
    client: ClientKind,
    results: Path,
    project: Path,
    watcher: Watcher,
    tell: Tell,
    *,
    offer_s: float = OFFER_S,
    first_per_s: float = FIRST_RATE_PER_S,
) -> Calibration:
    """Find the generator's ceiling in one protocol, and keep it; `tell` hears of each rate tried."""
    with host_lock():
        clear_leftovers(results, watcher.note)
        refuse_memory_disk(results)
        work = results / WORK / f"calibrate-{client}"
        logs = results / FOLDER / f"logs-{client}"
        try:
            plan = _plan(1.0, offer_s)
            site = furnish(plan, work)
            people = int(site.people["count"])
            topology = noop.topology(site, client)
            async with proved(topology, site, client, people, plan, logs, watcher) as deployment:
                tried = 0

                async def measure(rate_per_s: float) -> Rung:
                    nonlocal tried
                    tried += 1
                    watcher.step(f"offering {rate_per_s:,.0f}/s")
                    plan = _plan(rate_per_s, offer_s)
                    session = Session(
                        plan=plan,
                        plan_file=work / f"plan-{tried}.json",
                        assignment=Assignment(GENERATION, client, tried, tried, tried, deployment.endpoints),
                        scratch=work.with_name(f"{work.name}-load-{tried}"),
                        log=logs / "load.log",
                        watcher=watcher,
                    )
                    session.plan_file.write_text(plan.to_json())
                    await session.run(deployment)
                    rung = rung_of(plan, session.left())
                    tell(client, rung)
                    return rung

                held, failed = await seek(measure, first_per_s=first_per_s)
        finally:
            clear_work(results)
    calibration = Calibration(
        client=client,
        host=machine.host().fingerprint,
        versions=versions(project),
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        ceiling_per_s=held.rate_per_s if held else 0.0,
        failed_per_s=failed.rate_per_s if failed else None,
        held=held,
        failed=failed,
    )
    save(results, calibration)
    return calibration


def rung_of(plan: Plan, left: Left) -> Rung:
    """How the generator fared at the plan's last stage."""
    stage = plan.stages[-1]
    (signs,) = signs_of(plan, left)
    rows = [row for row in left.measured.timeline if (row.phase, row.operation) == (stage.name, "send")]
    offered = sum(row.offered for row in rows)
    on_time = sum(row.on_time for row in rows)
    readings = [
        (row.t_s, row.value)
        for row in left.telemetry
        if (row.subject, row.metric) == (GENERATION, "cpu_seconds")
    ]
    times_s, used_s = zip(*readings, strict=True) if readings else ((), ())
    target_s = cpu_seconds_between(times_s, used_s, stage.start_s, stage.end_s)
    return Rung.judged(
        rate_per_s=stage.rate_per_s,
        achieved_ratio=on_time / offered if offered else 0.0,
        lag_p99_ms=signs.lag_p99_ms,
        generator_cpu_ratio=signs.generator_cpu_ratio,
        target_cpu_ratio=target_s / (stage.end_s - stage.start_s) if readings else None,
        foreign_cpu_ratio=signs.foreign_cpu_ratio,
    )


def _plan(rate_per_s: float, offer_s: float) -> Plan:
    rate = f"{rate_per_s:f}/s"
    profile = Profile.model_validate(
        {
            "name": "calibrate",
            "generations": ["monolith"],
            "population": {"clients": CLIENTS, "login_rate": f"{LOGINS_PER_S}/s"},
            "load": {
                "timeout": "2s",
                "stages": [
                    {"name": "warmup", "kind": "warmup", "duration": f"{WARMUP_S}s", "rate": rate},
                    {"name": "steady", "kind": "steady", "duration": f"{offer_s}s", "rate": rate},
                ],
            },
            "slo": {"response": "1s", "share": "99%"},
            "drain": {"quiet": "100ms", "limit": "5s"},
        }
    )
    # The target is no generation that a profile can name.
    return replace(make_plan(profile), generations=(GENERATION,), trials=(PlannedTrial(GENERATION, 1, 1),))

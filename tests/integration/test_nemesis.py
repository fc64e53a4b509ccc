"""Every fault that this host's deployment can do, under load, on a generation that really runs."""

import asyncio
import json
import time
import zlib
from collections import defaultdict
from pathlib import Path

import pytest

from bench.conductor.deploying import furnish
from bench.conductor.trial import while_faults_strike
from bench.deployment.local import lay_out
from bench.deployment.local.deployment import LocalDeployment
from bench.faults import Nemesis
from bench.load.driver import Crew, LoadDriver
from bench.load.trial import Assignment
from bench.plan import Plan
from bench.planning import make_plan
from bench.profile import Profile, contradictions
from bench.records import AuditRow, FaultRow

CLIENTS = 12


def plan() -> Plan:
    profile = Profile.model_validate(
        {
            "name": "nemesis",
            "generations": ["monolith"],
            "population": {"clients": CLIENTS, "login_rate": "50/s", "contacts": 5},
            "load": {"stages": [{"name": "steady", "kind": "steady", "duration": "8s", "rate": "100/s"}]},
            "faults": [
                {"kind": "none", "at": "300ms"},
                {"kind": "reconnect", "at": "600ms"},
                {"kind": "stop", "target": "core", "at": "1s", "restart_after": "500ms"},
                {"kind": "pause", "target": "random", "at": "2500ms", "duration": "700ms", "within": "300ms"},
                {"kind": "restart", "all": "core", "at": "4s"},
                {"kind": "kill", "target": "server", "at": "6s", "restart_after": "200ms"},
                {"kind": "reconnect", "at": "7500ms"},
            ],
            "drain": {"quiet": "1s", "limit": "30s"},
        }
    )
    assert contradictions(profile) == []
    return make_plan(profile)


async def struck(folder: Path, crew: Crew) -> tuple[list[FaultRow], AuditRow, list[str]]:
    """What the nemesis wrote of one trial, the audit of all of it, and what the server's log says it did."""
    the_plan, logs = plan(), folder / "logs"
    plan_file = folder / "plan.json"
    plan_file.write_text(the_plan.to_json())
    site = furnish(the_plan, folder / "site")
    async with LocalDeployment(lay_out("monolith", site), site, logs) as deployment:
        assignment = Assignment(
            "monolith", "xmpp", 1, 7, zlib.crc32(str(folder).encode()), deployment.endpoints
        )
        load = LoadDriver(
            plan_file, assignment, folder / "out", logs / "load.log", cores=None, progress=lambda _: None,
            crew=crew,
        )  # fmt: skip
        async with load:
            await load.online(60)
            origin_ns = time.monotonic_ns() + 200_000_000
            await load.begin(origin_ns)
            nemesis = Nemesis(
                deployment,
                the_plan.faults_of("monolith", 1),
                1,
                origin_ns,
                drop_connections=load.drop_connections,
            )
            await while_faults_strike(load, nemesis)
    log = (logs / "server.log").read_text().splitlines()
    events = [json.loads(line)["event"] for line in log if line.startswith("{")]
    return nemesis.rows, load.measured().audit[-1], events


@pytest.mark.parametrize("crew", [Crew(), Crew(workers=2)], ids=["alone", "two workers"])
def test_every_local_kind_strikes_heals_and_loses_no_acknowledged_message(tmp_path: Path, crew: Crew) -> None:
    rows, audit, events = asyncio.run(struck(tmp_path, crew))
    steps = defaultdict(list)
    for row in rows:
        assert row.completed_s is not None, row
        assert row.planned_s <= row.invoked_s <= row.completed_s
        steps[row.fault, row.kind].append((row.step, row.node))
    twice = [("inject", "server"), ("heal", "server")]
    assert steps == {
        (1, "none"): [("inject", "")],
        (2, "reconnect"): [("inject", "")],
        (3, "stop"): twice,
        (4, "pause"): twice,
        (5, "restart"): twice,
        (6, "kill"): twice,
        (7, "reconnect"): [("inject", "")],
    }
    assert rows[1].detail == f"{CLIENTS} connections dropped"
    # How often depends on how far a start has come, on a busy machine, when the next fault strikes.
    assert {"started", "stopped", "replayed"} <= set(events)
    assert (audit.phase, audit.lost, audit.verdict) == ("all", 0, "complete"), audit

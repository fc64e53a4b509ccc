"""Targets that lose, double, swap and corrupt messages by a script: the audit finds each, by name."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.deployment.local import monolith
from bench.deployment.local.deployment import LocalDeployment
from bench.deployment.local.noop import topology
from bench.deployment.local.topology import Site, Topology
from bench.generations import ClientKind
from bench.load.driver import ALONE, Crew, LoadDriver
from bench.plan import Plan
from bench.planning import make_plan
from bench.profile import Profile
from tests.integration.loading import Heard, offer

Start = Callable[[Callable[[Site], Topology]], Any]
CLIENTS, RATE_PER_S, LOAD_S, TIMEOUT_S = 8, 200, 2.0, 1.0
PEOPLE = {"count": CLIENTS, "password": "open sesame"}
KINDS: tuple[ClientKind, ...] = ("xmpp", "http", "websocket")
TWO = Crew(workers=2)
SCRIPT = {"lose": [40, 170], "double": [60], "swap": [80], "corrupt": [100]}


def plan(load_s: float = LOAD_S) -> Plan:
    stage = {"name": "steady", "kind": "steady", "duration": f"{load_s}s", "rate": f"{RATE_PER_S}/s"}
    made = make_plan(
        Profile.model_validate(
            {
                "name": "scripted",
                "population": {"clients": CLIENTS, "login_rate": "100/s", "contacts": 2},
                "load": {"stages": [stage], "timeout": f"{TIMEOUT_S}s"},
                "drain": {"quiet": "1s", "limit": "20s"},
            }
        )
    )
    return replace(made, password="open sesame")


def injected(logs: Path) -> list[tuple[str, str]]:
    """What the target says that it did, as (kind, message id); what it still held is lost."""
    lines = [
        json.loads(line) for line in (logs / "noop.log").read_text().splitlines() if line.startswith("{")
    ]
    done = [
        (line["kind"], name) for line in lines if line["event"] == "injected" for name in line["messages"]
    ]
    released = {name for kind, name in done if kind == "reordered"}
    held = [name for line in lines if line["event"] == "held" for name in line["messages"]]
    return sorted([*done, *(("lost", name) for name in held if name not in released)])


def found(heard: Heard) -> list[tuple[str, str]]:
    assert heard.measured is not None
    return sorted((row.finding, row.message_id) for row in heard.measured.findings)


@pytest.mark.parametrize("kind", KINDS)
def test_each_misdeed_is_found_and_named_and_nothing_else(
    start: Start, tmp_path: Path, kind: ClientKind
) -> None:
    running = start(partial(topology, client=kind, script=SCRIPT))
    heard = asyncio.run(offer(plan(), running.endpoints, tmp_path / "load", TWO, client=kind))
    assert heard.measured is not None
    truth = injected(running.logs)
    assert [name for name, _ in truth] == ["corrupt", "duplicated", "lost", "lost", "reordered"]
    assert found(heard) == truth
    whole = heard.measured.audit[-1]
    assert (whole.lost, whole.duplicated, whole.duplicated_by_server, whole.reordered, whole.corrupt) == (
        2,
        1,
        1,
        1,
        1,
    )
    assert (whole.verdict, whole.drained, whole.quiet_by) == ("violated", True, "profile")
    assert all(message in whole.detail for _, message in truth)
    assert {row.phase for row in heard.measured.findings} == {"steady"}


@pytest.mark.parametrize(("kind", "crew"), [("xmpp", TWO), ("http", ALONE), ("websocket", TWO)])
def test_each_misdeed_is_found_across_a_kill_and_all_else_is_what_the_kill_cost(
    tmp_path: Path, kind: ClientKind, crew: Crew
) -> None:
    logs = tmp_path / "logs"
    heard, killed_s = asyncio.run(_through_a_kill(tmp_path, logs, kind, crew))
    assert heard.measured is not None
    truth = injected(logs)
    assert [name for name, _ in truth].count("lost") >= 3, "it did not get far enough in its second life"
    assert not Counter(truth) - Counter(found(heard))
    beyond = [row for row in heard.measured.findings if (row.finding, row.message_id) not in truth]
    assert {row.finding for row in beyond} <= {"lost", "duplicated", "reordered"}
    early = [row for row in beyond if row.intended_s is None or row.intended_s < killed_s - TIMEOUT_S]
    assert early == [], (killed_s, truth)
    assert all("sent again by its client" in row.detail for row in beyond if row.finding == "duplicated")
    whole = heard.measured.audit[-1]
    assert (whole.drained, whole.verdict) == (True, "violated")


async def _through_a_kill(folder: Path, logs: Path, kind: ClientKind, crew: Crew) -> tuple[Heard, float]:
    """The load through a kill of the target and its restart; when it was killed, on the trial's clock."""
    site = Site(folder=folder / "site", people=PEOPLE)
    killed_ns: list[int] = []
    async with LocalDeployment(topology(site, kind, SCRIPT), site, logs) as deployment:

        async def strike(load: LoadDriver, heard: Heard) -> None:
            while not any(report.get("t_s", 0.0) >= 1.0 for report in heard.reports):
                await asyncio.sleep(0.01)
            killed_ns.append(time.monotonic_ns())
            await deployment.kill("noop")
            await deployment.restart("noop")

        heard = await offer(
            plan(4.0), deployment.endpoints, folder / "load", crew, client=kind, during=strike
        )
    return heard, (killed_ns[0] - heard.origin_ns) / 1e9


def test_who_is_offline_after_the_load_is_logged_in_to_collect_before_the_verdict(tmp_path: Path) -> None:
    heard = asyncio.run(_down_at_the_end(tmp_path))
    assert heard.measured is not None
    whole = heard.measured.audit[-1]
    assert (whole.drained, whole.verdict, whole.lost) == (True, "complete", 0), whole.detail
    assert whole.collected == CLIENTS
    assert whole.duplicated_by_server is not None
    assert whole.duplicated == (whole.duplicated_by_resend or 0) + whole.duplicated_by_server


async def _down_at_the_end(folder: Path) -> Heard:
    """A monolith that dies in the last second of the load, and comes back a second after its end."""
    site = Site(folder=folder / "site", people=PEOPLE)
    async with LocalDeployment(monolith.topology(site), site, folder / "logs") as deployment:

        async def strike(load: LoadDriver, heard: Heard) -> None:
            while not any(report.get("t_s", 0.0) >= 1.0 for report in heard.reports):
                await asyncio.sleep(0.01)
            await deployment.kill("server")
            while time.monotonic_ns() < heard.origin_ns + (LOAD_S + 1.0) * 1e9:
                await asyncio.sleep(0.01)
            await deployment.restart("server")

        return await offer(plan(), deployment.endpoints, folder / "load", TWO, during=strike)

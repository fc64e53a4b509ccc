"""A whole plan, people, groups and all operations, against the calibration target: one process and two."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.deployment.local.deployment import LocalDeployment
from bench.deployment.local.noop import topology
from bench.deployment.local.topology import Site
from bench.load.driver import ALONE, Crew
from bench.load.population import populate
from bench.plan import Plan
from bench.planning import make_plan
from bench.profile import Profile
from bench.records import Endpoint
from tests.integration.loading import Heard, offer

CLIENTS = 30
# No logins: the target keeps nothing for people who are away.
MIX = {"send": "50%", "group_send": "30%", "sync": "10%", "presence": "10%"}


def plan(**load: Any) -> Plan:
    made = make_plan(
        Profile.model_validate(
            {
                "name": "mix",
                "population": {"clients": CLIENTS, "login_rate": "100/s", "contacts": 6, "groups": 2},
                "load": {"mix": MIX, "timeout": "5s", **load},
                "drain": {"quiet": "1s", "limit": "20s"},
            }
        )
    )
    return replace(made, password="open sesame")


@pytest.fixture
def endpoints(tmp_path: Path) -> Iterator[tuple[Endpoint, ...]]:
    """Where the target listens, with the plan's people and groups in it."""
    population = populate(plan(stages=[{"name": "x", "kind": "steady", "duration": "1s", "rate": "1/s"}]))
    files = {"contacts": list(population.contacts), "groups": population.groups}
    people: dict[str, Any] = {"count": CLIENTS, "password": "open sesame"}
    for name, content in files.items():
        people[f"{name}_file"] = str(tmp_path / f"{name}.json")
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    site = Site(folder=tmp_path / "site", people=people)
    with asyncio.Runner() as runner:
        deployment = LocalDeployment(topology(site, "xmpp"), site, tmp_path / "logs")
        runner.run(deployment.__aenter__())
        try:
            yield tuple(deployment.endpoints)
        finally:
            runner.run(deployment.__aexit__(None, None, None))


def asked(heard: Heard) -> Counter[str]:
    """How often each operation was asked for while the stage lasted."""
    assert heard.measured is not None
    counted = Counter[str]()
    for row in heard.measured.timeline:
        if row.phase == "steady":
            counted[row.operation] += row.offered
            assert row.offered == row.ok, row
    return counted


@pytest.mark.parametrize("crew", [ALONE, Crew(workers=2)], ids=["alone", "two workers"])
def test_every_operation_of_a_mix_is_asked_for_and_every_message_reaches_all_it_is_for(
    endpoints: tuple[Endpoint, ...], tmp_path: Path, crew: Crew
) -> None:
    burst = {"burst": {"plateau": "100/s", "peak": "400/s", "at": "1s", "tau": "500ms"}}
    the_plan = plan(stages=[{"name": "steady", "kind": "steady", "duration": "4s", "shape": burst}])
    heard = asyncio.run(offer(the_plan, endpoints, tmp_path / "load", crew))
    assert heard.measured is not None
    whole = heard.measured.audit[-1]
    assert (whole.verdict, whole.drained) == ("complete", True), whole
    counted = asked(heard)
    assert whole.attempted == whole.delivered == counted["send"] + counted["group_send"]
    total, expected = sum(counted.values()), the_plan.stages[0].arrivals
    assert total == pytest.approx(expected, abs=6 * expected**0.5)
    for name, ratio in the_plan.mix.items():
        assert counted[name] == pytest.approx(ratio * total, abs=6 * (ratio * total) ** 0.5), name


def test_in_a_closed_loop_each_person_waits_for_the_answer(
    endpoints: tuple[Endpoint, ...], tmp_path: Path
) -> None:
    stages = [{"name": "steady", "kind": "steady", "duration": "3s"}]
    the_plan = plan(stages=stages, loop="closed", think_time="200ms")
    heard = asyncio.run(offer(the_plan, endpoints, tmp_path / "load", Crew(workers=2)))
    assert heard.measured is not None
    whole = heard.measured.audit[-1]
    assert (whole.verdict, whole.drained) == ("complete", True), whole
    # Somebody asks at most once in 200 ms in the mean: 450 in 3 s; a busy machine makes it fewer.
    assert 45 < sum(asked(heard).values()) < 450 + 6 * 450**0.5

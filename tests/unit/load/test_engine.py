"""A whole plan through an engine, against a scripted system: the people, the mix, the kind of loop."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import gevent
import pytest

from bench.load.drain import Drained
from bench.load.engine import Engine, Seat
from bench.load.population import populate
from bench.load.settled import SettledBin
from bench.plan import Plan
from bench.records import AuditRow, Endpoint
from tests.unit.load.plans import MIXED, plan_of
from tests.unit.load.scripted import ScriptedServer


@pytest.fixture(autouse=True)
def _watchdog() -> Iterator[None]:
    with gevent.Timeout(60):
        yield


def offered(plan: Plan, delay_s: float) -> tuple[AuditRow, Counter[str], list[SettledBin]]:
    """The audit of all, how often each operation was asked, the bins."""
    population = populate(plan)
    server = ScriptedServer(lambda request: delay_s, [list(group) for group in population.groups])
    bins: list[SettledBin] = []
    engine = Engine(
        plan,
        population,
        Seat(run=1, seed=3),
        server.connect,
        (Endpoint("here", 1),),
        lambda given, until: bins.extend(given),
    )
    people = [gevent.spawn(engine.crowd.live) for _ in range(plan.clients)]
    while not engine.all_online:
        gevent.sleep(0.001)
    engine.offer(time.monotonic_ns())
    while engine.missing():
        gevent.sleep(0.01)
    gevent.sleep(4 * delay_s)
    engine.finish()
    gevent.joinall(people, raise_error=True)
    asked = Counter[str]()
    for one in bins:
        asked[one.operation] += one.counts.offered
    asked["login"] -= plan.clients  # everybody's first is of no plan
    return engine.audit("x", 1, Drained(True)).rows[-1], asked, bins


def short(plan: Plan, load_s: float) -> Plan:
    (stage,) = plan.stages
    rate_per_s = stage.rate_per_s
    stage = replace(stage, end_s=load_s, knots=((0.0, rate_per_s), (load_s, rate_per_s)))
    return replace(plan, stages=(stage,))


def test_a_mix_is_asked_for_as_planned_and_every_message_reaches_all_it_is_for() -> None:
    stage = {"name": "steady", "kind": "steady", "duration": "10s", "rate": "400/s"}
    plan = short(plan_of(20, mix=MIXED, stages=[stage]), 2)
    row, asked, _ = offered(plan, 0.001)
    assert row.verdict == "complete", row
    assert row.attempted == row.delivered == asked["send"] + asked["group_send"]
    total = sum(asked.values())
    assert total == pytest.approx(800, abs=6 * 800**0.5)
    assert asked["send"] / total == pytest.approx(0.6, abs=0.11)
    assert asked["group_send"] / total == pytest.approx(0.3, abs=0.1)
    assert all(asked[name] > 0 for name in ("sync", "presence"))


def test_in_a_closed_loop_people_ask_as_fast_as_they_think_and_are_answered() -> None:
    stages = [{"name": "steady", "kind": "steady", "duration": "10s"}]
    plan = short(plan_of(20, mix=MIXED, stages=stages, loop="closed", think_time="60ms"), 3)
    row, asked, _ = offered(plan, 0.04)
    assert row.verdict == "complete", row
    # Each asks once in 100 ms in the mean: 600 in 3 s. A machine that is late can only make it fewer.
    assert 200 < sum(asked.values()) < 750
    assert asked["group_send"] > 0


def test_in_a_closed_loop_a_slow_system_is_asked_less() -> None:
    stages = [{"name": "steady", "kind": "steady", "duration": "10s"}]
    plan = short(plan_of(20, stages=stages, loop="closed", think_time="10ms"), 2)
    asked = {delay_s: sum(offered(plan, delay_s)[1].values()) for delay_s in (0.01, 0.4)}
    assert asked[0.4] <= 20 * 5  # one in 410 ms each
    assert asked[0.01] > 2 * asked[0.4]

import asyncio
import time

import pytest

from bench.errors import DeploymentError
from bench.faults import Nemesis
from bench.plan import PlannedFault


class Victims:
    """A deployment that writes down what is done to it; `stubborn` nodes refuse."""

    endpoints = ()

    def __init__(self, stubborn: frozenset[str] = frozenset()) -> None:
        self.done: list[tuple[str, str]] = []
        self._stubborn = stubborn

    def nodes(self) -> dict[str, int | None]:
        return {}

    async def kill(self, node: str) -> None:
        self._note("kill", node)

    async def restart(self, node: str) -> None:
        self._note("restart", node)

    async def pause(self, node: str) -> None:
        self._note("pause", node)

    async def resume(self, node: str) -> None:
        self._note("resume", node)

    def _note(self, what: str, node: str) -> None:
        if node in self._stubborn:
            raise DeploymentError(f"{node} is not running")
        self.done.append((what, node))


def fault(number: int, kind: str, node: str, inject_s: float, heal_s: float | None) -> PlannedFault:
    return PlannedFault("x", 1, number, kind, (node,), inject_s, heal_s)  # type: ignore[arg-type]


def nemesis(victims: Victims, *faults: PlannedFault) -> Nemesis:
    return Nemesis(victims, faults, 1, time.monotonic_ns())


async def test_faults_strike_and_heal_in_the_order_of_their_times() -> None:
    victims = Victims()
    it = nemesis(victims, fault(1, "kill", "a", 0.02, 0.06), fault(2, "pause", "b", 0.04, 0.08))
    await it.run()
    assert victims.done == [("kill", "a"), ("pause", "b"), ("restart", "a"), ("resume", "b")]
    assert [(row.fault, row.step) for row in it.rows] == [
        (1, "inject"),
        (2, "inject"),
        (1, "heal"),
        (2, "heal"),
    ]
    for row in it.rows:
        assert row.completed_s is not None
        assert row.planned_s <= row.invoked_s <= row.completed_s


async def test_a_fault_that_heals_by_itself_gets_no_heal() -> None:
    victims = Victims()
    it = nemesis(victims, fault(1, "kill", "a", 0.0, None))
    await it.run()
    assert victims.done == [("kill", "a")]
    assert [row.step for row in it.rows] == ["inject"]


async def test_cancelling_heals_at_once_what_still_ails() -> None:
    victims = Victims()
    it = nemesis(victims, fault(1, "pause", "a", 0.0, 600.0), fault(2, "kill", "b", 0.0, 600.0))
    task = asyncio.create_task(it.run())
    while len(victims.done) < 2:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert victims.done[2:] == [("resume", "a"), ("restart", "b")]
    assert [row.step for row in it.rows] == ["inject", "inject", "heal", "heal"]


async def test_a_step_that_fails_is_written_down_and_the_others_still_happen() -> None:
    victims = Victims(frozenset({"a"}))
    it = nemesis(victims, fault(1, "kill", "a", 0.0, 0.02), fault(2, "kill", "b", 0.01, 0.03))
    await it.run()
    assert victims.done == [("kill", "b"), ("restart", "b")]
    failed = [row for row in it.rows if row.completed_s is None]
    assert [(row.fault, row.step, row.detail) for row in failed] == [
        (1, "inject", "a is not running"),
        (1, "heal", "a is not running"),
    ]


async def test_a_deployment_without_the_capability_is_said_to_lack_it() -> None:
    class Plain:
        endpoints = ()

        def nodes(self) -> dict[str, int | None]:
            return {}

    it = Nemesis(Plain(), [fault(1, "kill", "a", 0.0, None)], 1, time.monotonic_ns())
    await it.run()
    assert it.rows[0].completed_s is None
    assert it.rows[0].detail == "this deployment cannot kill a node"

import asyncio
import time

import pytest

from bench.errors import DeploymentError
from bench.faults import Nemesis
from bench.plan import PlannedFault
from bench.records import Link


class Victims:
    """A deployment that can do everything, and writes down what is done to it; `stubborn` nodes refuse."""

    endpoints = ()

    def __init__(self, stubborn: frozenset[str] = frozenset()) -> None:
        self.done: list[tuple[str, str]] = []
        self.stopping = asyncio.Event()
        self.stopping.set()
        self._stubborn = stubborn

    def nodes(self) -> dict[str, int | None]:
        return {}

    async def kill(self, node: str) -> None:
        self._note("kill", node)

    async def restart(self, node: str) -> None:
        self._note("restart", node)

    async def stop(self, node: str) -> None:
        self._note("stop", node)
        await self.stopping.wait()

    async def pause(self, node: str) -> None:
        self._note("pause", node)

    async def resume(self, node: str) -> None:
        self._note("resume", node)

    async def cut_off(self, node: str) -> None:
        self._note("cut off", node)

    async def join_again(self, node: str) -> None:
        self._note("join again", node)

    async def slow_down(self, node: str, link: Link) -> None:
        self._note(f"slow down by {link.latency_s:g} s", node)

    async def full_speed(self, node: str) -> None:
        self._note("full speed", node)

    async def fill_disk(self, node: str) -> None:
        self._note("fill disk", node)

    async def free_disk(self, node: str) -> None:
        self._note("free disk", node)

    async def jump_clock(self, node: str, seconds: float) -> None:
        self._note(f"jump clock by {seconds:g} s", node)

    async def set_clock_right(self, node: str) -> None:
        self._note("set clock right", node)

    def _note(self, what: str, node: str) -> None:
        if node in self._stubborn:
            raise DeploymentError(f"{node} is not running")
        self.done.append((what, node))


def fault(
    number: int,
    kind: str,
    nodes: str,
    inject_s: float,
    heal_s: float | None,
    *,
    link: Link | None = None,
    jump_s: float | None = None,
) -> PlannedFault:
    names = tuple(nodes.split())
    return PlannedFault("x", 1, number, kind, names, inject_s, heal_s, link=link, jump_s=jump_s)  # type: ignore[arg-type]


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
    assert sorted(victims.done[2:]) == [("restart", "b"), ("resume", "a")]  # at once: in any order
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
    assert it.rows[0].detail == "this deployment cannot do a kill"


@pytest.mark.parametrize(
    ("planned", "done"),
    [
        (fault(1, "stop", "a", 0.0, 0.01), ["stop", "restart"]),
        (fault(1, "restart", "a", 0.0, 0.0), ["stop", "restart"]),
        (fault(1, "partition", "a", 0.0, 0.01), ["cut off", "join again"]),
        (fault(1, "slow", "a", 0.0, 0.01, link=Link(0.2)), ["slow down by 0.2 s", "full speed"]),
        (fault(1, "full_disk", "a", 0.0, 0.01), ["fill disk", "free disk"]),
        (fault(1, "clock_jump", "a", 0.0, 0.01, jump_s=-30), ["jump clock by -30 s", "set clock right"]),
    ],
    ids=lambda value: value.kind if isinstance(value, PlannedFault) else "",
)
async def test_every_kind_is_done_and_undone(planned: PlannedFault, done: list[str]) -> None:
    victims = Victims()
    it = nemesis(victims, planned)
    await it.run()
    assert victims.done == [(what, "a") for what in done]
    assert [(row.kind, row.step, row.detail) for row in it.rows] == [
        (planned.kind, "inject", ""),
        (planned.kind, "heal", ""),
    ]


async def test_the_control_is_written_down_and_touches_nothing() -> None:
    victims = Victims()
    it = nemesis(victims, fault(1, "none", "", 0.01, None))
    await it.run()
    (row,) = it.rows
    assert victims.done == []
    assert (row.kind, row.node, row.step, row.detail) == ("none", "", "inject", "")
    assert row.completed_s is not None
    assert row.completed_s >= 0.01


async def test_several_nodes_are_one_fault_and_all_are_struck_though_one_refuses() -> None:
    victims = Victims(frozenset({"b"}))
    it = nemesis(victims, fault(1, "kill", "a b c", 0.0, 0.01))
    await it.run()
    assert victims.done == [("kill", "a"), ("kill", "c"), ("restart", "a"), ("restart", "c")]
    assert [(row.node, row.completed_s, row.detail) for row in it.rows] == 2 * [
        ("a+b+c", None, "b is not running")
    ]


async def test_one_that_takes_long_to_strike_keeps_no_other_waiting() -> None:
    victims = Victims()
    victims.stopping.clear()
    it = nemesis(victims, fault(1, "stop", "a", 0.0, 0.0), fault(2, "pause", "b", 0.01, 0.02))
    task = asyncio.create_task(it.run())
    while ("resume", "b") not in victims.done:
        await asyncio.sleep(0.001)
    assert victims.done == [("stop", "a"), ("pause", "b"), ("resume", "b")]
    victims.stopping.set()
    await task
    assert victims.done[-1] == ("restart", "a")


async def test_a_strike_that_is_cut_short_is_written_down_and_healed() -> None:
    victims = Victims()
    victims.stopping.clear()
    it = nemesis(victims, fault(1, "stop", "a", 0.0, 600.0))
    task = asyncio.create_task(it.run())
    while not victims.done:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert victims.done == [("stop", "a"), ("restart", "a")]
    assert [(row.step, row.completed_s is None, row.detail) for row in it.rows] == [
        ("inject", True, "cut short"),
        ("heal", False, ""),
    ]


async def test_everybodys_connections_are_dropped_by_who_makes_them() -> None:
    async def drop() -> int:
        return 60

    planned = fault(1, "reconnect", "", 0.0, None)
    it = Nemesis(Victims(), [planned], 1, time.monotonic_ns(), drop_connections=drop)
    await it.run()
    assert [(row.kind, row.node, row.detail) for row in it.rows] == [
        ("reconnect", "", "60 connections dropped")
    ]
    alone = nemesis(Victims(), planned)
    await alone.run()
    assert alone.rows[0].completed_s is None
    assert alone.rows[0].detail == "nobody here makes connections that could be dropped"


async def test_each_step_is_told_in_words() -> None:
    told: list[str] = []
    faults = [
        fault(1, "kill", "a b", 0.0, 0.01),
        fault(2, "full_disk", "c", 0.02, 0.03),
        fault(3, "none", "", 0.04, None),
    ]
    await Nemesis(Victims(frozenset({"c"})), faults, 1, time.monotonic_ns(), say=told.append).run()
    assert told == [
        "kill a, b",
        "start a, b again",
        "full disk c",
        "full disk c failed: c is not running",
        "free the disk of c",
        "free the disk of c failed: c is not running",
        "control: nothing is done",
    ]


async def test_a_defect_in_one_fault_still_heals_the_others() -> None:
    class Broken(Victims):
        async def kill(self, node: str) -> None:
            raise ValueError("no such thing")

    victims = Broken()
    it = nemesis(victims, fault(1, "pause", "a", 0.0, 600.0), fault(2, "kill", "b", 0.01, 600.0))
    with pytest.raises(ExceptionGroup) as caught:
        await it.run()
    assert [str(error) for error in caught.value.exceptions] == ["no such thing"]
    assert victims.done == [("pause", "a"), ("restart", "b"), ("resume", "a")]

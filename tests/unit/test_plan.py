import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan import Plan
from bench.planning import make_plan
from bench.profile import Profile, contradictions, load_profile
from bench.records import Link
from bench.report.plan import offered_curve


def profile(**changes: object) -> Profile:
    base: dict[str, object] = {
        "name": "p",
        "population": {"clients": 10},
        "load": {
            "stages": [
                {"name": "a", "kind": "warmup", "duration": "2s", "rate": "10/s"},
                {"name": "b", "kind": "steady", "duration": "4s", "rate": "10/s", "ramp_to": "30/s"},
            ]
        },
    }
    return Profile.model_validate({**base, **changes})


def test_a_plan_survives_its_json_and_keeps_its_digest() -> None:
    plan = make_plan(load_profile(Path("profiles/quick.yaml")))
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.digest == plan.digest


def test_the_same_profile_gives_the_same_plan_and_another_seed_another() -> None:
    assert make_plan(profile()).digest == make_plan(profile()).digest
    assert make_plan(profile()).digest != make_plan(profile(seed=2)).digest


def test_offsets_are_absolute_and_ramps_counted_by_their_mean() -> None:
    plan = make_plan(profile())
    assert [(s.start_s, s.end_s) for s in plan.stages] == [(0, 2), (2, 6)]
    assert [s.arrivals for s in plan.stages] == [20, 80]
    assert plan.max_in_flight == 300  # 30/s at the peak, for 10 s of timeout


def test_the_offered_curve_integrates_to_the_arrivals() -> None:
    curve = offered_curve(make_plan(profile()), 60)
    assert sum(rate * 6 / 60 for rate in curve) == pytest.approx(100)
    assert curve[0] == pytest.approx(10)
    assert curve[-1] == pytest.approx(29.75)


def shaped(*shapes: object) -> Plan:
    stages = [
        {"name": f"s{n}", "kind": "steady", "duration": "10s", **(shape if isinstance(shape, dict) else {})}
        for n, shape in enumerate(shapes)
    ]
    return make_plan(profile(load={"stages": stages}))


def test_shapes_are_planned_one_after_the_other_and_survive_their_json() -> None:
    plan = shaped(
        {"shape": {"steps": {"from": "10/s", "to": "30/s", "count": 3}}},
        {"shape": {"burst": {"plateau": "10/s", "peak": "50/s", "at": "2s", "tau": "1s"}}},
        {"shape": {"diurnal": {"mean": "10/s"}}},
    )
    steps, burst, day = plan.stages
    assert steps.arrivals == pytest.approx(200)
    assert burst.arrivals == pytest.approx(100 + 40, rel=0.01)  # the integral of the decay is 40/s × 1 s
    assert day.arrivals == pytest.approx(100, rel=0.005)
    assert [stage.peak_per_s for stage in plan.stages] == pytest.approx([30, 50, 30], rel=0.001)
    assert [stage.knots[0][0] for stage in plan.stages] == [0, 10, 20]
    assert [stage.knots[-1][0] for stage in plan.stages] == [10, 20, 30]
    assert plan.max_in_flight == 500
    assert Plan.from_json(plan.to_json()) == plan
    curve = offered_curve(plan, 300)
    assert curve[0] == pytest.approx(10)
    assert sum(curve) / 10 == pytest.approx(sum(stage.arrivals for stage in plan.stages))
    assert max(curve) == pytest.approx(50, rel=0.06)  # the mean of the tenth of a second after the jump


def test_operations_come_in_the_mix_of_the_profile_and_only_sends_without_one() -> None:
    assert make_plan(profile()).mix == {"send": 1.0}
    stages = [{"name": "a", "kind": "steady", "duration": "2s", "rate": "10/s"}]
    mixed = make_plan(profile(load={"stages": stages, "mix": {"send": "90%", "sync": "10%"}}))
    assert mixed.mix == {"send": 0.9, "sync": 0.1}
    assert Plan.from_json(mixed.to_json()) == mixed


def test_a_closed_loop_has_no_rates_and_nobody_asks_twice_at_once() -> None:
    stages = [{"name": "a", "kind": "steady", "duration": "2s"}]
    plan = make_plan(profile(load={"stages": stages, "loop": "closed", "think_time": "5s"}))
    assert (plan.loop, plan.think_s, plan.max_in_flight) == ("closed", 5, 10)
    assert plan.stages[0].arrivals == 0
    assert Plan.from_json(plan.to_json()) == plan
    assert (make_plan(profile()).loop, make_plan(profile()).think_s) == ("open", None)


def test_contacts_and_groups_are_those_of_the_profile_or_of_so_many_people() -> None:
    plan = make_plan(profile(population={"clients": 2_000}))
    assert plan.contacts == pytest.approx(38.6)
    assert (plan.groups_each, plan.largest_group) == (4, 50)
    plan = make_plan(profile(population={"clients": 10, "contacts": 20, "groups": 2}))
    assert (plan.contacts, plan.groups_each, plan.largest_group) == (9, 2, 8)


def test_core_means_each_generations_own_core_node_and_its_own_healing() -> None:
    plan = make_plan(profile(faults=[{"kind": "kill", "target": "core", "at": "5s"}]))
    assert [(f.generation, f.node_names, f.inject_s, f.heal_s) for f in plan.faults] == [
        ("monolith", "server", 5, 5),
        ("sharded", "shard-0-primary", 5, 10),
        ("microservices", "nats-1", 5, None),
    ]


def test_faults_are_numbered_in_the_order_they_strike_and_pauses_end() -> None:
    faults = [
        {"kind": "kill", "target": "server", "at": "5s", "restart_after": "500ms"},
        {"kind": "pause", "target": "core", "at": "3s", "duration": "1s"},
    ]
    plan = make_plan(profile(generations=["monolith"], faults=faults))
    assert [(f.fault, f.kind, f.inject_s, f.heal_s) for f in plan.faults] == [
        (1, "pause", 3, 4),
        (2, "kill", 5, 5.5),
    ]


def test_every_block_of_trials_holds_each_generation_once_with_one_seed() -> None:
    plan = make_plan(profile(trials=8))
    blocks = [plan.trials[i : i + 3] for i in range(0, 24, 3)]
    assert all(sorted(t.generation for t in b) == sorted(plan.generations) for b in blocks)
    assert all(len({t.seed for t in b}) == 1 for b in blocks)
    assert len({b[0].seed for b in blocks}) == 8
    assert len({tuple(t.generation for t in b) for b in blocks}) > 1


def test_a_plan_of_before_trials_had_their_own_faults_is_read_as_it_was_meant() -> None:
    plan = make_plan(profile(trials=2, faults=[{"kind": "kill", "target": "core", "at": "5s"}]))
    old = json.loads(plan.to_json())
    for key in ("operator_notice_s", "operator_decide_s"):
        del old[key]
    old["faults"] = [
        {key: fault[key] for key in ("generation", "fault", "kind", "inject_s", "heal_s")}
        | {"node": fault["nodes"][0]}
        for fault in old["faults"]
        if fault["trial"] == 1
    ]
    assert Plan.from_json(json.dumps(old)) == plan


def test_the_operators_delays_are_in_the_heal_and_told_apart() -> None:
    faults = [
        {"kind": "kill", "target": "core", "at": "3s"},
        {"kind": "pause", "target": "edge", "at": "3s", "duration": "1s", "generations": ["sharded"]},
    ]
    plan = make_plan(profile(faults=faults, operator={"notice": "5s", "decide": "20s"}))
    assert (plan.operator_notice_s, plan.operator_decide_s) == (5, 20)
    assert [(f.generation, f.kind, f.heal_s, f.human_s) for f in plan.faults] == [
        ("monolith", "kill", 28, 25),
        ("sharded", "kill", 33, 25),
        ("sharded", "pause", 4, 0),
        ("microservices", "kill", None, 0),
    ]


def test_all_of_a_role_are_struck_together_and_a_link_and_a_jump_are_in_the_plan() -> None:
    lasting = {"at": "3s", "duration": "1s", "generations": ["sharded"]}
    faults = [
        {"kind": "stop", "all": "edge", "at": "5s", "generations": ["sharded"]},
        {
            "kind": "slow",
            "target": "core",
            "latency": "100ms",
            "loss": "1%",
            "bandwidth": "8Mbit/s",
            **lasting,
        },
        {"kind": "clock_jump", "target": "failover", "by": "-30s", **lasting},
        {"kind": "none", "at": "5s"},
    ]
    plan = make_plan(profile(faults=faults, deployment="namespaces"))
    slow, jump, stop, control = plan.faults_of("sharded", 1)
    assert stop.nodes == ("api-1", "api-2")
    assert slow.link == Link(0.1, 0.01, 1e6)
    assert (jump.jump_s, jump.heal_s) == (-30, 4)
    assert (control.nodes, control.node_names, control.heal_s) == ((), "", None)
    assert Plan.from_json(plan.to_json()) == plan


@given(seed=st.integers(0, 2**32), within_ms=st.integers(0, 9_000), every_s=st.integers(20, 60))
def test_drawn_faults_are_the_same_for_one_seed_strike_in_time_and_never_where_it_ails(
    seed: int, within_ms: int, every_s: int
) -> None:
    repeated = {"repeat": 3, "every": f"{every_s}s", "within": f"{within_ms}ms"}
    faults = [
        {"kind": "pause", "target": "random", "at": "3s", "duration": "5s", **repeated},
        {"kind": "kill", "target": "edge", "at": "3s", "generations": ["sharded", "microservices"]},
    ]
    stages = [{"name": "a", "kind": "warmup", "duration": "2s", "rate": "1/s"},
              {"name": "b", "kind": "steady", "duration": "3min", "rate": "1/s"}]  # fmt: skip
    asked = profile(seed=seed, trials=3, faults=faults, load={"stages": stages})
    assert contradictions(asked) == []
    plan = make_plan(asked)
    assert plan == make_plan(asked)
    for name in plan.generations:
        phases = []
        for trial in (1, 2, 3):
            struck = plan.faults_of(name, trial)
            assert [f.fault for f in struck] == list(range(1, len(struck) + 1))
            assert all(2 < f.inject_s <= (f.heal_s or f.inject_s) < plan.load_s for f in struck)
            pauses = [f for f in struck if f.kind == "pause"]
            for number, fault in enumerate(pauses):
                assert 0 <= round(fault.inject_s - (3 + number * every_s), 6) <= within_ms / 1000
                others = [f for f in struck if f is not fault and f.nodes == fault.nodes]
                assert not any(fault.inject_s <= f.inject_s <= fault.heal_s for f in others if fault.heal_s)
            phases.append([f.inject_s for f in pauses])
        assert phases == [[f.inject_s for f in plan.faults_of("monolith", n)] for n in (1, 2, 3)]
        assert within_ms < 100 or phases[0] != phases[1]


def test_a_fault_beside_another_does_not_move_it() -> None:
    one = {"kind": "kill", "target": "edge", "at": "3s", "within": "2s", "generations": ["sharded"]}
    control = {"kind": "none", "at": "3s", "within": "2s"}
    alone = make_plan(profile(faults=[one])).faults_of("sharded", 1)
    (beside,) = [f for f in make_plan(profile(faults=[one, control])).faults_of("sharded", 1) if f.nodes]
    assert (beside.nodes, beside.inject_s) == (alone[0].nodes, alone[0].inject_s)

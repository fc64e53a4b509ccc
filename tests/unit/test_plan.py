from pathlib import Path

import pytest

from bench.plan import Plan, make_plan
from bench.profile import Profile, load_profile
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


def test_core_means_each_generations_own_core_node_and_its_own_healing() -> None:
    plan = make_plan(profile(faults=[{"kind": "kill", "target": "core", "at": "5s"}]))
    assert [(f.generation, f.node, f.inject_s, f.heal_s) for f in plan.faults] == [
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

"""What a sweep comes to, before anything is started."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.plan import Plan
from bench.profile import Profile
from bench.sweep import make_sweep

PROFILE: dict[str, Any] = {
    "name": "sweep",
    "generations": ["monolith", "sharded"],
    "trials": 2,
    "population": {"clients": 20, "contacts": 4},
    "load": {
        "stages": [
            {"name": "steady", "kind": "steady", "duration": "10s", "rate": "50/s"},
            {"name": "fault", "kind": "fault", "duration": "20s", "rate": "50/s"},
        ]
    },
    "faults": [{"kind": "kill", "target": "core", "at": "11s", "within": "3s"}],
    "history": {"messages": "2k"},
}


def profile(**changes: Any) -> Profile:
    return Profile.model_validate({**PROFILE, **changes})


def test_each_setting_is_tried_as_often_as_the_profile_says_by_each_generation() -> None:
    sweep = make_sweep(profile(), (1, 2, 4), (1, 3))
    seen = [(s.generation, s.data_factor, s.users_factor) for s in sweep.settings]
    expected = [(1, 1), (2, 1), (4, 1), (1, 3)]
    for generation in ("monolith", "sharded"):
        own = [pair[1:] for pair in seen if pair[0] == generation]
        assert sorted(own[:4]) == sorted(expected), "a repetition has each setting once"
        assert sorted(own) == sorted(expected * 2)
    assert {(s.messages, s.clients) for s in sweep.settings} == {
        (2_000, 20),
        (4_000, 20),
        (8_000, 20),
        (2_000, 60),
    }
    assert [(s.generation, s.trial) for s in sweep.settings] == [
        (trial.generation, trial.trial) for trial in sweep.plan.trials
    ]


def test_plans_of_a_sweep_differ_in_their_people_alone_so_that_trials_are_struck_alike() -> None:
    sweep = make_sweep(profile(), (1, 2), (1, 2))
    few, many = (sweep.plans[clients] for clients in (20, 40))
    assert few.trials == many.trials
    assert few.faults == many.faults
    assert few.stages == many.stages
    assert sweep.plan == few
    assert all(few.faults_of(one.generation, one.trial) for one in sweep.settings)


def test_the_kept_plan_holds_the_settings_beside_what_any_plan_holds() -> None:
    sweep = make_sweep(profile(), (1, 2), (1,))
    kept = json.loads(sweep.to_json())
    assert [one["messages"] for one in kept.pop("sweep")] == [s.messages for s in sweep.settings]
    assert Plan.from_json(json.dumps(kept)) == sweep.plan


def test_the_order_is_drawn_from_the_seed() -> None:
    first, again, other = (
        make_sweep(profile(seed=seed, trials=3), (1, 2, 4), (1,)).settings for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


TEXT = """\
name: sweep
generations: [monolith]
population: {clients: 20, contacts: 4}
load:
  stages:
    - {name: steady, kind: steady, duration: 10s, rate: 50/s}
    - {name: fault, kind: fault, duration: 20s, rate: 50/s}
"""
FAULTS = "faults: [{kind: kill, target: core, at: 11s}]\n"


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        (FAULTS, ["--data", "0,x"], "--data: 0 in '0,x'"),
        (FAULTS, ["--data", "1,x"], "--data: 'x' in '1,x' is no number"),
        (FAULTS, ["--data", "nan"], "--data: nan"),
        (FAULTS, ["--data", "2,1"], "1 does not rise above 2"),
        (FAULTS, ["--users", ""], "--users: ''"),
        (FAULTS, ["--generation", "sharded"], "--generation: sharded: not among"),
        (FAULTS, ["--data", "1,900000"], "more than 80%"),
        (FAULTS + "history: {messages: 100kB}\n", [], "history.messages"),
        (FAULTS + "history: {messages: 0}\n", [], "history.messages"),
        ("", [], "none strikes monolith"),
        ("faults: [{kind: none, at: 11s}]\n", [], "none strikes monolith"),
        (FAULTS + "deployment: compose\n", [], "deployment: compose"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_started(
    tmp_path: Path, text: str, arguments: list[str], said: str
) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(TEXT + text)
    ended = CliRunner().invoke(
        main, ["--results", str(tmp_path / "results"), "recovery", str(path), *arguments]
    )
    assert ended.exit_code == 2
    assert said in ended.output
    assert len(ended.output.splitlines()) == 1
    assert not list((tmp_path / "results").glob("*/"))

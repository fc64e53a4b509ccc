"""What `bench plan` prints, of every committed profile and of the corners."""

from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from bench.load.population import populate
from bench.plan import Plan
from bench.planning import make_plan
from bench.profile import Profile, load_profile
from bench.report.plan import crossing_line, show_plan
from tests.unit.load.plans import MIXED, plan_of


def printed(plan: Plan) -> list[str]:
    console = Console(width=80, highlight=False)
    with console.capture() as capture:
        console.print(show_plan(plan))
    return [line.rstrip() for line in capture.get().splitlines()]


def line_of(lines: list[str], start: str) -> str:
    (found,) = [line for line in lines if line.startswith(start)]
    return " ".join(found.split())


@pytest.mark.parametrize("path", sorted(Path("profiles").glob("*.yaml")), ids=lambda path: path.name)
def test_every_committed_profile_is_shown_within_80_columns(path: Path) -> None:
    lines = printed(make_plan(load_profile(path)))
    assert max(map(cell_len, lines)) <= 80
    assert any("┤█" in line or "┤▁" in line or "┤ " in line for line in lines)


def test_the_curve_has_units_both_axes_and_the_names_of_the_stages() -> None:
    stages = [
        {"name": "low", "kind": "warmup", "duration": "20s", "rate": "100/s"},
        {"name": "high", "kind": "steady", "duration": "40s", "rate": "300/s"},
    ]
    lines = printed(plan_of(20, stages=stages))
    at = lines.index("offered load, sends/s (poisson arrivals)")
    assert lines[at + 1] == "    300 ┤" + " " * 20 + "█" * 40
    assert lines[at + 6] == "        ┤" + "█" * 60
    assert lines[at + 7] == "      0 └" + "─" * 20 + "┬" + "─" * 39
    assert lines[at + 8] == " " * 9 + "low" + " " * 17 + "high"
    assert lines[at + 9] == " " * 9 + "0 s" + " " * 53 + "60 s"


def test_rates_are_told_by_their_shape() -> None:
    stages = [
        {"name": "a", "kind": "steady", "duration": "10s", "rate": "100/s"},
        {"name": "b", "kind": "steady", "duration": "10s", "rate": "100/s", "ramp_to": "200/s"},
        {
            "name": "c",
            "kind": "steady",
            "duration": "10s",
            "shape": {"steps": {"from": "50/s", "to": "150/s", "count": 3}},
        },
    ]
    lines = printed(plan_of(20, stages=stages))
    assert line_of(lines, "a ") == "a steady 0 10 100 100 1,000"
    assert line_of(lines, "b ") == "b steady 10 20 100 → 200 150 1,500"
    assert line_of(lines, "c ") == "c steady 20 30 50.0…150 100 1,000"


def test_people_stand_beside_what_was_aimed_at_and_what_is_scaled_is_said() -> None:
    lines = printed(plan_of(400, population={"contacts": 10}, mix=MIXED))
    name, aim, here = line_of(lines, "strong ties, mean").removesuffix(" people").rsplit(" ", 2)
    assert (name, aim) == ("strong ties, mean", "10.0")
    assert float(here) == pytest.approx(10, rel=0.05)
    assert line_of(lines, "mix") == "mix 60 % send, 30 % group_send, 6 % sync, 3 % presence, 1 % login"
    assert any(line.startswith("group size, mean") for line in lines)
    assert any(line.startswith("2 workers: ") for line in lines)
    assert any("below 20,000 people" in line for line in lines)


FAULTS = [
    {"kind": "kill", "target": "core", "at": "20s"},
    {"kind": "pause", "all": "edge", "at": "40s", "duration": "6s", "generations": ["sharded"]},
    {"kind": "slow", "target": "core", "at": "50s", "duration": "2s", "latency": "100ms", "loss": "1%"},
    {"kind": "reconnect", "at": "20s"},
    {"kind": "none", "at": "30s"},
]


def test_faults_stand_under_the_curve_by_kind_and_beside_each_other_by_generation() -> None:
    stages = [{"name": "steady", "kind": "steady", "duration": "60s", "rate": "100/s"}]
    plan = make_plan(
        Profile.model_validate(
            {
                "name": "faulty",
                "trials": 2,
                "deployment": "namespaces",
                "population": {"clients": 20},
                "load": {"stages": stages},
                "faults": FAULTS,
                "operator": {"notice": "1s", "decide": "2s"},
            }
        )
    )
    lines = printed(plan)
    assert max(map(cell_len, lines)) <= 80
    at = next(n for n, line in enumerate(lines) if "└" in line) + 2
    assert lines[at : at + 5] == [
        " " * 29 + "✗" + "─" * 8 + " " * 31 + " kill",
        " " * 29 + "✗" + " " * 39 + " reconnect",
        " " * 39 + "✗" + " " * 29 + " control",
        " " * 49 + "✗" + "─" * 6 + " " * 13 + " pause",
        " " * 59 + "✗" + "─" * 2 + " " * 7 + " slow",
    ]
    assert line_of(lines, "20.0  kill") == ("20.0 kill server +3 s shard-0-primary +8 s nats-1 self")
    assert line_of(lines, "20.0  reconnect") == "20.0 reconnect everybody everybody everybody"
    assert line_of(lines, "30.0  control") == "30.0 control nobody nobody nobody"
    assert line_of(lines, "40.0  pause") == "40.0 pause api-1, api-2 +6 s"
    assert line_of(lines, "50.0  slow") == (
        "50.0 slow 100 ms 1 % server +2 s shard-0-primary +2 s nats-1 +2 s"
    )
    assert "of which the operator takes 3 s to notice and decide" in lines
    assert "of trial 1; trial 2 has these faults at moments of their own" in lines


def test_a_closed_loop_is_labelled_and_has_no_rates() -> None:
    stages = [{"name": "steady", "kind": "steady", "duration": "10s"}]
    lines = printed(plan_of(20, stages=stages, loop="closed", think_time="5s"))
    assert any(line.startswith("Closed loop: each of 20 people") for line in lines)
    assert any("at most 4.00 sends/s" in line for line in lines)
    assert not any("arrivals" in line for line in lines)
    assert line_of(lines, "in flight") == "in flight one a person; after 10 s unanswered they go on"
    unbound = printed(plan_of(20, stages=stages, loop="closed", think_time="0s"))
    assert any("no bound on the rate" in line for line in unbound)


def test_what_crosses_workers_is_told_of_so_many() -> None:
    plan = plan_of(2)
    assert crossing_line(plan, 2) == "2 workers: 100 % of the messages cross from one to another"
    assert crossing_line(plan, 2, populate(plan)) == crossing_line(plan, 2)

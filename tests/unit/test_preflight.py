"""What no machine like this could do is refused before anything starts, at the key to blame."""

from pathlib import Path

import pytest

from bench.plan import Plan
from bench.planning import make_plan
from bench.preflight import SPARE_FILES, defects
from bench.profile import Profile, load_profile, refusal

PROFILE = """name: x
generations: [monolith, sharded]
population: {clients: 900}
load:
  stages:
    - {name: calm, kind: warmup, duration: 1s, rate: 10/s}
    - {name: ramp, kind: steady, duration: 1s, rate: 10/s, ramp_to: 2000/s}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.yaml"
    path.write_text(PROFILE)
    return path


@pytest.fixture
def plan(path: Path) -> Plan:
    return make_plan(load_profile(path))


def test_a_plan_within_the_limits_has_no_defect(plan: Plan) -> None:
    limits = {"xmpp": 2_000.0, "http": 2_000.0}
    assert defects(plan, ceilings_per_s=limits, most_files=1_800 + SPARE_FILES) == []
    assert defects(plan, ceilings_per_s={}, most_files=1_800 + SPARE_FILES) == []


def test_a_rate_above_the_ceiling_is_refused_by_its_highest_moment(plan: Plan, path: Path) -> None:
    (defect,) = defects(plan, ceilings_per_s={"xmpp": 1_999.0, "http": 9_999.0}, most_files=10_000)
    line = str(refusal(path, defect.loc, defect.what))
    assert line.startswith(f"{path}:5: load.stages: stage 'ramp' asks for 2,000/s")
    assert "by xmpp: 1,999/s" in line
    assert "\n" not in line


def test_more_people_than_files_are_refused_with_the_limit_and_what_to_do(plan: Plan, path: Path) -> None:
    (defect,) = defects(plan, ceilings_per_s={}, most_files=1_799 + SPARE_FILES)
    line = str(refusal(path, defect.loc, defect.what))
    assert line.startswith(f"{path}:3: population.clients: 900 people; ")
    assert "enough for 899" in line
    assert "ulimit -Hn" in line


def test_workers_share_the_people_but_a_server_may_have_them_all(plan: Plan) -> None:
    assert defects(plan, ceilings_per_s={}, most_files=900 + SPARE_FILES, load_processes=2) == []
    assert len(defects(plan, ceilings_per_s={}, most_files=899 + SPARE_FILES, load_processes=9)) == 1


def test_every_protocol_that_cannot_is_named() -> None:
    plan = make_plan(
        Profile.model_validate(
            {
                "name": "x",
                "population": {"clients": 2},
                "load": {"stages": [{"name": "s", "kind": "steady", "duration": "1s", "rate": "3/s"}]},
            }
        )
    )
    found = defects(plan, ceilings_per_s=dict.fromkeys(("xmpp", "http", "websocket"), 2.0), most_files=9_999)
    assert len(found) == 3

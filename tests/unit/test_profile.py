from pathlib import Path

import pytest

from bench.errors import ProfileError
from bench.profile import load_profile

GOOD = """\
name: small
generations: [monolith, sharded]
population:
  clients: 10
load:
  stages:
    - {name: warm, kind: warmup, duration: 2s, rate: 10/s}
    - name: steady
      kind: steady
      duration: 5s
      rate: 10/s
faults:
  - kind: kill
    target: core
    at: 4s
"""


def refusal(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def test_a_good_profile_is_read_with_its_units(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    profile = load_profile(path)
    assert [stage.duration for stage in profile.load.stages] == [2.0, 5.0]
    assert profile.load.stages[0].rate == 10.0
    assert profile.slo.response == 0.3


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("clients: 10", "cleints: 10", ":4: population.cleints: unknown key; did you mean clients?"),
        ("clients: 10", "clients: 1", ":4: population.clients: 1: expected greater than or equal to 2"),
        ("clients: 10", "clients: ten", ":4: population.clients: 'ten': expected a valid integer"),
        ("duration: 5s", "duration: 5", ":10: load.stages[2].duration: 5: expected a duration with its unit"),
        ("duration: 5s", "duration: 5 parsecs", ":10: load.stages[2].duration: '5 parsecs': expected a dur"),
        ("duration: 5s", "duration: 0s", ":10: load.stages[2].duration: '0s': expected greater than 0"),
        (
            "      rate: 10/s",
            "      rate: -5/s",
            ":11: load.stages[2].rate: '-5/s': expected a rate, not neg",
        ),
        ("      rate: 10/s", "      rate: 5 Hz", ":11: load.stages[2].rate: '5 Hz': expected a rate"),
        ("target: core", "target: api-7", ":14: faults[1].target: no node or role 'api-7' in monolith; it h"),
        ("target: core", "target: replica", ":14: faults[1].target: no node or role 'replica' in monolith"),
        ("at: 4s", "at: 9s", ":15: faults[1].at: 9s is outside the run, whose stages last 7s"),
        ("at: 4s", "at: 1s", ":15: faults[1].at: 1s is before the steady stage"),
        ("kind: kill", "kind: pause", ":13: faults[1].duration: required for a pause"),
        ("kind: kill", "kind: explode", ":13: faults[1].kind: 'explode': expected 'kill', 'pause'"),
        ("kind: steady", "kind: warmup", ":12: faults: no baseline to recover to"),
        ("name: steady", "name: warm", ":8: load.stages[2].name: 'warm' names an earlier stage too"),
        ("[monolith, sharded]", "[monolith, jabber]", ":2: generations[2]: 'jabber': expected 'monolith'"),
        ("[monolith, sharded]", "[monolith, monolith]", ":2: generations: names a generation twice"),
        ("name: small\n", "", ":1: name: missing; it must be given"),
        ("name: small", "name: small\nname: again", ":2: not YAML: found duplicate key"),
        ("population:", "population", ": not YAML"),
    ],
)
def test_a_defect_is_one_line_with_where_what_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in GOOD
    message = refusal(tmp_path, GOOD.replace(old, new, 1))
    wanted = expected.removeprefix(":") if expected.startswith(": not") else expected
    assert wanted in message


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        (
            "{clients: 1_000_000}",
            ":2: population.contacts: 1,000,000 people with 386 contacts each; at most 40",
        ),
        (
            "{clients: 200000, contacts: 300}",
            ":2: population.contacts: 200,000 people with 300 contacts each",
        ),
        (
            "{clients: 1_000_000, contacts: 8, groups: 9}",
            ":2: population.groups: 1,000,000 people in 9 groups each; at most 5 for so many",
        ),
    ],
)
def test_more_ties_than_a_machine_holds_are_refused(tmp_path: Path, people: str, expected: str) -> None:
    text = (SHAPED % (STAGE % "rate: 1/s")).replace("{clients: 10}", people.replace("_", ""))
    mixed = text.replace("arrivals: poisson", "mix: {send: 60%, group_send: 40%}")
    assert expected in refusal(tmp_path, mixed)


STAGE = "{name: x, kind: steady, duration: 5s, %s}"
SHAPED = """\
name: shaped
population: {clients: 10}
load:
  arrivals: poisson
  stages:
    - %s
"""


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("", ": how much load? give a rate, such as 100/s, or a shape"),
        ("ramp_to: 5/s", ": how much load? give a rate, such as 100/s, or a shape"),
        ("rate: 0/s", ":5: load.stages: no stage offers any load"),
        ("rate: 5/s, shape: {steps: {from: 1/s, to: 2/s, count: 2}}", ".rate: the shape says the rate alr"),
        ("ramp_to: 5/s, shape: {steps: {from: 1/s, to: 2/s, count: 2}}", ".ramp_to: the shape says the rate"),
        (
            "shape: {steps: {from: 1/s, to: 2/s, count: 0}}",
            ".shape.steps.count: 0: expected greater than or e",
        ),
        (
            "shape: {steps: {from: 1/s, to: 2/s, count: 1}}",
            ".shape.steps.count: 1: expected greater than or e",
        ),
        ("shape: {steps: {from: 1/s, to: 2/s}}", ".shape.steps.count: missing; it must be given"),
        ("shape: {steps: {to: 2/s, count: 2}}", ".shape.steps.from: missing; it must be given"),
        (
            "shape: {steps: {form: 1/s, to: 2/s, count: 2}}",
            "did you mean from? allowed here: count, from, to",
        ),
        ("shape: {steps: {from: 1, to: 2/s, count: 2}}", ".shape.steps.from: 1: expected a rate"),
        ("shape: {}", ".shape: none; expected exactly one of steps, burst and diurnal"),
        ("shape: {stairs: {}}", ".shape.stairs: unknown key; allowed here: burst, diurnal, steps"),
        (
            "shape: {steps: {from: 1/s, to: 2/s, count: 2}, diurnal: {mean: 5/s}}",
            ".shape: steps and diurnal; expected exactly one of steps, burst and diurnal",
        ),
        (
            "shape: {burst: {plateau: 9/s, peak: 8/s, at: 1s, tau: 1s}}",
            ".shape.burst.peak: 8/s is not above the plateau, 9/s",
        ),
        (
            "shape: {burst: {plateau: 1/s, peak: 8/s, at: 5s, tau: 1s}}",
            ".shape.burst.at: 5s is after the end of the stage, which lasts 5s",
        ),
        (
            "shape: {burst: {plateau: 1/s, peak: 8/s, at: 1s, tau: 0s}}",
            ".shape.burst.tau: '0s': expected gre",
        ),
        (
            "shape: {diurnal: {mean: 5/s, peak: 4/s}}",
            ".shape.diurnal.peak: 4/s; expected above the mean, 5/s",
        ),
        ("shape: {diurnal: {mean: 5/s, peak: 101/s}}", "and at most 20 × it"),
        ("shape: {diurnal: {mean: 0/s}}", ".shape.diurnal.mean: '0/s': expected greater than 0"),
        ("shape: {diurnal: {mean: 5/s, peak_at: 24h}}", ".peak_at: expected a time of day before 24h"),
    ],
)
def test_a_stage_that_contradicts_itself_is_refused(tmp_path: Path, stage: str, expected: str) -> None:
    message = refusal(tmp_path, SHAPED % (STAGE % stage))
    assert expected in message
    assert message.startswith((":6: load.stages[1]", ":5: load.stages: no stage"))


@pytest.mark.parametrize(
    ("load", "stage", "expected"),
    [
        ("think_time: 5s", "rate: 1/s", ":4: load.think_time: in an open loop nobody waits to think"),
        ("loop: closed", "", ":4: load.think_time: required in a closed loop"),
        ("{loop: closed, think_time: 5}", "", ":4: load.think_time: 5: expected a duration"),
        ("{loop: closed, think_time: 5s, arrivals: uniform}", "", ":4: load.arrivals: a closed loop has no"),
        ("{loop: closed, think_time: 5s}", "rate: 1/s", ":6: load.stages[1].rate: in a closed loop the answ"),
        ("{loop: closed, think_time: 5s}", "ramp_to: 1/s", ":6: load.stages[1].ramp_to: in a closed loop"),
        (
            "{loop: closed, think_time: 5s}",
            "shape: {diurnal: {mean: 1/s}}",
            ":6: load.stages[1].shape: in a closed loop",
        ),
        ("loop: half", "rate: 1/s", ":4: load.loop: 'half': expected 'open' or 'closed'"),
    ],
)
def test_what_contradicts_the_kind_of_loop_is_refused(
    tmp_path: Path, load: str, stage: str, expected: str
) -> None:
    keys = load.strip("{}").replace(", ", "\n  ")
    message = refusal(tmp_path, (SHAPED % (STAGE % stage)).replace("arrivals: poisson", keys))
    key = expected.split(": ", 1)[1]
    assert key in message


def test_a_closed_loop_has_stages_of_a_length_alone(tmp_path: Path) -> None:
    path = tmp_path / "closed.yaml"
    path.write_text((SHAPED % (STAGE % "")).replace("arrivals: poisson", "loop: closed\n  think_time: 500ms"))
    load = load_profile(path).load
    assert (load.loop, load.think_time) == ("closed", 0.5)


@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        ("{send: 60%, sync: 30%}", ":4: load.mix: the shares sum to 90%; expected 100%"),
        ("{send: 60%, group_send: 60%}", ":4: load.mix: the shares sum to 120%; expected 100%"),
        ("{}", ":4: load.mix: the shares sum to 0%; expected 100%"),
        ("{sned: 100%}", ":4: load.mix.sned: unknown key; did you mean send?"),
        ("{send: 1}", ":4: load.mix.send: 1: expected a share between 0% and 100%"),
        ("{send: 140%}", ":4: load.mix.send: '140%': expected a share between 0% and 100%"),
    ],
)
def test_a_mix_that_is_not_the_whole_is_refused(tmp_path: Path, mix: str, expected: str) -> None:
    text = (SHAPED % (STAGE % "rate: 1/s")).replace("arrivals: poisson", f"mix: {mix}")
    assert expected in refusal(tmp_path, text)


def test_unknown_keys_list_what_is_allowed(tmp_path: Path) -> None:
    message = refusal(tmp_path, GOOD.replace("kind: kill", "knid: kill"))
    assert (
        "allowed here: all, at, bandwidth, by, duration, every, generations, kind, latency, loss" in message
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ": empty; expected a profile"),
        ("# only a comment\n", ": empty; expected a profile"),
        ("- a\n- b\n", ":1: a list; expected keys"),
        ("just words\n", "expected keys such as name"),
        ("a: [1, 2\nb: 3\n", "not YAML"),
        ("\tname: x\n", "not YAML"),
        (b"\x7fELF\x02\x01\x01\x00\xff\xfe\x00", ":1: not UTF-8 text"),
        (b"name: x\n\x00\x01\x02\n", "not YAML"),
    ],
)
def test_a_file_that_is_no_profile_is_refused(tmp_path: Path, content: str | bytes, expected: str) -> None:
    assert expected in refusal(tmp_path, content)


def test_a_directory_a_missing_file_and_a_huge_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(GOOD)
    with pytest.raises(ProfileError, match=r"is a directory; name a profile file; it holds one.yaml"):
        load_profile(tmp_path)
    with pytest.raises(ProfileError, match="No such file"):
        load_profile(tmp_path / "none.yaml")
    (tmp_path / "huge.yaml").write_text("#" * 2_000_000)
    with pytest.raises(ProfileError, match="2,000,000 bytes"):
        load_profile(tmp_path / "huge.yaml")


@pytest.mark.parametrize("path", sorted(Path("profiles").glob("*.yaml")), ids=lambda path: path.name)
def test_every_committed_profile_is_sound(path: Path) -> None:
    profile = load_profile(path)
    assert profile.name == path.stem
    assert profile.description


@pytest.mark.parametrize(
    ("capacity", "expected"),
    [
        ("{goals: [150ms, 150ms]}", ": capacity.goals: names a goal twice"),
        ("{goals: []}", ": capacity.goals: list: expected"),
        ("{lowest: 100/s, highest: 100/s}", ": capacity.highest: not above the lowest, 100/s"),
        ("{trial: 5s, total: 4s}", ": capacity.total: below one trial's 5s"),
        ("{width: 0%}", ": capacity.width: '0%': expected greater than 0"),
        ("{down: server}", ": capacity.down: monolith has one node alone, and no capacity without it"),
        (
            "{down: spare}",
            ": capacity.down: no node or role 'spare' in monolith that can be stopped; server (",
        ),
        ("{gaols: [1s]}", ": capacity.gaols: unknown key; did you mean goals?"),
    ],
)
def test_a_search_that_cannot_be_is_refused_at_its_key(tmp_path: Path, capacity: str, expected: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "name: x\npopulation: {clients: 2}\n"
        "load: {stages: [{name: s, kind: steady, duration: 1s, rate: 1/s}]}\n"
        f"capacity: {capacity}\n"
    )
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    assert f"{path}:4{expected}" in str(caught.value)

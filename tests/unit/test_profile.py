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
        ("kind: kill", "kind: explode", ":13: faults[1].kind: 'explode': expected 'kill' or 'pause'"),
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


def test_unknown_keys_list_what_is_allowed(tmp_path: Path) -> None:
    message = refusal(tmp_path, GOOD.replace("kind: kill", "knid: kill"))
    assert "allowed here: at, duration, generations, kind, restart_after, target" in message


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

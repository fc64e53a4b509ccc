import json
from pathlib import Path

import pytest

from services.microservices import groups as groups_module
from services.microservices.groups import Groups
from services.microservices.log import PARTITIONS, partition_of
from services.runtime import ConfigError, People


@pytest.fixture
def people(tmp_path: Path) -> People:
    """Two groups among twenty people: the first twelve, and the last two."""
    path = tmp_path / "groups.json"
    path.write_text(json.dumps([list(range(12)), [18, 19]]))
    return People(count=20, groups_file=path)


@pytest.mark.parametrize(
    ("sender", "group", "reason"),
    [
        ("u0", "g0", None),
        ("u19", "g1", None),
        ("u0", "g1", "not a member"),
        ("u12", "g0", "not a member"),
        ("u99", "g0", "not a member"),
        ("u0", "g2", "unknown group"),
        ("u0", "g00", "unknown group"),
        ("u0", "u1", "unknown group"),
        ("u0", "", "unknown group"),
    ],
)
def test_members_may_write_and_nobody_else_may(
    people: People, sender: str, group: str, reason: str | None
) -> None:
    assert Groups(people).refusal(sender, group) == reason


def test_a_message_goes_to_every_member_but_the_sender_each_in_their_partition(people: People) -> None:
    groups = Groups(people)
    found = []
    for partition in range(PARTITIONS):
        addressees = groups.addressees("g0", "u3", partition)
        assert {partition_of(user) for user in addressees} <= {partition}
        found += addressees
    assert sorted(found) == sorted(f"u{n}" for n in range(12) if n != 3)


def test_without_a_file_there_are_no_groups() -> None:
    assert Groups(People(count=5)).refusal("u0", "g0") == "unknown group"


def test_a_group_that_no_record_could_hold_is_refused_at_the_start(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups_module, "LONGEST_GROUP", 11)
    with pytest.raises(ConfigError, match="group 0: 12 members, at most 11"):
        Groups(people)

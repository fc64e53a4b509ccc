"""Who is in which group, and so who may write to it and where its messages go: pure."""

from collections.abc import Sequence

from services.microservices.log import PARTITIONS, RECORD_SPAN, partition_of
from services.runtime import ConfigError, People

LONGEST_GROUP = RECORD_SPAN // 2
"""Members; a message to all of them must fit into one record of each partition."""


class Groups:
    """The groups `g0`, `g1` … of People. Raises ConfigError for one that has too many members."""

    def __init__(self, people: People) -> None:
        self._members: dict[str, tuple[frozenset[str], Sequence[Sequence[str]]]] = {}
        for number, indices in enumerate(people.groups()):
            if len(indices) > LONGEST_GROUP:
                raise ConfigError(f"group {number}: {len(indices):,} members, at most {LONGEST_GROUP:,}")
            names = [people.name(index) for index in indices]
            parts: list[list[str]] = [[] for _ in range(PARTITIONS)]
            for name in names:
                parts[partition_of(name)].append(name)
            self._members[f"g{number}"] = frozenset(names), parts

    def refusal(self, sender: str, group: str) -> str | None:
        """Why `sender` may not write to `group`; None where they may."""
        members = self._members.get(group)
        if members is None:
            return "unknown group"
        return None if sender in members[0] else "not a member"

    def addressees(self, group: str, sender: str, partition: int) -> list[str]:
        """The other members of a group that exists whose mailboxes are in the partition."""
        return [member for member in self._members[group][1][partition] if member != sender]

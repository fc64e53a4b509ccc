"""The groups: who is in which, and which shard keeps what is sent to it. They are fixed from the start."""

from typing import NamedTuple

from services.runtime import People
from services.sharded.routing import shard_of


class Group(NamedTuple):
    """One group: its number in the tables, the shard of its outbox, its members' row numbers."""

    number: int
    shard: int
    members: frozenset[int]


class Groups:
    """All groups, by name (`g3`). `shards` says how many shards there are."""

    def __init__(self, people: People, shards: int) -> None:
        self._people = people
        self._groups = [
            Group(number, shard_of(f"g{number}", shards), frozenset(members))
            for number, members in enumerate(people.groups())
        ]

    def find(self, name: str) -> Group | None:
        """The group called `name`, or None."""
        number = self._people.group_index(name)
        return self._groups[number] if number is not None and number < len(self._groups) else None

    def others(self, group: int, sender: int) -> list[int]:
        """The members of group number `group` but for `sender`."""
        return sorted(self._groups[group].members - {sender})

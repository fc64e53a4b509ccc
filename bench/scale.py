"""How a few people stand for many: which figures of a large population shrink with a small one, and how.

At FULL_SCALE_PEOPLE and above a person has CONTACTS strong ties in the mean, and the largest group has
LARGEST_GROUP members. Below, both shrink in proportion to the people, so that the share of all people
that one of them knows, and that the largest group holds, stays what it is at full scale; but not below
FEWEST_CONTACTS and SMALLEST_LARGEST_GROUP, without which there would be no circles of friends at all.
"""

FULL_SCALE_PEOPLE = 20_000
CONTACTS = 386
LARGEST_GROUP = 500
FEWEST_CONTACTS = 8
SMALLEST_LARGEST_GROUP = 8


def contacts_of(people: int) -> float:
    """The mean number of strong ties of a person, one of so many."""
    return min(max(CONTACTS * _scale(people), FEWEST_CONTACTS), people - 1)


def largest_group_of(people: int) -> int:
    """How many members the largest group can have among so many people."""
    return min(max(round(LARGEST_GROUP * _scale(people)), SMALLEST_LARGEST_GROUP), people)


def _scale(people: int) -> float:
    return min(people / FULL_SCALE_PEOPLE, 1.0)

"""Numbers for messages, as `sequence` gives them out: pure, no bus and no clock.

Every user has numbers of their own: each is larger than all before, and gaps are allowed. Users are
grouped into sections; of a section only its ceiling is persisted, in steps, and no number above it may
be given out. A new allocator starts every user at the persisted ceiling, above whatever an earlier one can
have given: what is lost is a few numbers, never their order.
"""

from collections import Counter

STEP = 10_000
"""A call for no more numbers than half of it is granted once the ceiling is where it is wanted."""


class Section:
    """The numbers of one section's users below its persisted ceiling."""

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self._floor = ceiling
        self._highest = ceiling
        self._last: dict[str, int] = {}

    def take(self, users: list[str]) -> list[int] | None:
        """The next number of each user named, in turn; None, taking nothing, where the ceiling is too low."""
        if self._highest + len(users) > self.ceiling and not self._fits(users):
            return None
        numbers = []
        for user in users:
            number = self._last.get(user, self._floor) + 1
            self._last[user] = number
            numbers.append(number)
        self._highest = max(self._highest, *numbers) if numbers else self._highest
        return numbers

    def _fits(self, users: list[str]) -> bool:
        wanted = Counter(users).items()
        return all(self._last.get(user, self._floor) + count <= self.ceiling for user, count in wanted)

    def wanted_ceiling(self) -> int:
        """The ceiling that should be persisted now: at least half a step above the highest number given."""
        if self.ceiling - self._highest > STEP // 2:
            return self.ceiling
        return max(self.ceiling, self._highest) + STEP

    def raise_to(self, ceiling: int) -> None:
        """Allow numbers up to `ceiling`, which has been persisted."""
        self.ceiling = max(self.ceiling, ceiling)

"""How long a supervisor waits before it starts a dead node again. Pure."""


class Backoff:
    """At once for a node that lived well; ever longer, to a bound, for one that keeps dying.

    The wait is 0 after a life of at least `stable_s`, and for the first death of all; then `first_s`,
    doubled with each death in a row, up to `longest_s`.
    """

    def __init__(self, *, first_s: float = 0.25, longest_s: float = 10.0, stable_s: float = 5.0) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._stable_s = stable_s
        self._deaths = 0

    def died(self, lived_s: float) -> float:
        """Seconds to wait after a life of `lived_s` seconds has ended."""
        if lived_s >= self._stable_s:
            self._deaths = 0
        self._deaths += 1
        if self._deaths == 1:
            return 0.0
        return float(min(self._longest_s, self._first_s * 2 ** (self._deaths - 2)))

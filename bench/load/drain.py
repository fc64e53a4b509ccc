"""The wait after the load, until the audit may give its verdict.

Over once nobody is offline, every request is answered, and then nothing has arrived for long enough:
max(10 s, 3 × the 99.9th percentile of response and delivery times so far), or what the profile says. Who was
offline when the load ended is on the way back, and collects what waits: quiet counts from when the last of
them was online, for only then can what was kept for them come. Past the limit it ends all the same, and the
verdict is unknown. So it is where the protocol delivers nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bench.load.trial import State
from bench.plan import Plan
from bench.records import QuietBy

LEAST_QUIET_S = 10.0
TAILS = 3.0
"""How many times the 99.9th percentile it must be quiet."""
NOTHING_DELIVERED = "this protocol delivers nothing, so it cannot be told whether anything was lost"


@dataclass(frozen=True, slots=True)
class Drained:
    """How the wait ended. `done` False: cut short, and `detail` says by what or what was missing.

    `quiet_s` is for how long nothing had arrived, None where not `done`; `collected` how many
    people who were offline came back in it.
    """

    done: bool
    detail: str = ""
    quiet_s: float | None = None
    quiet_by: QuietBy | None = None
    collected: int = 0


class Drain:
    """One trial's wait, from `end_ns` on; `tail_s` gives the 99.9th percentile of what is measured so far."""

    def __init__(
        self, plan: Plan, end_ns: int, tail_s: Callable[[], float], *, delivers: bool = True
    ) -> None:
        self._delivers = delivers
        self._end_ns = end_ns
        self._limit_ns = round(plan.drain_limit_s * 1e9)
        self._asked_s = plan.drain_quiet_s
        self._tail_s = tail_s
        self._missing_ns = end_ns
        self._offline: int | None = None
        self._collected = 0

    def look(self, state: State, now_ns: int) -> Drained | None:
        """How it ended, or None while it goes on; call it from the end of the load on, and often."""
        if self._offline is not None:
            self._collected += max(self._offline - state.offline, 0)
        self._offline = state.offline
        if state.missing:
            self._missing_ns = now_ns
        quiet_s = (now_ns - max(state.last_arrival_ns, self._missing_ns)) / 1e9
        needed_s = self._needed_s(quiet_s)
        if not state.missing and quiet_s >= needed_s:
            by: QuietBy = "rule" if self._asked_s is None else "profile"
            if not self._delivers:
                return self.cut_short(NOTHING_DELIVERED)
            return Drained(True, "", round(quiet_s, 3), by, self._collected)
        if now_ns - self._end_ns > self._limit_ns:
            quiet = f"quiet for only {max(quiet_s, 0):.1f} s of {needed_s:g} s at the limit"
            return self.cut_short(state.missing or quiet)
        return None

    def cut_short(self, detail: str) -> Drained:
        """How it ends where it may not go on."""
        return Drained(False, detail, collected=self._collected)

    def _needed_s(self, quiet_s: float) -> float:
        if self._asked_s is not None:
            return self._asked_s
        # The percentile is not asked for while it cannot matter yet.
        return LEAST_QUIET_S if quiet_s < LEAST_QUIET_S else max(LEAST_QUIET_S, TAILS * self._tail_s())

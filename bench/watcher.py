"""Who looks on while a run goes: told what happens, never asked. report/progress.py shows it to people."""

from typing import Protocol

from bench.plan import Plan, PlannedTrial


class Watcher(Protocol):
    """A run's onlooker. Every call returns at once."""

    def trial(self, plan: Plan, planned: PlannedTrial, *, retry_of: int | None = None) -> None:
        """A trial begins; `retry_of` is the void one that it repeats."""

    def step(self, text: str) -> None:
        """What is being done now, in a few words."""

    def note(self, text: str) -> None:
        """Something happened that stays worth reading: a fault, a failure."""

    def load(
        self, t_s: float, phase: str, offered: int, acknowledged: int, backlog: int, online: int
    ) -> None:
        """Once a second under load: counts of sends since the trial began."""

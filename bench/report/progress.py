"""Shows a run as it goes: a live line on a terminal, one plain line every few seconds elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.plan import Plan, PlannedTrial

PLAIN_EVERY_S = 5.0


class RunProgress:
    """A Watcher for people, as `with`; `console` decides whether it is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._trial = 0
        self._plan: Plan | None = None
        self._name = ""
        self._load_s = 0.0
        self._said = 0.0
        self._bar = Progress(
            TextColumn("[bold]{task.fields[name]:<13}"),
            BarColumn(bar_width=16),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", name="", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def trial(self, plan: Plan, planned: PlannedTrial, *, retry_of: int | None = None) -> None:
        """A trial begins; `retry_of` is the void one that it repeats."""
        self._trial += retry_of is None
        self._plan = plan
        self._name = planned.generation
        self._load_s = plan.load_s
        self._said = 0.0
        self._bar.reset(self._task, total=None, name=planned.generation, description="")
        self._line(
            f"trial {self._trial} of {len(plan.trials)}{'' if retry_of is None else ' again'}: "
            f"about {plan.trial_estimate_s(planned.generation):.0f} s",
        )

    def step(self, text: str) -> None:
        """What is being done now."""
        self._bar.update(self._task, description=_short(text))
        if not self._console.is_terminal and not text.startswith("waiting for "):
            self._line(text)

    def note(self, text: str) -> None:
        """Something worth keeping on the screen."""
        self._line(text, style="yellow")

    def load(
        self, t_s: float, phase: str, offered: int, acknowledged: int, backlog: int, online: int
    ) -> None:
        """Once a second under load."""
        text = f"{phase}: {acknowledged:,} of {offered:,} acknowledged, backlog {backlog:,}"
        self._bar.update(
            self._task, description=text, total=self._load_s, completed=min(max(t_s, 0), self._load_s)
        )
        now = time.monotonic()
        if not self._console.is_terminal and now - self._said >= PLAIN_EVERY_S:
            self._said = now
            self._line(f"{t_s:5.1f} s {text}, {online:,} online")

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(
            f"{self._name:<13} {text}", style=style, markup=False, highlight=False, soft_wrap=True
        )


def _short(text: str) -> str:
    return text if len(text) <= 44 else text[:43] + "…"


class SearchProgress:
    """A Watcher of many short trials, as `with`: what is being done turns on one line, results stay."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("starting")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    def result(self, text: str, *, style: str = "") -> None:
        """A line that stays."""
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def trial(self, plan: Plan, planned: PlannedTrial, *, retry_of: int | None = None) -> None:
        """Said by `result` once there is one."""

    def step(self, text: str) -> None:
        """What is being done now."""
        self._status.update(_short(text))

    def note(self, text: str) -> None:
        """Something worth keeping on the screen."""
        self.result(text, style="yellow")

    def load(
        self, t_s: float, phase: str, offered: int, acknowledged: int, backlog: int, online: int
    ) -> None:
        """Once a second under load."""
        self._status.update(f"{phase} {t_s:.0f} s: {acknowledged:,} of {offered:,}, backlog {backlog:,}")

"""Figures beside their goals: as a table on the terminal and as a CSV file.

The file has one row a figure: `part`, `subject` (the tool), `metric`, `value`, `lowest` and `highest` over
the rounds, `unit`, `goal` (`>= 6`, `<= 150`, empty for none) and `verdict` (`pass`, `fail`, empty). Missing is empty.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median

from rich import box
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure is to keep: at least `bound`, or with `at_most` at most."""

    bound: float
    at_most: bool = False

    def met(self, value: float) -> bool:
        """Whether `value` keeps it."""
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:g}"


def at_least(bound: float) -> Goal:
    """The goal of being no less."""
    return Goal(bound)


def at_most(bound: float) -> Goal:
    """The goal of being no more."""
    return Goal(bound, at_most=True)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: the median of its rounds, with the lowest and the highest; one row of the CSV file."""

    part: str
    subject: str
    metric: str
    value: float | None
    lowest: float | None
    highest: float | None
    unit: str
    goal: str = ""
    verdict: str = ""


def figure(
    part: str, subject: str, metric: str, rounds: Iterable[float], unit: str, goal: Goal | None = None
) -> Figure:
    """The figure of a metric's rounds; of none it is missing, and a goal then is not met."""
    values = list(rounds)
    value = median(values) if values else None
    verdict = "" if goal is None else ("pass" if value is not None and goal.met(value) else "fail")
    low, high = (min(values), max(values)) if values else (None, None)
    return Figure(part, subject, metric, value, low, high, unit, "" if goal is None else str(goal), verdict)


def write_csv(path: Path, figures: Iterable[Figure]) -> None:
    """Write the file, and its folder where it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.name for column in fields(Figure)])
        writer.writerows([_cell(cell) for cell in astuple(one)] for one in figures)


def show(title: str, figures: Sequence[Figure]) -> Table:
    """The figures as a table for 80 columns: one row a metric, one column a subject, goals below figures."""
    subjects = list(dict.fromkeys(one.subject for one in figures))
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.pad_edge = False
    table.add_column("", max_width=15)
    for subject in subjects:
        table.add_column(subject, justify="right")
    by_place = {(one.subject, one.metric): one for one in figures}
    for metric, unit in {(one.metric, one.unit): None for one in figures}:
        shown = (_shown(by_place.get((subject, metric))) for subject in subjects)
        table.add_row(f"{metric}\n[dim]{unit}[/dim]", *shown)
    return table


def failures(figures: Iterable[Figure]) -> list[Figure]:
    """Those that miss their goal."""
    return [one for one in figures if one.verdict == "fail"]


def _shown(one: Figure | None) -> str:
    if one is None:
        return ""
    if one.value is None:
        text = "–"
    else:
        text = _number(one.value)
        if one.lowest is not None and one.highest is not None and one.lowest < one.highest:
            text += f"\n[dim]{_short(one.lowest)}–{_short(one.highest)}[/dim]"
    if one.goal:
        colour = "green" if one.verdict == "pass" else "red"
        text += f"\n[{colour}]{one.goal} {one.verdict}[/{colour}]"
    return text


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _short(value: float) -> str:
    """To three digits in at most five places, for two of them stand side by side."""
    for letter, unit in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}"


def _cell(cell: object) -> object:
    if cell is None:
        return ""
    return repr(round(cell, 6)) if isinstance(cell, float) else cell

"""What `bench capacity` prints: a line a trial as the bounds close in, and the answer, 80 columns wide."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.analysis.capacity import MAX, Bounds, Search
from bench.analysis.verdict import CEILING_SHARE
from bench.manifest import Manifest
from bench.records import CapacityRow, CapacityTrialRow
from bench.report.format import MISSING, number
from bench.report.whole import Whole

WIDTH = 80


def trial_line(search: Search, row: CapacityTrialRow, bounds: Mapping[str, Bounds]) -> str:
    """One trial: what was offered, what came of it, and the interval of `max` it leaves."""
    p99 = MISSING if row.response_p99_ms is None else f"{number(row.response_p99_ms)} ms"
    head = f"{row.generation:<13} {row.rate_per_s:>7,.0f}/s  p99 {p99:>8}  "
    if row.void:
        said = f"void: {row.why.removeprefix('steady: ')}"
        return head + (said if len(head + said) <= WIDTH else said[: WIDTH - len(head) - 1] + "…")
    if row.failed_goals == 0:
        word = "all goals met"
    elif row.failed_goals < len(search.names):
        word = f"meets {search.names[row.failed_goals]}"
    else:
        word = "none met"
    lower, upper = bounds.get(MAX, (None, None))
    left = "" if lower is None and upper is None else f"  max {number(lower)} … {number(upper)}"
    return f"{head}{word:<18}{left}".rstrip()


def show_capacity(
    manifest: Manifest,
    search: Search,
    answers: Sequence[CapacityRow],
    trials: Sequence[CapacityTrialRow],
    folder: Path | None = None,
) -> RenderableType:
    """The intervals by generation and goal, the latency below them, and what must be said beside them."""
    parts: list[RenderableType] = []
    if manifest.ended != "complete":
        words = {"interrupted": "Interrupted", "failed": "Failed", "running": "Not ended"}[manifest.ended]
        error = f"\n{manifest.error}" if manifest.error else ""
        parts.append(Text(f"{words}: {manifest.reached}{error}\n", style="bold red"))
    if not answers:
        parts.append(Text("No trial was measured."))
    else:
        parts += [_intervals(answers), *_latencies(trials), Text("\nNotes", style="bold")]
        parts += [
            Text(textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    "))
            for text in notes(search, answers, trials)
        ]
    if folder is not None:
        parts += [Text(), Whole(str(folder))]
    return Group(*parts)


def _intervals(answers: Sequence[CapacityRow]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("capacity in sends/s", min_width=20)
    for heading in ("met at", "not met at", "trials", "believed"):
        table.add_column(heading, justify="right", min_width=10)
    generation = None
    for row in answers:
        if row.generation != generation:
            table.add_row(Text(row.generation, style="bold"))
            if row.down:
                table.add_row(Text(f"  {row.down} down", style="yellow"))
            generation = row.generation
        style = "bold" if row.goal == MAX else ""
        believed = "yes" if row.believed == "yes" else Text(row.believed, style="bold red")
        table.add_row(
            f"  {row.goal}",
            Text(number(row.lower_per_s), style=style),
            Text(number(row.upper_per_s), style=style),
            str(row.trials),
            believed,
        )
    return table


def _latencies(trials: Sequence[CapacityTrialRow]) -> list[RenderableType]:
    last = {(row.generation, row.rate_per_s): row for row in trials if row.purpose == "latency"}
    rows = list(last.values())  # the last of those that were tried again
    if not rows:
        return []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("response time at", min_width=20)
    for heading in ("of capacity", "1/s", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right", min_width=10)
    for row in rows:
        table.add_row(
            f"  {row.generation}" + (" *" if row.void else ""),
            MISSING if row.share_of_capacity is None else f"{row.share_of_capacity * 100:.0f} %",
            number(row.rate_per_s),
            MISSING if row.void else number(row.response_p50_ms),
            MISSING if row.void else number(row.response_p99_ms),
        )
    return [Text(), table]


def notes(
    search: Search, answers: Sequence[CapacityRow], trials: Sequence[CapacityTrialRow]
) -> Sequence[str]:
    """What must be said beside the answers, in sentences."""
    goals: dict[tuple[str, str], list[str]] = {}
    for row in answers:
        if row.note:
            goals.setdefault((row.generation, row.note), []).append(row.goal)
    said = [f"{generation}, {', '.join(names)}: {note}" for (generation, note), names in goals.items()]
    down = dict.fromkeys(f"{row.down} of {row.generation}" for row in answers if row.down)
    if down:
        said.append(f"Degraded capacity, with a node down throughout: {', '.join(down)}.")
    if any(row.believed == "unknown" for row in answers):
        said.append(
            "The generator is not calibrated (bench calibrate): no figure above "
            f"{CEILING_SHARE * 100:.0f} % of what it can reach is believed, and that is not known."
        )
    void = sum(row.void for row in trials)
    if void:
        said.append(f"{void} of {len(trials)} trials were void and bound nothing (trials.csv says why).")
    said.append(
        f"A goal is met where at least {search.share * 100:g} % of what was offered was acknowledged in "
        "time, nothing was lost, and the backlog did not grow. One machine: no cluster's capacity."
    )
    return said

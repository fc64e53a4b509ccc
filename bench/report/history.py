"""What `bench history` prints: a line a figure with its course, and beneath it where it changed."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.analysis.history import Change, Series
from bench.records import HistoryRow
from bench.report.comparison import FIGURE_NAMES
from bench.report.format import number, times
from bench.report.prose import item

BLOCKS = "▁▂▃▄▅▆▇█"
MOST_BLOCKS = 20
STYLES = {"better": "bold green", "worse": "bold red"}


def render_history(series: Sequence[Series], passed_over: Sequence[str]) -> RenderableType:
    """Every plan and host, every figure; `passed_over` are folders that say nothing, with their reason."""
    parts: list[RenderableType] = []
    for (profile, plan, host), own in _groups(series):
        runs = list(dict.fromkeys(point.run for one in own for point in one.points))
        parts.append(Text(f"{profile}, plan {plan}, host {host}: {len(runs)} runs", style="bold"))
        parts.append(_table(own))
        parts += [item(text, style=style) for text, style in _changes(own)]
        parts.append(Text())
    if not series:
        parts.append(Text("no analysed run yet: bench run PROFILE makes one"))
    if passed_over:
        parts.append(Text("Passed over", style="bold"))
        parts += [item(text) for text in passed_over]
    return Group(*parts)


def history_json(series: Sequence[Series], passed_over: Sequence[str]) -> str:
    """All of it; ends with a line end."""
    whole = {"series": [asdict(one) for one in series], "passed_over": list(passed_over)}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def history_rows(series: Sequence[Series]) -> Iterator[HistoryRow]:
    """A row a point."""
    for one in series:
        at = {change.at: change for change in one.changes}
        for point in one.points:
            change = at.get(point.run)
            yield HistoryRow(
                profile=one.profile,
                plan=one.plan,
                host=one.host,
                generation=one.generation,
                figure=one.figure,
                run=point.run,
                created_utc=point.created_utc,
                value=point.value,
                trials=point.trials,
                change=None if change is None else change.word,
                change_ratio=None if change is None else change.ratio,
                changed_versions="" if change is None else _versions(change),
            )


def _groups(series: Sequence[Series]) -> Iterator[tuple[tuple[str, str, str], list[Series]]]:
    for key in dict.fromkeys((one.profile, one.plan, one.host) for one in series):
        yield key, [one for one in series if (one.profile, one.plan, one.host) == key]


def _table(series: Sequence[Series]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("generation", "figure", "runs", "first", "latest", "course", "changes"):
        right = heading in ("runs", "first", "latest", "changes")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for one in series:
        values = [point.value for point in one.points]
        table.add_row(
            one.generation,
            FIGURE_NAMES[one.figure],
            str(len(values)),
            number(values[0]),
            number(values[-1]),
            _course(values),
            str(len(one.changes)) if one.changes else "–",
        )
    return table


def _course(values: Sequence[float]) -> str:
    """The latest values as blocks, from the lowest to the highest; all in the middle where within 2 %."""
    logs = [math.log(value) for value in values[-MOST_BLOCKS:]]
    low, high = min(logs), max(logs)
    if high - low < 0.02:
        return BLOCKS[3] * len(logs)
    return "".join(BLOCKS[round((log - low) / (high - low) * (len(BLOCKS) - 1))] for log in logs)


def _changes(series: Sequence[Series]) -> Iterator[tuple[str, str]]:
    for one in series:
        for change in one.changes:
            head = f"{one.generation}, {FIGURE_NAMES[one.figure].partition(',')[0]}: {times(change.ratio)}, "
            yield (
                f"{head}{change.word}, since {change.at}: {_versions(change) or NOTHING}",
                STYLES[change.word],
            )


NOTHING = "no version changed there: look at the machine"


def _versions(change: Change) -> str:
    return "; ".join(f"{name} {before} → {after}" for name, before, after in change.versions)

"""What `bench published` prints: the measured beside the claimed, with a word for each figure, and why."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.analysis.published import COLUMN_OF, Cell
from bench.report.format import MISSING, number, times
from bench.report.prose import item
from bench.report.roomy import Roomy

HEADINGS = {
    "tps": "Throughput, 1/s",
    "response_p50_ms": "Response time, p50 ms",
    "time_to_recover_s": "Recovery, s",
}
STYLES = {"consistent": "bold green", "contradicted": "bold red"}


def render_published(cells: Sequence[Cell], sources: Sequence[str]) -> RenderableType:
    """The cells of the figures that the table claims; `sources` are the folders they come from."""
    parts: list[RenderableType] = [Text(f"measured in  {source}") for source in sources]
    for figure, own in _by_figure(cells):
        parts.append(Text(f"\n{HEADINGS.get(figure, figure)}", style="bold"))
        parts.append(Roomy(partial(_table, own)))
        parts += [item(text) for text in _sentences(own)]
    return Group(*parts)


def published_markdown(cells: Sequence[Cell], sources: Sequence[str]) -> str:
    """The same as Markdown, ending with a line end."""
    lines = [f"Measured in {', '.join(f'`{source}`' for source in sources)}."]
    for figure, own in _by_figure(cells):
        lines += [f"\n**{HEADINGS.get(figure, figure)}**\n"]
        lines += [f"| generation | measured | published | × {own[0].generation} | published × | |"]
        lines += ["|---|--:|--:|--:|--:|---|"]
        lines += [f"| {' | '.join(_cells(cell))} |" for cell in own]
        lines += ["", *(f"- {text}" for text in _sentences(own))]
    return "\n".join(lines) + "\n"


def published_json(cells: Sequence[Cell], sources: Sequence[str]) -> str:
    """All cells, those too that the table claims nothing of; ends with a line end."""
    whole = {"sources": sources, "cells": [asdict(cell) for cell in cells]}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _by_figure(cells: Sequence[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    for figure in COLUMN_OF:
        own = [cell for cell in cells if cell.figure == figure]
        if own:
            yield figure, own


def _table(cells: Sequence[Cell], roomy: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    table.add_column("", min_width=13 if roomy else None)
    first = cells[0].generation
    for heading, width in (("measured", 8), ("published", 9), (f"× {first}", 19), ("published", 9)):
        table.add_column(heading, justify="right", min_width=width if roomy else None, overflow="fold")
    table.add_column("", min_width=15 if roomy else None)
    for cell in cells:
        *texts, word = _cells(cell)
        table.add_row(*texts, Text(word, style=STYLES.get(word, "")))
    return table


def _cells(cell: Cell) -> tuple[str, ...]:
    own = times(cell.measured_ratio)
    if cell.ratio_low is not None or cell.ratio_high is not None:
        own += f" ({number(cell.ratio_low)}–{'∞' if cell.ratio_high is None else number(cell.ratio_high)})"
    return (
        cell.generation,
        number(cell.measured),
        number(cell.published),
        own if cell.measured_ratio is not None or "(" in own else MISSING,
        times(cell.published_ratio),
        cell.absolute if cell.ratio_reason.startswith("it is what the others") else cell.ratio,
    )


def _sentences(cells: Sequence[Cell]) -> Iterator[str]:
    """Why each word: the absolute figures' once where they are alike, then each ratio's."""
    by_text: dict[str, list[str]] = {}
    for cell in cells:
        by_text.setdefault(f"{cell.absolute}: {cell.absolute_reason}", []).append(cell.generation)
    for text, names in by_text.items():
        who = "" if len(names) == len(cells) else f" of {', '.join(names)}"
        yield f"absolute{who}: {text}"
    for cell in cells[1:]:
        yield f"ratio of {cell.generation}: {cell.ratio}: {cell.ratio_reason}"

"""What `bench recovery` prints: recovery by data volume and people, and lines through it, 80 columns wide."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.analysis.audit import Losses
from bench.analysis.sweep import Swept
from bench.manifest import Manifest
from bench.records import RecoveryFitRow, SweptFigure, SweptSize
from bench.report.format import MISSING, count, number, seconds
from bench.report.whole import Whole

WIDTH = 80
_PER: Mapping[SweptSize, str] = {"data_bytes": "GB of data", "users_online": "1,000 online"}
_SIZES: Mapping[SweptSize, str] = {"data_bytes": "data", "users_online": "people online"}
_FIGURES: Mapping[SweptFigure, str] = {"time_to_recover_s": "time to recover", "replay_s": "replay"}
_UNITS = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"))


def show_sweep(
    manifest: Manifest,
    swept: Sequence[Swept],
    fits: Sequence[RecoveryFitRow],
    audits: Mapping[str, str],
    folder: Path | None = None,
) -> RenderableType:
    """The times by setting, the lines through them, and what must be said beside them.

    `audits` is what those of each generation came to, in a few words.
    """
    parts: list[RenderableType] = []
    if manifest.ended != "complete":
        words = {"interrupted": "Interrupted", "failed": "Failed", "running": "Not ended"}[manifest.ended]
        error = f"\n{manifest.error}" if manifest.error else ""
        parts.append(Text(f"{words}: {manifest.reached}{error}\n", style="bold red"))
    if not swept:
        parts.append(Text("No fault was measured."))
    else:
        void = sum(trial.status == "void" for trial in manifest.trials)
        parts += [
            _faults(swept),
            Text(),
            _times(swept),
            Text(),
            _lines(fits),
            *_notes(swept, fits, audits, void),
        ]
    if folder is not None:
        parts += [Text(), Whole(str(folder))]
    return Group(*parts)


def size(against: SweptSize, value: float | None) -> str:
    """A size as people read it: `1.95 TB`, `12,400 people`."""
    if value is None:
        return MISSING
    if against == "users_online":
        return f"{number(value)} people" if value < 1e6 else f"{number(value / 1e6)} million people"
    unit_bytes, unit = next((one for one in _UNITS if value >= one[0]), _UNITS[-1])
    return f"{number(value / unit_bytes)} {unit}"


def audit_words(losses: Losses | None) -> str:
    """What the audits of a generation's trials came to."""
    if losses is None:
        return "no audit"
    if losses.verdict == "unknown":
        return f"audit unknown: {losses.detail}"
    found = {
        "lost": losses.lost,
        "never sent and delivered": losses.phantom,
        "corrupt": losses.corrupt,
        "duplicated": losses.duplicated,
    }
    said = ", ".join(f"{many:,} {what}" for what, many in found.items() if many) or "none lost"
    return f"of {losses.acknowledged:,} acknowledged messages {said}"


def _faults(swept: Sequence[Swept]) -> Text:
    """What struck each generation."""
    struck = {row.generation: f"{row.generation} {row.kind} {row.node}".rstrip() for row in swept}
    return Text(textwrap.fill(f"recovery from: {', '.join(struck.values())}", WIDTH))


def _times(swept: Sequence[Swept]) -> Table:
    table = _table("recovery", "messages", "online", "n", "median s", "least … most", "replay s")
    generation = None
    for row in swept:
        if row.generation != generation:
            table.add_row(Text(row.generation, style="bold"))
            generation = row.generation
        spread = MISSING
        if row.least_s is not None and row.most_s is not None:
            spread = f"{row.least_s:.2f} … {'>' if row.most_censored else ''}{row.most_s:.2f}"
        middle = MISSING if row.median_s is None else f"{row.median_s:.2f}"
        table.add_row(
            f"  {size('data_bytes', row.data_bytes)}",
            count(row.messages),
            count(row.users_online),
            str(row.faults),
            Text(f"{'>' if row.median_censored else ''}{middle}", style="bold"),
            spread,
            MISSING if row.replay_s is None else f"{row.replay_s:.2f}",
        )
    return table


def _lines(fits: Sequence[RecoveryFitRow]) -> Table:
    table = _table("slope", "in s per", "slope", "95 % interval", "at none", "points")
    generation = None
    for row in fits:
        if row.generation != generation:
            table.add_row(Text(row.generation, style="bold"))
            generation = row.generation
        interval = MISSING
        if row.slope_s is not None:
            interval = f"{number(row.slope_lower_s)} … {number(row.slope_upper_s)}"
        table.add_row(
            f"  {_FIGURES[row.figure]}",
            _PER[row.against],
            Text(number(row.slope_s), style="bold"),
            interval,
            seconds(row.at_zero_s),
            str(row.points),
        )
    return table


def _said(row: RecoveryFitRow) -> str:
    """What one line comes to, in a sentence."""
    head = f"{row.generation}, {_FIGURES[row.figure]} by {_SIZES[row.against]}: "
    if row.verdict == "no dependence seen":
        most = max(abs(row.slope_lower_s or 0.0), abs(row.slope_upper_s or 0.0))
        said = f"no dependence was seen (at most {number(most)} s per {_PER[row.against]}): nothing projected"
    elif row.verdict == "projected":
        low, high = size(row.against, row.reached_at_lower), size(row.against, row.reached_at_upper)
        said = (
            f"the published {number(row.published_recovery_s)} s would be reached at "
            f"{size(row.against, row.reached_at)} ({low} … {high}), projected"
        )
    else:
        said = "nothing projected"
    return head + "; ".join(filter(None, (said, row.note)))


def _notes(
    swept: Sequence[Swept], fits: Sequence[RecoveryFitRow], audits: Mapping[str, str], void: int
) -> list[RenderableType]:
    said = [_said(row) for row in fits if row.figure == "time_to_recover_s" or row.note]
    said += [f"{generation}: {text}" for generation, text in audits.items()]
    if any(row.median_censored or row.most_censored for row in swept):
        said.append("> is a lower bound: not recovered by the next fault, or by the end.")
    if void:
        said.append(f"Trials that were void, and are in no figure: {void} (trials.csv says why).")
    said.append(
        "Data is one copy's, before the load. A projected size is where the line measured here would come "
        "to; nothing says that it stays straight so far, or that a machine could hold so much."
    )
    return [
        Text("\nNotes", style="bold"),
        *(Text(textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ")) for text in said),
    ]


def _table(first: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(first, min_width=13, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table

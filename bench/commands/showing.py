"""The end of whatever measured: its run folder analysed and shown."""

import asyncio
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.commands.console import console_of, short
from bench.commands.driving import INTERRUPTED
from bench.errors import BenchError
from bench.project import PROJECT

if TYPE_CHECKING:
    from bench.analysis.analyse import Analysis
    from bench.evidence import Evidence, PublishedRow
    from bench.records import CapacityRow
    from bench.results import RunFolder


def show_and_end(results: Path, before: set[str], error: BaseException | None) -> None:
    """Show what was made since `before`, then raise what ended it."""
    made = [folder for folder in _folders(results) if folder.path.name not in before]
    if made:
        click.echo()
        show_report(results, made[-1])
    if isinstance(error, BenchError):
        raise error
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        click.echo("bench: interrupted; what was measured is kept", err=True)
        sys.exit(INTERRUPTED)
    if error is not None:
        raise error


def show_report(results: Path, folder: "RunFolder") -> None:
    """Analyse the run in `folder`, keep what was made of it there, and show it."""
    if folder.manifest().kind == "capacity":
        show_capacity_of(folder)
    else:
        show_analysis(*analysed(folder), folder)


def analysed(folder: "RunFolder") -> "tuple[Analysis, Evidence]":
    """What the analysis makes of the run in `folder`, which is kept there, and what it went by."""
    from bench.analysis.analyse import analyse
    from bench.results import read_published

    gc.disable()  # it looks through a million small arrays, none of which is in a circle: a third of the time
    try:
        evidence = folder.evidence()
        analysis = analyse(evidence, read_published(PROJECT / "results"))
    finally:
        gc.enable()
    folder.write_analysis(
        summary=analysis.summary,
        recovery=analysis.recovery,
        phases=analysis.phases,
        trials=analysis.trials,
    )
    return analysis, evidence


def show_analysis(analysis: "Analysis", evidence: "Evidence", folder: "RunFolder") -> None:
    """Print what is to be seen of a run; of a sweep, what it comes to, which is kept there."""
    from bench.report.terminal import render
    from bench.results import read_published

    if evidence.manifest.kind == "recovery":
        _show_sweep(folder, evidence, analysis, read_published(PROJECT / "results"))
        return
    console_of().print(render(analysis, short(folder.path)), crop=False)


def _show_sweep(
    folder: "RunFolder", evidence: "Evidence", analysis: "Analysis", published: "Sequence[PublishedRow]"
) -> None:
    from bench.analysis.sweep import alike, fits, points, summed
    from bench.report.sweep import audit_words, show_sweep

    data = points(evidence, analysis.recovery)
    lines = fits(alike(data), published)
    folder.write_sweep(data=data, fits=lines)
    audits = {headline.generation: audit_words(headline.losses) for headline in analysis.headlines}
    shown = show_sweep(evidence.manifest, summed(alike(data)), lines, audits, short(folder.path))
    console_of().print(shown, crop=False)


def show_capacity_of(folder: "RunFolder") -> "Sequence[CapacityRow]":
    """Analyse the search in `folder`, keep what was made of it there, and show it; the answers."""
    from bench.analysis.capacity import Search, answers
    from bench.plan import client_kind
    from bench.report.capacity import show_capacity

    manifest, trials = folder.manifest(), folder.capacity_trials()
    search = Search.of(folder.plan())
    found = [
        row
        for name in dict.fromkeys(trial.generation for trial in trials)
        for row in answers(search, name, trials, ceiling_per_s=manifest.ceilings_per_s.get(client_kind(name)))
    ]
    folder.write_capacity(found)
    console_of().print(show_capacity(manifest, search, found, trials, short(folder.path)), crop=False)
    return found


def _folders(results: Path) -> "list[RunFolder]":
    from bench.results import list_runs

    return list_runs(results)


def names(results: Path) -> set[str]:
    """The runs there are."""
    return {folder.path.name for folder in _folders(results)}

"""What a run looks like in a terminal: at most 80 columns, plain where it is piped.

Everything shown is in the Analysis given; nothing is computed here but the text.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.analysis.analyse import Analysis, Headline
from bench.analysis.audit import Losses
from bench.manifest import Trial
from bench.report.audit import audit_section
from bench.report.format import MISSING, count, number, seconds, share, times
from bench.report.prose import Heading, Sentence
from bench.report.prose import item as _item
from bench.report.prose import section as _section
from bench.report.recovery import recovery_section
from bench.report.roomy import Roomy
from bench.report.whole import Whole

COLUMNS = (
    ("tps", "TPS", "1/s", 9),
    ("response_p50_ms", "response", "p50 ms", 9),
    ("response_p99_ms", "response", "p99 ms", 9),
    ("delivery_p99_ms", "delivery", "p99 ms", 9),
    ("time_to_recover_s", "recovery", "s", 8),
    ("lost", "lost", "msgs", 5),
    ("cpu_us_per_transaction", "CPU", "µs/send", 7),
)
"""Figures of the closing table: name in the analysis, the two lines of the heading, least width.

The widths and the gaps between add up to 78; a figure is never cut, but folded where there is no room.
"""


def render(analysis: Analysis, folder: Path | None = None) -> RenderableType:
    """The end of a run: one table, and beneath it what one has to know to read it."""
    parts: list[RenderableType] = [*_ending(analysis)]
    parts.append(Roomy(partial(_table, analysis)) if analysis.headlines else Text("No trial was measured."))
    parts += _beneath(analysis)
    if folder is not None:
        parts += [Text(), Whole(str(folder))]
    return Group(*parts)


def _beneath(analysis: Analysis) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if analysis.headlines:
        parts += [*_slo(analysis), *audit_section(analysis), *recovery_section(analysis)]
    parts += _rest(analysis)
    parts += _verdicts(analysis)
    parts += _flaws(analysis)
    parts += _notes(analysis)
    return parts


def _ending(analysis: Analysis) -> list[RenderableType]:
    manifest = analysis.manifest
    if manifest.ended == "complete":
        return []
    words = {"interrupted": "Interrupted", "failed": "Failed", "running": "Not ended"}[manifest.ended]
    planned = "" if analysis.trials_planned is None else f" of {analysis.trials_planned}"
    text = (
        f"{words}: {manifest.reached or 'nothing was reached'} ({len(manifest.trials)}{planned} trials kept)"
    )
    if manifest.error:
        text += f"\n{manifest.error}"
    return [Text(text + "\n", style="bold red")]


def _table(analysis: Analysis, roomy: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    phase = "" if analysis.phase is None else f"{analysis.phase} phase"
    table.add_column(f"\n{phase}", min_width=15 if roomy else None, overflow="fold")
    for _, name, unit, width in COLUMNS:
        least = width if roomy else None
        table.add_column(f"{name}\n{unit}", justify="right", min_width=least, overflow="fold")
    first = analysis.headlines[0].generation
    for position, headline in enumerate(analysis.headlines):
        if position:
            table.add_row()
        mark = "" if headline.complete else " *"
        own_figures = [measured(headline, figure) for figure, *_ in COLUMNS]
        table.add_row(Text(headline.generation + mark, style="bold"), *own_figures)
        own, published, claimed = beside(analysis, headline.generation)
        if position:
            table.add_row(f"  × {first}", *own)
        table.add_row("  published", *published, style="dim")
        if position:
            table.add_row(f"  × {first}", *claimed, style="dim")
    return table


def measured(headline: Headline, figure: str) -> Text:
    """A generation's own figure, as the closing table shows it."""
    if figure == "lost":
        return _lost(headline.losses)
    value: float | None = getattr(headline, figure)
    if figure == "time_to_recover_s":
        text = seconds(value).removesuffix(" s")
        if headline.recovery_censored:
            return Text(f">{text}", style="bold red")
        return Text(text, style="bold")
    return Text(number(value), style="bold")


def _lost(losses: Losses | None) -> Text:
    if losses is None:
        return Text(MISSING)
    doubt = "?" if losses.verdict == "unknown" else ""
    return Text(count(losses.lost) + doubt, style="bold red" if losses.lost or doubt else "bold")


def beside(analysis: Analysis, generation: str) -> tuple[list[str], list[str], list[str]]:
    """The measured ratios, the published figures and their ratios, a cell for each column."""
    own, published, claimed = [], [], []
    for figure, *_ in COLUMNS:
        cell = analysis.cell(generation, figure)
        own.append(times(cell.measured_ratio if cell else None))
        published.append(number(cell.published if cell else None))
        claimed.append(times(cell.published_ratio if cell else None))
    return own, published, claimed


def _slo(analysis: Analysis) -> list[RenderableType]:
    said = ", ".join(f"{h.generation} {share(h.slo_share)}" for h in analysis.headlines)
    goal = f"(goal {share(analysis.slo_share)} of what is offered)"
    return [_section(f"Acknowledged within {number(analysis.slo_response_ms)} ms {goal}"), _item(said)]


def _rest(analysis: Analysis) -> list[RenderableType]:
    """Trials that had not come to rest, or whose warm-up reached into what was measured."""
    begins_s = {
        phase.name: phase.start_s for trial in analysis.manifest.trials for phase in trial.phases
    }.get(analysis.phase or "")
    lines = []
    for trial in analysis.trials:
        head = f"{trial.generation} trial {trial.trial}: "
        if trial.status != "complete":
            continue
        if trial.steady_state == "no_steady_state":
            lines.append(_item(f"{head}no steady state: {trial.steady_reason}"))
        elif trial.steady_state == "unknown":
            lines.append(_item(f"{head}steady or not is unknown: {trial.steady_reason}"))
        elif begins_s is not None and trial.steady_from_s is not None and trial.steady_from_s > begins_s:
            lines.append(
                _item(
                    f"{head}steady from {seconds(trial.steady_from_s)} on; the warm-up before is in the "
                    f"figures, which begin at {seconds(begins_s)}"
                )
            )
    if not lines and any(trial.status == "complete" for trial in analysis.trials):
        lines = [_item("all trials, from its beginning")]
    return [_section(f"Steady state of the {analysis.phase} phase"), *lines] if lines else []


def _verdicts(analysis: Analysis) -> list[RenderableType]:
    """How far the figures are the system's, a line a generation; nothing where no trial was judged."""
    lines: list[RenderableType] = []
    for headline in analysis.headlines:
        judged = [t for t in analysis.trials if t.generation == headline.generation and t.verdict]
        kept = [trial for trial in judged if trial.status != "void"]
        if not judged:
            continue
        text = f"{headline.generation}: {len(kept)} of {len(judged)} trials"
        if kept:
            text += f" sut-bound ({kept[0].verdict_reason})"
        else:
            text += " to be believed: no figure"
        lines.append(_item(text))
    if lines and not analysis.manifest.ceilings_per_s:
        lines.append(_item("The generator was not calibrated: what it could reach here is not known."))
    return (
        [_section("Whether the figures are the system's, and not the generator's"), *lines] if lines else []
    )


def _flaws(analysis: Analysis) -> list[RenderableType]:
    lines = [_item(_flaw(trial)) for trial in analysis.flawed]
    return [_section("Trials that are not complete (*: no complete one)"), *lines] if lines else []


def _flaw(trial: Trial) -> str:
    text = f"{trial.generation} trial {trial.trial}"
    if trial.retry_of is not None:
        text += f" (again trial {trial.retry_of})"
    text += f": {trial.status}"
    if trial.status == "void" and trial.verdict is not None:
        text += f", {trial.verdict.replace('_', '-')}: {trial.verdict_reason}"
    return text + (f": {trial.detail}" if trial.detail else "")


def _notes(analysis: Analysis) -> list[RenderableType]:
    notes = []
    if any(cell.published is not None for cell in analysis.cells):
        notes.append(
            f"One machine, {analysis.manifest.host.cores} cores: the published figures are of clusters, and "
            "untestable here; only the ratios between generations are put beside theirs."
        )
    if analysis.closed_loop:
        notes.append(
            "Closed loop: people waited for answers before they asked again, so a slow system was asked "
            "less. TPS follows from response and think time, and no response time counts a wait to ask."
        )
    elif analysis.headlines and all(headline.carried for headline in analysis.headlines):
        notes.append("TPS is the load that was offered, all of it carried: it is no capacity.")
    if any(headline.trials == 1 for headline in analysis.headlines):
        notes.append("One trial of a generation says nothing of how far the next would be from it.")
    return [_section("Notes"), *(_item(note) for note in notes)] if notes else []


@dataclass(frozen=True, slots=True)
class Section:
    """What stands beneath the closing table: a heading and sentences; a page says the same."""

    heading: str
    sentences: tuple[str, ...]


def sections(analysis: Analysis) -> list[Section]:
    """Everything beneath the closing table, in its order."""
    found: list[Section] = []
    for part in _beneath(analysis):
        if isinstance(part, Heading):
            found.append(Section(part.said, ()))
        elif isinstance(part, Sentence):
            found[-1] = replace(found[-1], sentences=(*found[-1].sentences, part.said))
    return found

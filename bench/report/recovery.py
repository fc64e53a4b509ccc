"""What a run says of recovery in a terminal: one table of all faults, and a few words on each beneath it."""

from collections.abc import Iterable, Sequence
from functools import partial

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.analysis.analyse import Analysis
from bench.analysis.incidents import Cost, Incident
from bench.analysis.median import FEWEST_FOR_INTERVAL, Interval
from bench.report.format import MISSING, count, seconds, share
from bench.report.prose import item, section
from bench.report.roomy import Roomy

COLUMNS = (
    ("well", "of n", 5),
    ("machine", "s", 7),
    ("+ human", "s", 7),
    ("95 %", "s", 12),
    ("caught", "up, s", 6),
    ("late", "sends", 6),
    ("clients", "touched", 7),
)
"""The two lines of each heading and its least width; with the names before and the gaps between 80."""
NAMES_WIDTH = 23


def recovery_section(analysis: Analysis) -> list[RenderableType]:
    """The section on recovery; nothing where nothing was injected."""
    if not analysis.incidents:
        return []
    return [
        section("Recovery, in seconds after the confirmed injection (medians)"),
        Roomy(partial(_table, analysis.incidents)),
        Text(),
        *_words(analysis.incidents),
    ]


def _table(incidents: Sequence[Incident], roomy: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    table.add_column("", min_width=NAMES_WIDTH if roomy else None, overflow="fold")
    for name, unit, width in COLUMNS:
        least = width if roomy else None
        table.add_column(f"{name}\n{unit}", justify="right", min_width=least, overflow="fold")
    generation = None
    for incident in incidents:
        if incident.generation != generation:
            generation = incident.generation
            table.add_row(Text(generation, style="bold"))
        style = "dim" if incident.is_control else ""
        table.add_row(f"  {name_of(incident)}", *cells(incident), style=style)
    return table


def name_of(incident: Incident) -> str:
    """The fault's kind and node."""
    return "control (no fault)" if incident.is_control else f"{incident.kind} {incident.node}".rstrip()


def cells(incident: Incident) -> Iterable[Text]:
    """One incident's cells, in the order of COLUMNS."""
    told = incident.injections - incident.unknown
    well = incident.recovered + incident.unharmed
    missed = "bold red" if well < told else ""
    yield Text(f"{well}/{incident.injections}", style=missed)
    shown = _at_least if incident.censored else _time
    yield shown(incident.machine_after_s)
    yield shown(incident.recovered_after_s)
    yield Text(_interval(incident.interval) if told >= FEWEST_FOR_INTERVAL else f"n < {FEWEST_FOR_INTERVAL}")
    caught_up_s = incident.caught_up_after_s
    yield Text("never") if told and caught_up_s is None else _time(caught_up_s)
    late = incident.cost.lost_goodput_messages
    yield Text(MISSING if late is None else count(round(late)))
    yield Text(share(incident.cost.touched_ratio))


def _time(after_s: float | None) -> Text:
    return Text(MISSING if after_s is None else _seconds(after_s))


def _at_least(after_s: float | None) -> Text:
    return Text(MISSING if after_s is None else f"> {_seconds(after_s)}", style="bold red")


def _seconds(value: float | None) -> str:
    return seconds(value).removesuffix(" s")


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return MISSING
    high = "never" if interval.high == float("inf") else _seconds(interval.high)
    return "never" if interval.low == float("inf") else f"{_seconds(interval.low)}–{high}"


def _words(incidents: Sequence[Incident]) -> list[RenderableType]:
    """A paragraph for each fault with something to say, then the floors, then what the columns are."""
    lines = [item(text) for incident in incidents if (text := _story(incident))]
    floors = {one.generation: one.floor for one in incidents if one.floor is not None}
    lines += [item(f"{name}, floor (worst control): {_floor(floor)}") for name, floor in floors.items()]
    notes = "n: injections, over all trials; well: recovered, or never ill. "
    notes += "+ human: with the operator's noticing and deciding. "
    if any(one.interval is not None for one in incidents):
        covered = sorted({one.interval.coverage for one in incidents if one.interval is not None})
        said = " and ".join(f"{coverage:.1%}".replace("%", " %") for coverage in covered)
        notes += f"95 %: order statistics around the median of + human; they cover it with {said}. "
    else:
        notes += f"An interval takes {FEWEST_FOR_INTERVAL} injections. "
    notes += "Touched: a send failed or was late, or the connection was lost."
    return [*lines, item(notes)]


def _story(incident: Incident) -> str:
    told = incident.injections - incident.unknown
    parts = []
    if incident.unharmed and not incident.is_control:
        parts.append(f"no impact in {incident.unharmed} of {told}")
    if incident.recovered + incident.unharmed < told:
        parts.append(f"{incident.recovered + incident.unharmed} of {told} recovered")
    if incident.unknown:
        parts.append(f"{incident.unknown} unknown")
    if incident.recovered or incident.recovered + incident.unharmed < told:
        parts += _steps(incident, told)
    if incident.relapses:
        parts.append(f"{incident.relapses} relapse{'s' if incident.relapses > 1 else ''}")
    if incident.within_floor:
        parts.append(f"not above the floor: {', '.join(incident.within_floor)}")
    if incident.detail:
        parts.append(incident.detail)
    if not parts:
        return ""
    name = "control" if incident.is_control else name_of(incident)
    exact = "" if incident.resolution_s is None else f" (± {seconds(incident.resolution_s)})"
    return f"{incident.generation}, {name}{exact}: {'; '.join(parts)}"


def _steps(incident: Incident, told: int) -> list[str]:
    """What happened, by time; with after how many of the injections, where not after all that are told."""
    steps = []
    for step in incident.steps:
        name = step.phase + (" by the operator" if step.by_operator else "")
        some = f" ({step.injections} of {told})" if step.injections < told else ""
        steps.append((step.after_s, f"{name} {seconds(step.after_s)}{some}"))
    measured = (("impact", incident.impact_after_s), ("first success", incident.first_success_after_s))
    steps += [(after_s, f"{name} {seconds(after_s)}") for name, after_s in measured if after_s is not None]
    return [text for _, text in sorted(steps)]


def _floor(floor: Cost) -> str:
    never = floor.time_to_recover_s == float("inf")
    recovered = "never recovered" if never else f"recovered in {seconds(floor.time_to_recover_s)}"
    late = count(round(floor.lost_goodput_messages or 0))
    ill = seconds(floor.unhealthy_s)
    return f"{recovered}, {ill} ill, {late} late, {share(floor.touched_ratio)} touched"

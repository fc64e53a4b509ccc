"""Shows a plan before it is run: offered load, people, what will be killed when, how long it takes."""

import textwrap

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.load.pacer import Offered
from bench.load.population import Population, crossing, populate
from bench.load.population.moments import moments
from bench.plan import Plan, PlannedStage
from bench.report.format import count, number
from bench.report.format import share as percent
from bench.report.planned_faults import fault_marks, fault_table
from bench.scale import FULL_SCALE_PEOPLE

CURVE_COLUMNS = 60
CURVE_ROWS = 6
CREWS = (2, 4)
"""For how many workers it is said how much crosses them."""
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def offered_curve(plan: Plan, columns: int = CURVE_COLUMNS) -> list[float]:
    """Mean offered rate per second in each of `columns` equal slices of the stages."""
    edges_s = np.linspace(0, plan.load_s, columns + 1)
    counts = Offered.of(plan.stages).count_until(edges_s)
    return [float(rate) for rate in np.diff(counts) / np.diff(edges_s)]


def show_plan(plan: Plan) -> RenderableType:
    """The whole plan and its people, 80 columns wide."""
    parts: list[RenderableType] = [
        Text(f"{plan.name}: {plan.description}" if plan.description else plan.name)
    ]
    parts += [Text(), _closed(plan) if plan.loop == "closed" else _curve(plan)]
    parts += [Text(), _stages(plan), Text(), _facts(plan)]
    if plan.faults:
        parts += [Text(), fault_table(plan)]
    parts += [Text(), *_people(plan)]
    parts += [
        Text(),
        Text(f"Estimated: {_minutes(plan.estimate_s)} for {len(plan.trials)} trials, once set up."),
    ]
    return Group(*parts)


def crossing_line(plan: Plan, workers: int, population: Population | None = None) -> str:
    """How much of what is sent needs the clocks of two workers; the plan's people are made if not given."""
    crossed = crossing(population or populate(plan), plan, plan.seed, workers)
    return f"{workers} workers: {percent(crossed)} of the messages cross from one to another"


def _what(plan: Plan) -> str:
    """What is asked for, in one word."""
    return "sends" if set(plan.mix) == {"send"} else "operations"


def _closed(plan: Plan) -> Text:
    think_s = plan.think_s or 0.0
    most = f"at most {number(plan.clients / think_s)} {_what(plan)}/s" if think_s else "no bound on the rate"
    said = (
        f"Closed loop: each of {count(plan.clients)} people thinks for {think_s:g} s in the mean "
        f"(exponential), asks, waits for the answer, and thinks again: {most}, less the slower the system."
    )
    return Text(textwrap.fill(said, 80))


def _curve(plan: Plan) -> Text:
    rates = offered_curve(plan)
    top = max(rates) or 1.0
    lines = [f"offered load, {_what(plan)}/s ({plan.arrivals} arrivals)"]
    for row in range(CURVE_ROWS, 0, -1):
        cells = [min(max(rate / top * CURVE_ROWS - (row - 1), 0.0), 1.0) for rate in rates]
        label = f"{top * row / CURVE_ROWS:7,.0f}" if row in {CURVE_ROWS, CURVE_ROWS // 2} else " " * 7
        lines.append(f"{label} ┤" + "".join(_EIGHTHS[round(cell * 8)] for cell in cells).rstrip())
    axis = ["─"] * CURVE_COLUMNS
    for stage in plan.stages[1:]:
        axis[_column(plan, stage.start_s)] = "┬"
    lines.append(f"{0:7} └" + "".join(axis))
    names = " " * CURVE_COLUMNS
    for stage in sorted(plan.stages, key=lambda stage: stage.start_s - stage.end_s):  # the longest are named
        at = _column(plan, stage.start_s)
        if not names[max(at - 1, 0) : at + len(stage.name)].strip() and at + len(stage.name) <= CURVE_COLUMNS:
            names = names[:at] + stage.name + names[at + len(stage.name) :]
    lines.append(" " * 9 + names.rstrip())
    marks = fault_marks(plan, CURVE_COLUMNS, lambda at_s: _column(plan, at_s))
    lines += [" " * 9 + line for line in marks]
    end = f"{plan.load_s:g} s"
    lines.append(" " * 9 + "0 s" + " " * (CURVE_COLUMNS - 3 - len(end)) + end)
    return Text("\n".join(lines))


def _column(plan: Plan, t_s: float) -> int:
    return min(int(t_s / plan.load_s * CURVE_COLUMNS), CURVE_COLUMNS - 1)


def _stages(plan: Plan) -> Table:
    table = _table(("stage", "left"), ("kind", "left"), ("from s", "right"), ("to s", "right"))
    is_open = plan.loop == "open"
    if is_open:
        table.add_column(f"{_what(plan)}/s", justify="right")
        table.add_column("mean", justify="right")
        table.add_column("arrivals", justify="right")
    for stage in plan.stages:
        mean_per_s = stage.arrivals / (stage.end_s - stage.start_s)
        offered = (_rates(stage), number(mean_per_s), f"{stage.arrivals:,.0f}") if is_open else ()
        table.add_row(stage.name, stage.kind, f"{stage.start_s:g}", f"{stage.end_s:g}", *offered)
    return table


def _rates(stage: PlannedStage) -> str:
    """`150`, `100 → 200` of a straight line, `50…460` of any other shape."""
    if len(stage.knots) > 2:
        return f"{number(min(rate for _, rate in stage.knots))}…{number(stage.peak_per_s)}"
    rate = f"{stage.rate_per_s:,.10g}"
    return rate if stage.end_rate_per_s == stage.rate_per_s else f"{rate} → {stage.end_rate_per_s:,.10g}"


def _facts(plan: Plan) -> Table:
    table = Table.grid(padding=(0, 2))
    mix = sorted(plan.mix.items(), key=lambda part: -part[1])
    per_trial = sum(stage.arrivals for stage in plan.stages)
    facts = [
        ("generations", ", ".join(plan.generations)),
        ("trials", f"{len(plan.trials)}, in the order {', '.join(t.generation for t in plan.trials)}"),
        ("connections", f"{plan.clients:,} people, {plan.login_rate_per_s:g} logins/s"),
        ("mix", ", ".join(f"{ratio * 100:g} % {name}" for name, ratio in mix)),
    ]
    if plan.loop == "closed":
        facts.append(("in flight", f"one a person; after {plan.timeout_s:g} s unanswered they go on"))
    else:
        facts.append(("arrivals", f"{per_trial:,.0f} a trial, {per_trial * len(plan.trials):,.0f} in all"))
        facts.append(("in flight", f"at most {plan.max_in_flight:,}; beyond it an arrival is shed"))
    goal = f"goal {plan.slo.share * 100:.4g} % of offered"
    facts += [
        ("on time", f"acknowledged within {plan.slo.response_ms:g} ms; {goal}"),
        ("drain", f"until {_quiet(plan)} of quiet, at most {plan.drain_limit_s:g} s"),
        ("digest", plan.digest[:16]),
    ]
    for name, value in facts:
        table.add_row(name, value)
    return table


def _people(plan: Plan) -> list[RenderableType]:
    population = populate(plan)
    table = _table(("population", "left"), ("aim", "right"), ("here", "right"), ("", "left"))
    for moment in moments(population, plan):
        table.add_row(moment.name, number(moment.target), number(moment.measured), moment.unit)
    parts: list[RenderableType] = [table]
    crews = [workers for workers in CREWS if workers <= plan.clients]
    lines = [crossing_line(plan, workers, population) for workers in crews]
    if plan.clients < FULL_SCALE_PEOPLE:
        lines.append(
            f"scaled down: below {count(FULL_SCALE_PEOPLE)} people contacts are fewer and groups smaller"
        )
    parts += [Text(line) for line in lines]
    return parts


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, justify in columns:
        table.add_column(name, justify="right" if justify == "right" else "left")
    return table


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _quiet(plan: Plan) -> str:
    """For how long nothing may have arrived when the audit gives its verdict."""
    return "10 s or 3 × p99.9" if plan.drain_quiet_s is None else f"{plan.drain_quiet_s:g} s"

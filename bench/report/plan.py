"""Shows a plan before it is run: offered load, people, what will be killed when, how long it takes."""

from collections.abc import Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.plan import Plan

CURVE_COLUMNS = 60
CURVE_ROWS = 6
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def offered_curve(plan: Plan, columns: int = CURVE_COLUMNS) -> list[float]:
    """Mean offered rate per second in each of `columns` equal slices of the stages."""
    edges = np.linspace(0, plan.load_s, columns + 1)
    times = [stage.start_s for stage in plan.stages] + [plan.load_s]
    cumulative = np.zeros(len(edges))
    for start, end, stage in zip(times, times[1:], plan.stages, strict=False):
        inside = np.clip(edges, start, end) - start
        slope = (stage.end_rate_per_s - stage.rate_per_s) / (end - start)
        cumulative += stage.rate_per_s * inside + slope * inside**2 / 2
    return [float(rate) for rate in np.diff(cumulative) / np.diff(edges)]


def show_plan(plan: Plan) -> RenderableType:
    """The whole plan, 80 columns wide."""
    parts: list[RenderableType] = [
        Text(f"{plan.name}: {plan.description}" if plan.description else plan.name)
    ]
    parts += [Text(), _curve(plan), Text(), _stages(plan), Text(), _facts(plan)]
    if plan.faults:
        parts += [Text(), _faults(plan)]
    parts += [
        Text(),
        Text(f"Estimated: {_minutes(plan.estimate_s)} for {len(plan.trials)} trials, once set up."),
    ]
    return Group(*parts)


def _curve(plan: Plan) -> Text:
    rates = offered_curve(plan)
    top = max(rates) or 1.0
    lines = [f"offered load, sends/s ({plan.arrivals} arrivals)"]
    for row in range(CURVE_ROWS, 0, -1):
        cells = [min(max(rate / top * CURVE_ROWS - (row - 1), 0.0), 1.0) for rate in rates]
        label = f"{top * row / CURVE_ROWS:7,.0f}" if row in {CURVE_ROWS, CURVE_ROWS // 2} else " " * 7
        lines.append(f"{label} ┤" + "".join(_EIGHTHS[round(cell * 8)] for cell in cells).rstrip())
    lines.append(" " * 8 + "└" + "─" * CURVE_COLUMNS)
    marks = [" "] * CURVE_COLUMNS
    for at_s in {fault.inject_s for fault in plan.faults}:
        marks[min(int(at_s / plan.load_s * CURVE_COLUMNS), CURVE_COLUMNS - 1)] = "✗"
    if plan.faults:
        lines.append(" " * 9 + "".join(marks).rstrip() + "  fault")
    end = f"{plan.load_s:g} s"
    lines.append(" " * 9 + "0 s" + " " * (CURVE_COLUMNS - 3 - len(end)) + end)
    return Text("\n".join(lines))


def _stages(plan: Plan) -> Table:
    table = _table(("stage", "left"), ("kind", "left"), ("from s", "right"), ("to s", "right"))
    table.add_column("sends/s", justify="right")
    table.add_column("arrivals", justify="right")
    for stage in plan.stages:
        rate = f"{stage.rate_per_s:,.10g}"
        if stage.end_rate_per_s != stage.rate_per_s:
            rate += f" → {stage.end_rate_per_s:,.10g}"
        table.add_row(
            stage.name, stage.kind, f"{stage.start_s:g}", f"{stage.end_s:g}", rate, f"{stage.arrivals:,.0f}"
        )
    return table


def _facts(plan: Plan) -> Table:
    table = Table.grid(padding=(0, 2))
    per_trial = sum(stage.arrivals for stage in plan.stages)
    facts: Sequence[tuple[str, str]] = (
        ("generations", ", ".join(plan.generations)),
        ("trials", f"{len(plan.trials)}, in the order {', '.join(t.generation for t in plan.trials)}"),
        ("connections", f"{plan.clients:,} people, {plan.login_rate_per_s:g} logins/s"),
        ("arrivals", f"{per_trial:,.0f} a trial, {per_trial * len(plan.trials):,.0f} in all"),
        ("in flight", f"at most {plan.max_in_flight:,}; beyond it an arrival is shed"),
        (
            "on time",
            f"acknowledged within {plan.slo.response_ms:g} ms; goal {plan.slo.share * 100:.4g} % of offered",
        ),
        ("drain", f"until {plan.drain_quiet_s:g} s of quiet, at most {plan.drain_limit_s:g} s"),
        ("digest", plan.digest[:16]),
    )
    for name, value in facts:
        table.add_row(name, value)
    return table


def _faults(plan: Plan) -> Table:
    table = _table(("generation", "left"), ("fault", "left"), ("node", "left"), ("at s", "right"))
    table.add_column("healed", justify="left")
    for fault in plan.faults:
        if fault.heal_s is None:
            healed = "by the generation itself"
        elif fault.kind == "pause":
            healed = f"goes on at {fault.heal_s:g} s"
        else:
            healed = f"restarted at {fault.heal_s:g} s"
        table.add_row(fault.generation, fault.kind, fault.node, f"{fault.inject_s:g}", healed)
    return table


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, justify in columns:
        table.add_column(name, justify="right" if justify == "right" else "left")
    return table


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"

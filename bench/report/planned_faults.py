"""A plan's faults: their marks under its curve, and a table of moments, kinds and nodes, 80 columns wide.

Shown are those of the first trial; the others are struck by the same faults, drawn anew.
"""

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.generations import FaultKind
from bench.plan import Plan, PlannedFault

Column = Callable[[float], int]
"""Which column of the curve a moment stands in."""


def fault_marks(plan: Plan, columns: int, column: Column) -> list[str]:
    """A line a kind, its name to the right of `columns`: ✗ where one strikes, ─ until it is healed."""
    lines = []
    faults = _first_trial(plan)
    for kind in dict.fromkeys(fault.kind for fault in faults):
        marks = [" "] * columns
        own = [fault for fault in faults if fault.kind == kind]
        for fault in own:
            heal_s = fault.inject_s if fault.heal_s is None else min(fault.heal_s, plan.load_s)
            for at in range(column(fault.inject_s), column(heal_s) + 1):
                marks[at] = "─" if marks[at] == " " else marks[at]
        for fault in own:
            marks[column(fault.inject_s)] = "✗"
        lines.append("".join(marks) + f" {words(kind)}")
    return lines


def fault_table(plan: Plan) -> RenderableType:
    """A row a moment and kind, a column a generation, and what is to be known to read them."""
    names = [name for name in plan.generations if plan.faults_of(name, 1)]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("at s", justify="right")
    table.add_column("fault", no_wrap=True)
    for name in names:
        table.add_column(name, overflow="fold")
    for (at_s, kind, _), struck in sorted(_by_moment(plan, names).items()):
        cells = [_cell(struck[name]) if name in struck else "" for name in names]
        detail = _detail(next(iter(struck.values())))
        table.add_row(f"{at_s:.1f}", f"{words(kind)}{detail}", *cells)
    return Group(table, *(Text(line) for line in _legend(plan)))


def words(kind: FaultKind) -> str:
    """The kind as people say it."""
    return {"none": "control", "full_disk": "full disk", "clock_jump": "clock jump"}.get(kind, kind)


def _first_trial(plan: Plan) -> Sequence[PlannedFault]:
    return sorted(
        (fault for fault in plan.faults if fault.trial == 1), key=lambda fault: (fault.inject_s, fault.kind)
    )


def _by_moment(
    plan: Plan, names: Sequence[str]
) -> dict[tuple[float, FaultKind, int], dict[str, PlannedFault]]:
    """Those of all generations that strike at one moment; the number tells apart several of one kind."""
    found: dict[tuple[float, FaultKind, int], dict[str, PlannedFault]] = {}
    for name in names:
        seen: dict[tuple[float, FaultKind], int] = {}
        for fault in plan.faults_of(name, 1):
            moment = fault.inject_s, fault.kind
            seen[moment] = seen.get(moment, 0) + 1
            found.setdefault((*moment, seen[moment]), {})[name] = fault
    return found


def _cell(fault: PlannedFault) -> str:
    """Who is struck, and how long after it is healed: `api-1 +5 s`; `self` where the generation does it."""
    if fault.kind == "none":
        return "nobody"
    if fault.kind == "reconnect":
        return "everybody"
    nodes = ", ".join(fault.nodes)
    if fault.kind == "restart":
        return nodes
    return f"{nodes} self" if fault.heal_s is None else f"{nodes} +{fault.heal_s - fault.inject_s:.4g} s"


def _detail(fault: PlannedFault) -> str:
    if fault.link is not None:
        link = fault.link
        latency = f" {link.latency_s * 1000:g} ms" if link.latency_s else ""
        loss = f" {link.loss_ratio * 100:g} %" if link.loss_ratio else ""
        bandwidth = "" if link.bytes_per_s is None else f" {link.bytes_per_s * 8e-6:g} Mbit/s"
        return f"{latency}{loss}{bandwidth}"
    return "" if fault.jump_s is None else f" {fault.jump_s:+g} s"


def _legend(plan: Plan) -> list[str]:
    lines = []
    human_s = plan.operator_notice_s + plan.operator_decide_s
    if any(fault.heal_s is not None and fault.kind != "restart" for fault in plan.faults):
        lines.append("+ s: so long after, it is healed, or started again by the operator")
    if human_s and any(fault.human_s for fault in plan.faults):
        lines.append(f"of which the operator takes {human_s:g} s to notice and decide")
    if any(fault.kind == "kill" and fault.heal_s is None for fault in plan.faults):
        lines.append("self: the generation starts it again by itself")
    most = max(trial.trial for trial in plan.trials)
    if most > 1:
        others = "trial 2 has" if most == 2 else f"trials 2 to {most} have"
        lines.append(f"of trial 1; {others} these faults at moments of their own")
    return lines

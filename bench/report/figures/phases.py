"""When what happened after a fault: every trial a dot, the median named, on one axis for all generations."""

from collections.abc import Sequence

import numpy as np

from bench.records import RecoveryRow
from bench.report.figures.fault import MOMENTS
from bench.report.figures.figure import Figure, Spec, Table, across, chart, cut, layer, panels
from bench.report.format import MISSING, seconds

ROW_PX = 24
TICKS_S = [0, 0.1, 0.5, 1, 2, 5, 10, 20, 40, 60, 120, 300, 600, 1200, 3600]


def phases(rows: Sequence[RecoveryRow]) -> Figure | None:
    """The moments of all faults whose injection is known; None where there is none."""
    told = [row for row in rows if row.injected_s is not None and row.outcome != "unknown"]
    if not told:
        return None
    dots = [one for row in told for one in _dots(row)]
    named = [one for one in MOMENTS if any(dot["moment"] == one[1] for dot in dots)]
    faults = list(dict.fromkeys((row.generation, f"{row.kind} {row.node}") for row in told))
    latest_s = max((dot["after"] for dot in dots), default=1.0)
    middles = [_middle(dots, generation, what, name) for generation, what in faults for _, name in named]
    middles = [one for one in middles if one]
    order = [name for _, name in named]
    y = {
        "field": "moment",
        "type": "nominal",
        "sort": order,
        "scale": {"domain": order},
        "axis": {"title": None, "minExtent": 92, "maxExtent": 92, "grid": True},
    }
    x = across(
        "after",
        "seconds after the confirmed injection (square-root axis)",
        stack=None,
        scale={"type": "sqrt", "domain": [0, latest_s * 1.15 or 1.0], "nice": False},
        axis={"grid": True, "values": TICKS_S, "format": "~g"},
    )
    generations = list(dict.fromkeys(generation for generation, _ in faults))
    charts = [_panel(f"{generation}: {what}", generations, order, x, y) for generation, what in faults]
    return Figure(
        name="recovery-phases",
        title="Recovery, moment by moment",
        caption=(
            "Each dot is one trial's fault, each bar the median. Detected is the system's own word; first "
            "success, restored and caught up are what its users saw, to a bin; a moment that never came has "
            "no dot. Machine time: no human's delay is in it."
        ),
        spec=panels(*charts, data={"dot": dots, "middle": middles}, beside_px=124),
        table=_table(told, [one for one in MOMENTS if one in named]),
    )


def _panel(fault: str, generations: Sequence[str], order: Sequence[str], x: Spec, y: Spec) -> Spec:
    own = {"transform": [{"filter": {"field": "fault", "equal": fault}}]}
    colour = {
        "field": "generation",
        "type": "nominal",
        "scale": {"domain": list(generations)},
        "legend": None,
    }
    tip = [{"field": "moment"}, {"field": "after", "title": "s after the injection"}, {"field": "trial"}]
    bars = layer(
        "middle", {"type": "bar", "opacity": 0.85, "size": 9, "cornerRadiusEnd": 2}, x=x, y=y, color=colour
    )
    dots = layer(
        "dot", {"type": "point", "style": "trial", "filled": True, "size": 28}, x=x, y=y, tooltip=tip
    )
    names = layer(
        "middle",
        {"type": "text", "style": "bar-name", "align": "left", "dx": 9, "clip": False},
        x={**x, "field": "end"},
        y=y,
        text={"field": "said", "type": "nominal"},
    )
    return chart(fault, ROW_PX * len(order), [{**one, **own} for one in (bars, dots, names)])


def _middle(dots: Sequence[Spec], generation: str, what: str, moment: str) -> Spec:
    """The bar of one moment; empty where it never came."""
    fault = f"{generation}: {what}"
    own = [dot["after"] for dot in dots if (dot["fault"], dot["moment"]) == (fault, moment)]
    if not own:
        return {}
    middle = float(np.median(own))
    named = {"fault": fault, "generation": generation, "moment": moment, "said": seconds(middle)}
    return {**named, "after": cut(middle), "end": max(own)}


def _dots(row: RecoveryRow) -> list[Spec]:
    found = []
    for column, name in MOMENTS:
        t_s = getattr(row, column, None)
        if t_s is not None and row.injected_s is not None:
            found.append(
                {
                    "fault": f"{row.generation}: {row.kind} {row.node}",
                    "generation": row.generation,
                    "trial": row.trial,
                    "moment": name,
                    "after": cut(max(t_s - row.injected_s, 0.0)),
                }
            )
    return found


def _table(rows: Sequence[RecoveryRow], named: Sequence[tuple[str, str]]) -> Table:
    def after(row: RecoveryRow, column: str) -> str:
        t_s = getattr(row, column, None)
        return MISSING if t_s is None or row.injected_s is None else seconds(max(t_s - row.injected_s, 0.0))

    return Table(
        ("after the injection", *(name for _, name in named), "outcome"),
        tuple(
            (
                f"{row.generation} trial {row.trial}, {row.kind} {row.node}",
                *(after(row, column) for column, _ in named),
                row.outcome,
            )
            for row in rows
        ),
    )

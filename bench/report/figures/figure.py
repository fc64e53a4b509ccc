"""A figure, and the few words of Vega-Lite that all of them are written in.

A specification says nothing of colours but by the names of `palette.py`, and nothing of widths: both are
the page's, which is light or dark, wide or narrow.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]
"""A piece of a Vega-Lite specification: JSON, whose grammar is that library's."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
WIDTH = 720
"""Of a static figure's panels, in pixels."""
DIGITS = 4
SECONDS = "seconds since the trial's first stage began"


@dataclass(frozen=True, slots=True)
class Table:
    """What a figure says, for those who read: cells are text, the first heads its row."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """`name` is a file's stem and an anchor. `caption` says what it shows and how that was measured."""

    name: str
    title: str
    caption: str
    spec: Spec
    table: Table | None = None
    zooms: bool = False


def panels(
    *charts: Spec,
    data: Mapping[str, Sequence[Spec]],
    params: Sequence[Spec] = (),
    beside_px: int = 76,
) -> Spec:
    """Charts one below the other; `data` are their rows, by the names by which they say what they draw.

    `beside_px` is what axis and margins take of a panel's width.
    """
    return {
        "$schema": SCHEMA,
        "usermeta": {"beside_px": beside_px},
        "datasets": {name: list(rows) for name, rows in data.items()},
        "params": list(params),
        "vconcat": list(charts),
        "spacing": 18,
    }


def chart(title: str, height: int, layers: Iterable[Spec], **more: Any) -> Spec:
    """One panel. Its title stands above it and says what is up its side, which a turned label would hide."""
    clipped = [{**one, "mark": {"clip": True, **one["mark"]}} for one in layers]
    return {"title": title, "width": WIDTH, "height": height, "layer": clipped, **more}


def over(title: str, height: int, layers: Iterable[Spec], *, axis: str | None = None) -> Spec:
    """A panel over time; only a figure's last one names its axis, and they all have the same one."""
    return chart(title, height, (_on_axis(one, axis) for one in layers))


def _on_axis(one: Spec, axis: str | None) -> Spec:
    encoding = one["encoding"]
    if "x" not in encoding:
        return one
    return {**one, "encoding": {**encoding, "x": {**encoding["x"], "axis": {"title": axis}}}}


def layer(data: str, mark: Spec, **encoding: Any) -> Spec:
    """Marks of one of the figure's tables of rows."""
    return {"data": {"name": data}, "mark": mark, "encoding": encoding}


def moment(field: str) -> Spec:
    """A moment along x, on an axis that ends where the figure's parameters `from` and `to` say: its zoom."""
    ends = {"domain": [{"expr": "from"}, {"expr": "to"}], "nice": False, "zero": False}
    return {"field": field, "type": "quantitative", "scale": ends}


def zoom(start_s: float, end_s: float) -> list[Spec]:
    """The parameters that `moment` goes by, the whole to begin with; and `panel`, a panel's width."""
    ends = [{"name": "from", "value": cut(start_s)}, {"name": "to", "value": cut(end_s)}]
    return [*ends, {"name": "panel", "value": WIDTH}]


def across(field: str, title: str, **more: Any) -> Spec:
    """A quantity along x."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def up(field: str, **more: Any) -> Spec:
    """A quantity along y, of which the panel's title tells."""
    return {"field": field, "type": "quantitative", "title": None, **more}


def logarithmic(values: Iterable[float | None]) -> Spec:
    """A scale by the logarithm that holds these, in whole decades, so that two figures compare."""
    given = [value for value in values if value is not None and value > 0]
    if not given:
        return {"type": "log", "domain": [1, 10]}
    low, high = math.floor(math.log10(min(given))), math.ceil(math.log10(max(given)) + 1e-9)
    return {"type": "log", "domain": [10.0**low, 10.0 ** max(high, low + 1)], "nice": False}


DECADES = {"values": [10.0**n for n in range(-3, 9)], "tickCount": 20, "format": ",~g", "grid": True}
"""The axis of a logarithmic scale: a line a decade."""


def cut(value: float) -> float | None:
    """The value at four digits, which no eye tells from all of them; None for what was not measured."""
    if not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")

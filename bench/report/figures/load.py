"""Response time against load: what a little more of it costs, up to where it is too much."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.records import CapacityTrialRow
from bench.report.figures.figure import (
    DECADES,
    Figure,
    Spec,
    Table,
    across,
    chart,
    cut,
    layer,
    logarithmic,
    panels,
    up,
)
from bench.report.figures.percentiles import DASHES
from bench.report.format import number

TOLD_APART = 1.2
"""The highest rate over the lowest from which on there is a course to be seen, and not chance alone."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One trial or stage: what was offered, and the response times under it; `met` whether it was carried."""

    generation: str
    where: str
    offered_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    met: bool


def of_search(trials: Sequence[CapacityTrialRow]) -> list[Loaded]:
    """The trials of a search for capacity that are not void."""
    return [
        Loaded(
            row.generation,
            f"trial {row.trial}",
            row.rate_per_s,
            row.response_p50_ms,
            row.response_p99_ms,
            row.failed_goals == 0,
        )
        for row in trials
        if not row.void
    ]


def against_load(points: Sequence[Loaded], how: str) -> Figure | None:
    """The figure; None where no generation was seen under two loads. `how` says what a point is."""
    generations = list(dict.fromkeys(point.generation for point in points))
    by_generation = [[p.offered_per_s for p in points if p.generation == name] for name in generations]
    if not any(max(rates) > TOLD_APART * min(rates) for rates in by_generation):
        return None
    points = sorted(points, key=lambda one: one.offered_per_s)
    rows = [
        {
            "generation": point.generation,
            "where": point.where,
            "rate": cut(point.offered_per_s),
            "p50": None if point.p50_ms is None else cut(point.p50_ms),
            "p99": None if point.p99_ms is None else cut(point.p99_ms),
            "met": "carried" if point.met else "not carried",
        }
        for point in points
    ]
    return Figure(
        name="response-against-load",
        title="Response time against load",
        caption=f"{how} Hollow: not carried. Response times count from the intended start.",
        spec=panels(
            *(_panel(q, title, rows, generations) for q, title in (("p50", "p50"), ("p99", "p99"))),
            data={"point": rows},
        ),
        table=Table(
            ("of", "offered, 1/s", "p50, ms", "p99, ms", ""),
            tuple(
                (
                    f"{point.generation}, {point.where}",
                    number(point.offered_per_s),
                    number(point.p50_ms),
                    number(point.p99_ms),
                    "carried" if point.met else "not carried",
                )
                for point in points
            ),
        ),
    )  # fmt: skip


def _panel(field: str, title: str, rows: Sequence[Spec], generations: Sequence[str]) -> Spec:
    known = [{"transform": [{"filter": f"isValid(datum.{field})"}]}]
    x = across("rate", "offered, sends per second", scale={"zero": True}, axis={"grid": True})
    y = up(field, scale=logarithmic(row[field] for row in rows), axis=DECADES)
    name = {"field": "generation", "type": "nominal", "scale": {"domain": list(generations)}}
    dash = {**name, "scale": {"domain": list(generations), "range": DASHES}}
    tip = [
        {"field": one, "title": said}
        for one, said in (
            ("generation", "of"),
            ("where", "where"),
            ("rate", "offered, 1/s"),
            (field, "ms"),
            ("met", ""),
        )
    ]
    line = layer("point", {"type": "line", "strokeWidth": 1.6}, x=x, y=y, color=name, strokeDash=dash)
    dots = layer(
        "point",
        {"type": "point", "size": 46, "strokeWidth": 1.6},
        x=x,
        y=y,
        color=name,
        fillOpacity={"condition": {"test": "datum.met == 'carried'", "value": 1}, "value": 0},
        fill={**name, "legend": None},
        tooltip=tip,
    )
    return chart(f"Response time {title}, milliseconds", 190, [{**one, **known[0]} for one in (line, dots)])

"""Throughput and latency of one generation over a whole trial, its faults shaded."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from bench.analysis.planned import Stage
from bench.analysis.series import Floats, Series, Span, over_trials
from bench.records import RecoveryRow
from bench.report.figures.figure import (
    DECADES,
    SECONDS,
    Figure,
    Spec,
    Table,
    cut,
    layer,
    logarithmic,
    moment,
    over,
    panels,
    up,
    zoom,
)
from bench.report.format import number, seconds


def over_time(
    series: Sequence[Series], recovery: Sequence[RecoveryRow], stages: Sequence[Stage], slo_ms: float
) -> Figure:
    """The medians over the trials given, all of one generation and span; at least one."""
    generation, span = series[0].generation, series[0].span
    rows = _rows(series)
    shaded = [row for fault in recovery for row in shade(fault, span.end_s)]
    many = len(series)
    said = (
        f"the median of {many} trials, the pale band from the lowest to the highest"
        if many > 1
        else "one trial"
    )
    return Figure(
        name=f"over-time-{generation}",
        title=f"{generation}: throughput and latency over time",
        caption=(
            f"Sends in windows of {span.width_s:g} s by their intended start: {said}. Goodput is what was "
            f"acknowledged within {slo_ms:g} ms of it; response times count from it. Shaded: from each "
            "fault's confirmed injection until service was restored."
        ),
        spec=panels(
            _rate(stages),
            _latency(rows, slo_ms),
            data={
                "time": rows,
                "fault": shaded,
                "stage": [{"t": one.start_s, "until": one.end_s, "name": one.name} for one in stages],
                "limit": [{"ms": slo_ms, "name": f"SLO {slo_ms:g} ms"}],
            },
            params=zoom(span.start_s, span.end_s),
        ),
        table=_table(rows, stages),
        zooms=True,
    )


def shade(fault: RecoveryRow, end_s: float) -> Iterable[Spec]:
    """Where a fault was felt: to the end if it was not restored; of no length if it was not felt."""
    if fault.injected_s is None:
        return
    felt = fault.outcome in ("recovered", "not recovered")
    until_s = fault.injected_s if not felt else end_s if fault.restored_s is None else fault.restored_s
    yield {"from": cut(fault.injected_s), "to": cut(until_s), "name": f"{fault.kind} {fault.node}"}


def faults() -> list[Spec]:
    """The layers of `fault`: the stretch and the moment it began."""
    tip = [{"field": "name", "title": "fault"}, {"field": "from", "title": "injected, s"}]
    x = moment("from")
    return [
        layer("fault", {"type": "rect", "style": "fault"}, x=x, x2={"field": "to"}, tooltip=tip),
        layer("fault", {"type": "rule", "style": "injected"}, x=x),
    ]


def steps(kind: Literal["line", "area"], style: str, y: Spec, **more: Any) -> Spec:
    """What was measured in each window, as a stair: `kind` of mark, its `style`, and what is up its side."""
    mark = {"type": kind, "interpolate": "step-after", "style": style}
    return layer("time", mark, x=moment("t"), y=y, **more)


def limit(scale: Spec) -> list[Spec]:
    """The layers of `limit`: a line across, with its name at the right, on an axis of that scale."""
    y = up("ms", scale=scale, axis=DECADES)
    named = {"type": "text", "style": "limit-name", "align": "right", "baseline": "bottom"}
    return [
        layer("limit", {"type": "rule", "style": "limit"}, y=y),
        layer("limit", {**named, "x": "width", "dy": -3}, y=y, text={"field": "name", "type": "nominal"}),
    ]


def _rate(stages: Sequence[Stage]) -> Spec:
    return over(
        "Throughput, sends per second: offered dashed, goodput solid",
        170,
        [
            *faults(),
            layer("stage", {"type": "rule", "style": "stage"}, x=moment("t")),
            layer(
                "stage",
                {
                    "type": "text",
                    "style": "stage-name",
                    "align": "left",
                    "baseline": "bottom",
                    "y": -3,
                    "limit": {"expr": "max((datum.until - datum.t) / (to - from) * panel - 8, 1)"},
                    "clip": False,
                },
                x=moment("t"),
                text={"field": "name", "type": "nominal"},
            ),
            steps("area", "goodput-range", up("good_low"), y2={"field": "good_high"}),
            steps("line", "offered", up("offered")),
            steps("line", "goodput", up("good")),
            hover(
                "time",
                {"offered": "offered, 1/s", "good": "goodput, 1/s", "p50": "p50, ms", "p95": "p95, ms"},
            ),
        ],
    )


def _latency(rows: Sequence[Spec], slo_ms: float) -> Spec:
    values = [row[key] for row in rows for key in ("p50", "p95", "p95_low", "p95_high")]
    scale = logarithmic([*values, slo_ms])
    return over(
        "Response time, milliseconds: p95 solid, p50 dashed",
        190,
        [
            *faults(),
            *limit(scale),
            steps("area", "p95-range", up("p95_low", scale=scale, axis=DECADES), y2={"field": "p95_high"}),
            steps("line", "p50", up("p50", scale=scale, axis=DECADES)),
            steps("line", "p95", up("p95", scale=scale, axis=DECADES)),
            hover(
                "time",
                {"p50": "p50, ms", "p95": "p95, ms", "offered": "offered, 1/s", "good": "goodput, 1/s"},
            ),
        ],
        axis=SECONDS,
    )


def hover(data: str, said: dict[str, str]) -> Spec:
    """Over each window, all of the panel's height: the pointer learns what was measured in it."""
    tip = [
        {"field": "t", "title": "from, s"},
        *({"field": field, "title": title} for field, title in said.items()),
    ]
    felt = layer(
        data,
        {"type": "rect", "opacity": 0},
        x=moment("t"),
        x2={"field": "until"},
        tooltip=[{**one, "type": "quantitative", "format": ".4~g"} for one in tip],
    )
    return {**felt, "transform": [{"window": [{"op": "lead", "field": "t", "as": "until"}]}]}


def _rows(series: Sequence[Series]) -> list[Spec]:
    def lines(values: Sequence[Floats]) -> list[list[float | None]]:
        return [[cut(float(value)) for value in line] for line in over_trials(values)]

    offered, _, _ = lines([one.offered_per_s for one in series])
    good, good_low, good_high = lines([one.goodput_per_s for one in series])
    p50, _, _ = lines([one.p50_ms for one in series])
    p95, p95_low, p95_high = lines([one.p95_ms for one in series])
    names = ("offered", "good", "good_low", "good_high", "p50", "p95", "p95_low", "p95_high")
    columns = (offered, good, good_low, good_high, p50, p95, p95_low, p95_high)
    starts_s = [cut(float(t_s)) for t_s in series[0].span.starts_s]
    rows = [
        {"t": t_s, **dict(zip(names, values, strict=True))}
        for t_s, *values in zip(starts_s, *columns, strict=True)
        if values[0] is not None
    ]
    return ended(rows, series[0].span)


def ended(rows: list[Spec], span: Span) -> list[Spec]:
    """With the last window's end, so that it is as long as the others."""
    return [*rows, {**rows[-1], "t": cut(min(rows[-1]["t"] + span.width_s, span.end_s))}] if rows else rows


def _table(rows: Sequence[Spec], stages: Sequence[Stage]) -> Table:
    """The stages' worst and usual windows."""
    lines = []
    for stage in stages:
        own = [row for row in rows if stage.start_s <= row["t"] < stage.end_s]
        goods = [row["good"] for row in own if row["good"] is not None]
        p95s = sorted(row["p95"] for row in own if row["p95"] is not None)
        lines.append(
            (
                stage.name,
                f"{seconds(stage.start_s)} to {seconds(stage.end_s)}",
                number(sum(goods) / len(goods) if goods else None),
                number(min(goods, default=None)),
                number(p95s[len(p95s) // 2] if p95s else None),
                number(p95s[-1] if p95s else None),
            )
        )
    heads = (
        "stage",
        "time",
        "goodput, 1/s: mean",
        "least window",
        "p95, ms: middle window",
        "highest window",
    )
    return Table(heads, tuple(lines))

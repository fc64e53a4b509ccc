"""Latency by percentile, HdrHistogram's way: each step to the right is ten times rarer."""

from collections.abc import Mapping, Sequence

from bench.analysis.series import Curve
from bench.records import Measure
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
from bench.report.format import MISSING, count, number

QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999)
MEASURES: Mapping[Measure, str] = {
    "response": "Response time, milliseconds",
    "delivery": "Delivery time, milliseconds",
}
DASHES = [[1, 0], [7, 3], [2, 3], [9, 3, 2, 3]]
"""One a line, so that they are told apart without colour."""


def percentiles(name: str, title: str, caption: str, measures: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """A panel a measure (its title), in it a line a generation or side (its label)."""
    labels = list(dict.fromkeys(label for curves in measures.values() for label in curves))
    data = {f"curve-{at}": _rows(curves) for at, curves in enumerate(measures.values())}
    return Figure(
        name=name,
        title=title,
        caption=caption,
        spec=panels(
            *(
                _panel(f"curve-{at}", measure, data[f"curve-{at}"], labels)
                for at, measure in enumerate(measures)
            ),
            data=data,
        ),
        table=_table(measures),
    )


def _panel(data: str, title: str, rows: Sequence[Spec], labels: Sequence[str]) -> Spec:
    rarest = max((row["rarity"] for row in rows), default=100.0)
    decades = [1.0, 2.0, *(10.0**n for n in range(1, 8) if 10.0**n <= rarest * 1.5)]
    x = across(
        "rarity",
        "percentile",
        scale={"type": "log", "domain": [1, max(rarest * 1.15, 100)], "nice": False},
        axis={
            "values": decades,
            "grid": True,
            "labelExpr": "datum.value < 1.5 ? '0 %' : format(100 - 100 / datum.value, '.6~g') + ' %'",
        },
    )
    shape = {"field": "label", "type": "nominal", "sort": list(labels)}
    return chart(
        title,
        210,
        [
            layer(
                data,
                {"type": "line", "strokeWidth": 2, "interpolate": "step-before"},
                x=x,
                y=up("ms", scale=logarithmic(row["ms"] for row in rows), axis=DECADES),
                color={**shape, "scale": {"domain": list(labels)}},
                strokeDash={**shape, "scale": {"domain": list(labels), "range": DASHES}},
            ),
            layer(
                data,
                {"type": "point", "opacity": 0, "size": 220},
                x=x,
                y=up("ms"),
                tooltip=[
                    {"field": "label", "title": "of"},
                    {"field": "percentile", "title": "percentile", "type": "quantitative", "format": ".6~g"},
                    {"field": "ms", "title": "ms", "type": "quantitative", "format": ".4~g"},
                ],
            ),
        ],
    )


def _rows(curves: Mapping[str, Curve]) -> list[Spec]:
    return [
        {
            "label": label,
            "rarity": float(f"{1 / (1 - quantile):.6g}"),
            "percentile": round(100 * quantile, 5),
            "ms": cut(ms),
        }
        for label, one in curves.items()
        for quantile, ms in zip(one.quantile.tolist(), one.ms.tolist(), strict=True)
    ]


def _table(measures: Mapping[str, Mapping[str, Curve]]) -> Table:
    rows = [
        (f"{label}, {measure.partition(',')[0].lower()}", count(one.n), *(_at(one, q) for q in QUANTILES))
        for measure, curves in measures.items()
        for label, one in curves.items()
    ]
    return Table(("ms at", "messages", *(f"{100 * q:g} %" for q in QUANTILES)), tuple(rows))


def _at(one: Curve, quantile: float) -> str:
    beyond = [ms for q, ms in zip(one.quantile.tolist(), one.ms.tolist(), strict=True) if q >= quantile]
    return number(beyond[0]) if beyond else MISSING

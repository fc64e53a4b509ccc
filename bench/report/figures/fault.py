"""One fault of one trial: what was offered and what was well served, how late answers came, what waited."""

from collections.abc import Sequence

from bench.analysis.series import Series, Span, fitting_width_s
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
from bench.report.figures.over_time import ended, faults, hover, limit, shade, steps
from bench.report.format import seconds

BEFORE_S, AFTER_S, LEAST_AFTER_S = 8.0, 12.0, 20.0
"""What is shown before the injection, after the last moment, and after the injection at the least."""
MOMENTS = (
    ("impact_s", "impact"),
    ("detected_s", "detected"),
    ("first_success_s", "first success"),
    ("restored_s", "restored"),
    ("caught_up_s", "caught up"),
    ("redundant_s", "redundant"),
)
"""The moments of a recovery, in the usual order: the column of recovery.csv and what it is called."""


def moments(fault: RecoveryRow) -> list[tuple[str, float]]:
    """The injection and what followed it, as far as it is known, by time."""
    given = [("injected", fault.injected_s)]
    given += [(name, getattr(fault, column, None)) for column, name in MOMENTS]
    return sorted(((name, t_s) for name, t_s in given if t_s is not None), key=lambda one: one[1])


def span_of(fault: RecoveryRow, end_s: float, bin_width_s: float, rate_per_s: float) -> Span:
    """The stretch to be shown, from some seconds before the injection on; `end_s` is where the load ends."""
    injected_s = fault.injected_s or 0.0
    last_s = max((t_s for _, t_s in moments(fault)), default=injected_s)
    start_s = max(injected_s - BEFORE_S, 0.0)
    until_s = end_s if fault.outcome == "not recovered" else max(last_s + AFTER_S, injected_s + LEAST_AFTER_S)
    until_s = min(until_s, end_s)
    width_s = min(fitting_width_s(start_s, until_s, bin_width_s, rate_per_s * 5), 1.0)
    # Windows begin where bins do.
    start_s = int(start_s / width_s) * width_s
    return Span(start_s, until_s, width_s)


def fault(row: RecoveryRow, series: Series, slo_ms: float) -> Figure:
    """The picture of one fault whose injection was confirmed."""
    span = series.span
    rows = _rows(series)
    marks = _marks(row)
    return Figure(
        name=f"fault-{row.generation}-{row.trial}-{row.fault}",
        title=f"{row.generation}, trial {row.trial}: {row.kind} {row.node}",
        caption=(
            f"One fault in windows of {span.width_s:g} s, by intended start; the backlog by the clock. "
            f"Goodput was acknowledged within {slo_ms:g} ms. p95 stands where a window has 20 answers. "
            "Shaded: from the confirmed injection until service was restored."
        ),
        spec=panels(
            _names(),
            _rate(),
            _latency(rows, slo_ms),
            _backlog(),
            data={
                "time": rows,
                "moment": marks,
                "fault": list(shade(row, span.end_s)),
                "limit": [{"ms": slo_ms, "name": f"SLO {slo_ms:g} ms"}],
            },
            params=zoom(span.start_s, span.end_s),
        ),
        table=Table(
            ("moment", "on the trial's clock", "after the injection"),
            tuple(
                (name, seconds(t_s), seconds(max(t_s - (row.injected_s or 0.0), 0.0)))
                for name, t_s in moments(row)
            ),
        ),
        zooms=True,
    )


def _marks(row: RecoveryRow) -> list[Spec]:
    """A line a moment; those that come at once share one, with their names below each other."""
    after = [(name, t_s, t_s - (row.injected_s or 0.0)) for name, t_s in moments(row)]
    return [
        {
            "t": cut(t_s),
            "name": name,
            "said": name if name == "injected" else f"{name} +{seconds(late_s)}",
            "line": at,
        }
        for at, (name, t_s, late_s) in enumerate(after)
    ]


def _names() -> Spec:
    """The moments' names, each on a line of its own, so that none covers another."""
    x = moment("t")
    line = {
        "field": "line",
        "type": "ordinal",
        "axis": {"labels": False, "ticks": False, "domain": False, "grid": False, "title": None},
    }
    dot = {"type": "point", "style": "moment-dot", "filled": True, "size": 36}
    late = "datum.t > (from + to) / 2"
    named = {"type": "text", "style": "moment-name", "baseline": "middle", "clip": False}
    return over(
        "What happened when",
        96,
        [
            *faults(),
            layer("moment", dot, x=x, y=line),
            layer(
                "moment",
                {
                    **named,
                    "align": {"expr": f"{late} ? 'right' : 'left'"},
                    "dx": {"expr": f"{late} ? -7 : 7"},
                },
                x=x,
                y=line,
                text={"field": "said", "type": "nominal"},
            ),
        ],
    )


def _moments() -> Spec:
    tip = [{"field": "said", "title": "moment"}, {"field": "t", "title": "at, s"}]
    return layer("moment", {"type": "rule", "style": "moment"}, x=moment("t"), tooltip=tip)


def _rate() -> Spec:
    return over(
        "Sends per second: offered dashed, goodput solid",
        120,
        [
            *faults(),
            _moments(),
            steps("line", "offered", up("offered")),
            steps("line", "goodput", up("good")),
            hover(
                "time",
                {"offered": "offered, 1/s", "good": "goodput, 1/s", "p95": "p95, ms", "backlog": "backlog"},
            ),
        ],
    )


def _latency(rows: Sequence[Spec], slo_ms: float) -> Spec:
    scale = logarithmic([*(row["p95"] for row in rows), slo_ms])
    return over(
        "Response time p95, milliseconds",
        120,
        [
            *faults(),
            _moments(),
            *limit(scale),
            steps("line", "p95", up("p95", scale=scale, axis=DECADES)),
            hover(
                "time",
                {"p95": "p95, ms", "offered": "offered, 1/s", "good": "goodput, 1/s", "backlog": "backlog"},
            ),
        ],
    )


def _backlog() -> Spec:
    return over(
        "Backlog: messages attempted and not yet acknowledged",
        100,
        [
            *faults(),
            _moments(),
            steps("area", "backlog-area", up("backlog")),
            steps("line", "backlog", up("backlog")),
            hover(
                "time",
                {"backlog": "backlog", "offered": "offered, 1/s", "good": "goodput, 1/s", "p95": "p95, ms"},
            ),
        ],
        axis=SECONDS,
    )


def _rows(series: Series) -> list[Spec]:
    columns = (
        series.span.starts_s,
        series.offered_per_s,
        series.goodput_per_s,
        series.p95_ms,
        series.backlog,
    )
    rows = [
        {"t": t_s, "offered": offered, "good": good, "p95": p95, "backlog": backlog}
        for t_s, offered, good, p95, backlog in (
            [cut(value) for value in row]
            for row in zip(*(column.tolist() for column in columns), strict=True)
        )
        if offered is not None
    ]
    return ended(rows, series.span)

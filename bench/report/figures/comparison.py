"""Two runs, or two generations, one over the other: response by percentile, and goodput and p95 over time."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.analyse import believed
from bench.analysis.planned import headline_phase, stages
from bench.analysis.series import (
    Span,
    bin_width_s,
    curve,
    fitting_width_s,
    merged,
    over_trials,
    rate_per_s,
    series_of,
)
from bench.evidence import Evidence
from bench.report.figures.figure import (
    DECADES,
    SECONDS,
    Figure,
    Spec,
    cut,
    layer,
    logarithmic,
    moment,
    over,
    panels,
    up,
    zoom,
)
from bench.report.figures.percentiles import DASHES, MEASURES, percentiles


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: what it is called, and one generation of one run."""

    label: str
    evidence: Evidence
    generation: str

    @property
    def trials(self) -> list[int]:
        """The numbers of the trials that figures are of."""
        own = [trial for trial in self.evidence.manifest.trials if trial.generation == self.generation]
        return [trial.trial for trial in believed(own)]


def overlaid_percentiles(sides: Sequence[Side]) -> Figure:
    """Response and delivery by percentile, of the stage that headline figures are of, a line a side."""
    phases = [headline_phase(side.evidence.plan) for side in sides]
    return percentiles(
        "compared-percentiles",
        "Latency by percentile",
        "All believed trials of each side merged, as far out as ten messages lie beyond; each step to the "
        "right is ten times rarer.",
        {
            title: {
                side.label: curve(merged(side.evidence, side.generation, side.trials, phase, measure))
                for side, phase in zip(sides, phases, strict=True)
            }
            for measure, title in MEASURES.items()
        },
    )


def overlaid_timeline(sides: Sequence[Side]) -> Figure:
    """Goodput and p95 over time, the median of each side's believed trials."""
    end_s = max(stages(side.evidence.plan)[-1].end_s for side in sides)
    width_s = max(
        fitting_width_s(0.0, end_s, bin_width_s(side.evidence), rate_per_s(side.evidence, side.generation))
        for side in sides
    )
    rows: list[Spec] = []
    for side in sides:
        spans = {trial: Span(0.0, end_s, width_s) for trial in side.trials}
        own = series_of(side.evidence, side.generation, spans)
        if not own:
            continue
        good, p95 = (
            over_trials([getattr(one, name) for one in own])[0].tolist()
            for name in ("goodput_per_s", "p95_ms")
        )
        starts_s = own[0].span.starts_s.tolist()
        rows += [
            {"label": side.label, "t": cut(t_s), "good": cut(one), "p95": cut(other)}
            for t_s, one, other in zip(starts_s, good, p95, strict=True)
        ]
    labels = [side.label for side in sides]
    scale = logarithmic(row["p95"] for row in rows)
    return Figure(
        name="compared-timeline",
        title="Goodput and latency over time",
        caption=(
            f"Windows of {width_s:g} s by intended start; each line is the median over a side's trials."
        ),
        spec=panels(
            _panel("Goodput, sends per second", labels, up("good"), "good"),
            _panel("Response time p95, milliseconds", labels, up("p95", scale=scale, axis=DECADES), "p95"),
            data={"time": rows},
            params=zoom(0.0, end_s),
        ),
        zooms=True,
    )


def _panel(title: str, labels: Sequence[str], y: Spec, field: str) -> Spec:
    name = {"field": "label", "type": "nominal", "sort": list(labels), "scale": {"domain": list(labels)}}
    dash = {**name, "scale": {"domain": list(labels), "range": DASHES}}
    tip = [
        {"field": "label", "title": "of"},
        {"field": "t", "title": "at, s"},
        {"field": field, "title": "value"},
    ]
    x = moment("t")
    return over(
        title,
        170,
        [
            layer("time", {"type": "line", "strokeWidth": 1.8}, x=x, y=y, color=name, strokeDash=dash),
            layer("time", {"type": "point", "opacity": 0, "size": 160}, x=x, y=y, tooltip=tip),
        ],
        axis=SECONDS if field == "p95" else None,
    )

"""A run's report as one HTML file that asks nothing of anybody: script, style, figures and data are in it.

Text from the run folder passes Jinja's autoescaping, or stands in JSON with `<` written as `\\u003c`. The
page's own policy (CSP) forbids every request, so that nothing in it could make one.
"""

import json
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from bench.analysis.analyse import Analysis
from bench.evidence import Evidence
from bench.report.figures.drawing import Drawing
from bench.report.figures.figure import Figure
from bench.report.figures.palette import config
from bench.report.page.tables import (
    audit,
    conditions,
    environment,
    planned_faults,
    planned_stages,
    published,
    recovery,
    summary,
    trials,
    workload,
)
from bench.report.terminal import sections


def document(analysis: Analysis, evidence: Evidence, drawing: Drawing, script: str) -> str:
    """The page. `script` is the JavaScript that draws figures (figures/static.py)."""
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    names = [headline.generation for headline in analysis.headlines]
    return template.from_string(_text("page.html")).render(
        analysis=analysis,
        manifest=analysis.manifest,
        description=str(evidence.plan.get("description", "")),
        names=names,
        ending=_ending(analysis),
        summary=summary(analysis),
        published=published(analysis),
        recovery=recovery(analysis),
        sections=sections(analysis),
        drawing=drawing,
        audits={name: audit(evidence, name) for name in names},
        trials={name: trials(analysis, name) for name in names},
        conditions={name: conditions(analysis, name) for name in names},
        workload=workload(evidence),
        stages=planned_stages(evidence),
        planned_faults=planned_faults(evidence),
        environment=environment(analysis),
        plan=json.dumps(evidence.plan, indent=1, ensure_ascii=False),
        style=_text("page.css"),
        behaviour=_text("page.js"),
        script=script.replace("</script", "<\\/script").replace("<!--", "<\\!--"),
        data=inert(_data(drawing.figures)),
    )


def inert(value: Any) -> str:
    """JSON that may stand in a page's script element: nothing in it ends one, or begins a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _data(figures: tuple[Figure, ...]) -> dict[str, Any]:
    return {
        "config": {"light": config("light"), "dark": config("dark")},
        "figures": {
            one.name: {"spec": {**one.spec, "description": f"{one.title}. {one.caption}"}, "zooms": one.zooms}
            for one in figures
        },
    }


def _ending(analysis: Analysis) -> str:
    manifest = analysis.manifest
    if manifest.ended == "complete":
        return ""
    said = {"interrupted": "Interrupted", "failed": "Failed", "running": "Not ended"}[manifest.ended]
    planned = "" if analysis.trials_planned is None else f" of {analysis.trials_planned}"
    kept = f"{len(manifest.trials)}{planned} trials kept"
    reached = manifest.reached or "nothing was reached"
    return f"{said}: {reached} ({kept}). {manifest.error or ''}".strip()


def _text(name: str) -> str:
    return files("bench.report.page").joinpath(name).read_text(encoding="utf-8")

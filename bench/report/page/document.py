"""A run's report as one HTML file that asks nothing of anybody: script, style, figures and data are in it.

Text from the run folder passes Jinja's autoescaping, or stands in JSON with `<` written as `\\u003c`. The
page's own policy (CSP) forbids every request, so that nothing in it could make one.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from bench.analysis.analyse import Analysis
from bench.evidence import Evidence
from bench.manifest import Manifest
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
    names = [headline.generation for headline in analysis.headlines]
    return laid_out(
        "page.html",
        analysis.manifest,
        evidence.plan,
        drawing.figures,
        script,
        trials_planned=analysis.trials_planned,
        analysis=analysis,
        names=names,
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
    )


def laid_out(
    template: str,
    manifest: Manifest,
    plan: Mapping[str, Any],
    figures: Sequence[Figure],
    script: str,
    *,
    trials_planned: int | None = None,
    **content: Any,
) -> str:
    """A page of this layout: `template` fills it with `content`."""
    templates = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template(template).render(
        manifest=manifest,
        description=str(plan.get("description", "")),
        ending=_ending(manifest, trials_planned),
        environment=environment(manifest),
        plan=json.dumps(plan, indent=1, ensure_ascii=False),
        style=_text("page.css"),
        behaviour=_text("page.js"),
        script=script.replace("</script", "<\\/script").replace("<!--", "<\\!--"),
        data=inert(_data(figures)),
        **content,
    )


def inert(value: Any) -> str:
    """JSON that may stand in a page's script element: nothing in it ends one, or begins a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _data(figures: Sequence[Figure]) -> dict[str, Any]:
    return {
        "config": {"light": config("light"), "dark": config("dark")},
        "figures": {
            one.name: {"spec": {**one.spec, "description": f"{one.title}. {one.caption}"}, "zooms": one.zooms}
            for one in figures
        },
    }


def _ending(manifest: Manifest, trials_planned: int | None) -> str:
    if manifest.ended == "complete":
        return ""
    said = {"interrupted": "Interrupted", "failed": "Failed", "running": "Not ended"}[manifest.ended]
    planned = "" if trials_planned is None else f" of {trials_planned}"
    kept = f"{len(manifest.trials)}{planned} trials kept"
    reached = manifest.reached or "nothing was reached"
    return f"{said}: {reached} ({kept}). {manifest.error or ''}".strip()


def _text(name: str) -> str:
    return files("bench.report.page").joinpath(name).read_text(encoding="utf-8")

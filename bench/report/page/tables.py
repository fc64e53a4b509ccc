"""The page's tables, as text: what the terminal's closing table says, and what there is no room for there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.analysis.analyse import Analysis
from bench.analysis.planned import stages
from bench.evidence import Evidence
from bench.manifest import Manifest
from bench.report.format import MISSING, count, number, seconds, share, times
from bench.report.recovery import COLUMNS as RECOVERY_COLUMNS
from bench.report.recovery import cells, name_of
from bench.report.terminal import COLUMNS, beside, measured

CONDITIONS = (
    ("host_busy_ratio", "host busy", "share"),
    ("host_foreign_cpu_ratio", "foreign processes", "share"),
    ("host_cpu_pressure_ratio", "waiting for a CPU", "share"),
    ("host_steal_ratio", "taken by the hypervisor", "share"),
    ("host_sleep_overshoot_ms", "a 1 ms sleep's overshoot, ms", "number"),
    ("generator_cpu_ratio", "generator, of its core", "share"),
    ("generator_wait_ratio", "generator, waiting for it", "share"),
)
"""Metrics of summary.csv, what they are called, and how they are written."""
AUDITED = (
    "attempted",
    "acknowledged",
    "delivered",
    "lost",
    "phantom",
    "corrupt",
    "duplicated",
    "reordered",
    "rescued",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One row: its head, its cells, and what kind of row it is (a CSS class)."""

    head: str
    cells: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: heads of the columns, the first of the rows' heads; cells of text."""

    heads: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def empty(self) -> bool:
        """Whether it says nothing."""
        return not self.lines


def summary(analysis: Analysis) -> Grid:
    """The closing table: a generation's figures, their ratios to the first one's, and what is published."""
    heads = (
        f"{analysis.phase} phase" if analysis.phase else "",
        *(f"{name}, {unit}" for _, name, unit, _ in COLUMNS),
    )
    lines = []
    for position, headline in enumerate(analysis.headlines):
        first = analysis.headlines[0].generation
        own, published, claimed = beside(analysis, headline.generation)
        mark = "" if headline.complete else " *"
        cells = tuple(measured(headline, figure).plain for figure, *_ in COLUMNS)
        lines.append(Line(headline.generation + mark, cells, "measured"))
        if position:
            lines.append(Line(f"× {first}", tuple(own), "ratio"))
        if any(cell != MISSING for cell in published):
            lines.append(Line("published", tuple(published), "published"))
            if position:
                lines.append(Line(f"published × {first}", tuple(claimed), "published"))
    return Grid(heads, tuple(lines))


def recovery(analysis: Analysis) -> Grid:
    """The terminal's table of recovery."""
    return Grid(
        ("recovery, medians", *(f"{name} {unit}" for name, unit, _ in RECOVERY_COLUMNS)),
        tuple(
            Line(
                f"{incident.generation}, {name_of(incident)}",
                tuple(cell.plain for cell in cells(incident)),
                "published" if incident.is_control else "",
            )
            for incident in analysis.incidents
        ),
    )


def published(analysis: Analysis) -> Grid:
    """The published table's cells: what was measured beside what is claimed, the word on each, and why."""
    names = {figure: f"{name} {unit}" for figure, name, unit, _ in COLUMNS}
    lines = []
    for cell in analysis.cells:
        if cell.published is None:
            continue
        head = f"{cell.generation}, {names.get(cell.figure, cell.figure)}"
        figures = (number(cell.measured), number(cell.published))
        lines.append(Line(head, (*figures, cell.absolute, cell.absolute_reason)))
        if cell.published_ratio is not None and cell.generation != analysis.headlines[0].generation:
            ratios = (times(cell.measured_ratio), times(cell.published_ratio))
            lines.append(Line("its ratio", (*ratios, cell.ratio, cell.ratio_reason), "ratio"))
    return Grid(("", "measured", "published", "word", "because"), tuple(lines))


def audit(evidence: Evidence, generation: str) -> Grid:
    """Every message of each trial accounted for."""
    table = evidence.audit[(evidence.audit["generation"] == generation) & (evidence.audit["phase"] == "all")]
    lines = tuple(
        Line(
            f"trial {row['trial']}",
            (*(count(int(row[name])) for name in AUDITED), str(row["verdict"]), str(row["detail"])),
            "broken" if row["verdict"] != "complete" else "",
        )
        for row in table.to_dict("records")
    )
    return Grid(("", *AUDITED, "verdict", ""), lines)


def trials(analysis: Analysis, generation: str) -> Grid:
    """How each trial ended, void ones too, and why."""
    lines = []
    for trial in analysis.trials:
        if trial.generation != generation:
            continue
        verdict = (trial.verdict or "not judged").replace("_", "-")
        steady = {"steady": "steady", "no_steady_state": "no steady state", "unknown": "unknown"}[
            trial.steady_state
        ]
        if trial.steady_from_s is not None and trial.steady_state == "steady":
            steady += f" from {seconds(trial.steady_from_s)} on"
        why = "; ".join(text for text in (trial.verdict_reason, trial.detail, trial.steady_reason) if text)
        again = "" if trial.retry_of is None else f" (again {trial.retry_of})"
        kind = "" if trial.status == "complete" else "broken"
        lines.append(Line(f"trial {trial.trial}{again}", (trial.status, verdict, steady, why), kind))
    return Grid(("", "ended", "figures are", "at rest", "because"), tuple(lines))


def conditions(analysis: Analysis, generation: str) -> Grid:
    """Host and generator in the phase that figures are of: the trials' mean, and the worst second."""
    found: dict[str, list[float]] = {}
    for row in analysis.summary:
        if (row.generation, row.phase) == (generation, analysis.phase) and row.value is not None:
            found.setdefault(row.metric, []).append(row.value)
    lines = []
    for metric, name, how in CONDITIONS:
        if metric not in found:
            continue
        mean, worst = float(np.mean(found[metric])), max(found.get(f"{metric}_max", found[metric]))
        write = share if how == "share" else number
        lines.append(Line(name, (write(mean), write(worst))))
    return Grid(("in that phase", "mean", "worst second"), tuple(lines))


def workload(evidence: Evidence) -> Grid:
    """The plan's people and messages."""
    plan = evidence.plan
    mix = plan.get("mix")
    said: Sequence[tuple[str, Any]] = (
        ("deployment", plan.get("deployment")),
        ("people online", plan.get("clients")),
        ("logins per second", plan.get("login_rate_per_s")),
        ("strong ties a person", plan.get("contacts")),
        ("loop", plan.get("loop")),
        ("arrivals", plan.get("arrivals")),
        (
            "operations",
            ", ".join(f"{k} {share(v)}" for k, v in mix.items()) if isinstance(mix, Mapping) else None,
        ),
        ("timeout", _seconds(plan.get("timeout_s"))),
        ("body, median and p99 bytes", _pair(plan.get("body_median_bytes"), plan.get("body_p99_bytes"))),
        ("bins", _seconds(plan.get("bin_width_s"))),
        ("seed", plan.get("seed")),
    )
    return Grid(("", ""), tuple(Line(name, (str(value),)) for name, value in said if value is not None))


def planned_stages(evidence: Evidence) -> Grid:
    """The plan's stages."""
    rates = {
        str(stage["name"]): [knot[1] for knot in stage.get("knots", ())]
        for stage in evidence.plan.get("stages", ())
        if isinstance(stage, Mapping)
    }
    return Grid(
        ("stage", "kind", "from", "to", "offered, 1/s"),
        tuple(
            Line(
                one.name,
                (one.kind, seconds(one.start_s), seconds(one.end_s), _rates(rates.get(one.name, []))),
            )
            for one in stages(evidence.plan)
        ),
    )


def planned_faults(evidence: Evidence) -> Grid:
    """The plan's faults."""
    lines = []
    for one in evidence.plan.get("faults", ()):
        if not isinstance(one, Mapping):
            continue
        nodes = one.get("nodes") or (one.get("node", ""),)
        heal_s = one.get("heal_s")
        healed = "by the generation itself" if heal_s is None else f"at {_seconds(heal_s)}"
        lines.append(
            Line(
                " ".join(str(one[key]) for key in ("generation", "trial") if key in one),
                (
                    str(one.get("kind", "")),
                    "+".join(map(str, nodes)),
                    str(_seconds(one.get("inject_s"))),
                    healed,
                ),
            )
        )
    return Grid(("generation and trial", "fault", "node", "injected at", "healed"), tuple(lines))


def environment(manifest: Manifest) -> Grid:
    """Machine and versions."""
    host = manifest.host
    said = (
        ("processor", f"{host.cpu_model}, {host.cores} cores"),
        ("memory", f"{host.memory_bytes / 2**30:.1f} GiB"),
        ("system", f"{host.os}, kernel {host.kernel}"),
        ("fingerprint", host.fingerprint),
        *((name, version) for name, version in manifest.versions.items()),
        *(
            (f"generator's ceiling, {name}", f"{number(rate)} 1/s")
            for name, rate in manifest.ceilings_per_s.items()
        ),
        ("plan digest", manifest.plan_digest),
    )
    return Grid(("", ""), tuple(Line(name, (value,)) for name, value in said))


def _rates(knots: Sequence[float]) -> str:
    if not knots:
        return MISSING
    return number(knots[0]) if len(set(knots)) == 1 else f"{number(min(knots))} to {number(max(knots))}"


def _seconds(value: Any) -> str | None:
    return seconds(float(value)) if isinstance(value, int | float) else None


def _pair(one: Any, other: Any) -> str | None:
    return None if one is None or other is None else f"{one}, {other}"

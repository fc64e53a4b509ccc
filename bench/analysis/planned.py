"""What the analysis takes from a plan: its generations, its people, its stages, its SLO, its operator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import RunFolderError
from bench.manifest import Trial


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of offered load on the trial's clock; kinds are `warmup`, `steady` and `fault`.

    `level` is whether the same rate is offered from its start to its end.
    """

    name: str
    kind: str
    start_s: float
    end_s: float
    level: bool = True


@dataclass(frozen=True, slots=True)
class Slo:
    """On time means acknowledged within `response_ms`; `share` of the offered messages should be."""

    response_ms: float
    share: float


def stages(plan: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The plan's stages in order; raises RunFolderError where the plan has none to read."""
    try:
        return tuple(
            Stage(
                str(s["name"]),
                str(s["kind"]),
                float(s["start_s"]),
                float(s["end_s"]),
                len({knot[1] for knot in s.get("knots", ())}) <= 1,
            )
            for s in plan["stages"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"plan.json: stages: {error!r}: expected a list of objects with name, kind, start_s, end_s"
        ) from error


def slo(plan: Mapping[str, Any]) -> Slo:
    """The plan's SLO; raises RunFolderError where there is none to read."""
    try:
        return Slo(float(plan["slo"]["response_ms"]), float(plan["slo"]["share"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"plan.json: slo: {error!r}: expected an object with response_ms and share"
        ) from error


def timeout_s(plan: Mapping[str, Any]) -> float:
    """After how long an unanswered request is given up; 0 where the plan does not say."""
    return float(plan.get("timeout_s") or 0.0)


def closed_loop(plan: Mapping[str, Any]) -> bool:
    """Whether people waited for answers before they asked again, so that the system set its own rate."""
    return plan.get("loop") == "closed"


def clients(plan: Mapping[str, Any]) -> int | None:
    """How many people were online; None where the plan does not say."""
    return int(plan["clients"]) if "clients" in plan else None


def operator_s(plan: Mapping[str, Any]) -> float:
    """How long the operator, played by the harness, takes to notice and to decide; 0 where unplanned."""
    return float(plan.get("operator_notice_s", 0.0)) + float(plan.get("operator_decide_s", 0.0))


def generations(plan: Mapping[str, Any], trials: tuple[Trial, ...]) -> tuple[str, ...]:
    """Generations that have a trial, in the plan's order; the first is what the others are compared with."""
    tried = dict.fromkeys(trial.generation for trial in trials)
    planned = [str(name) for name in plan.get("generations", ())]
    return tuple(
        [name for name in planned if name in tried] + [name for name in tried if name not in planned]
    )


def headline_phase(plan: Mapping[str, Any]) -> str | None:
    """The stage the headline figures are of: the first steady one, else the first that is no warm-up."""
    for kinds in ({"steady"}, {"steady", "fault"}):
        for stage in stages(plan):
            if stage.kind in kinds:
                return stage.name
    return None

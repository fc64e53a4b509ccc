"""What of a plan cannot be done here, whatever the system under test: said before anything is started.

Pure: it is given what this machine allows and what the generator reached when it was calibrated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.generations import ClientKind
from bench.plan import Plan, client_kind

SPARE_FILES = 200
"""What a process needs besides its people's connections."""
FILES_PER_PERSON: Mapping[ClientKind, int] = {"xmpp": 1, "http": 2, "websocket": 1}


@dataclass(frozen=True, slots=True)
class Defect:
    """One reason why the run cannot be, at the profile's key `loc`."""

    loc: tuple[str | int, ...]
    what: str


def defects(
    plan: Plan, *, ceilings_per_s: Mapping[str, float], most_files: int, load_processes: int = 1
) -> Sequence[Defect]:
    """All reasons; `ceilings_per_s` by protocol, `most_files` a process may open (RLIMIT_NOFILE, hard)."""
    return [*_too_many_people(plan, most_files, load_processes), *_too_fast(plan, ceilings_per_s)]


def peak(plan: Plan) -> tuple[str, float]:
    """The stage in which most is offered, and its highest rate per second."""
    fastest = max(plan.stages, key=lambda stage: stage.peak_per_s)
    return fastest.name, fastest.peak_per_s


def _too_many_people(plan: Plan, most_files: int, load_processes: int) -> list[Defect]:
    kinds = {client_kind(name) for name in plan.generations}
    # A server may hold everybody, a load process only its share.
    each = max(max(1.0, FILES_PER_PERSON[kind] / load_processes) for kind in kinds)
    most = int(max(most_files - SPARE_FILES, 0) / each)
    if plan.clients <= most:
        return []
    return [
        Defect(
            ("population", "clients"),
            f"{plan.clients:,} people; a process here may have {most_files:,} files open (RLIMIT_NOFILE, "
            f"hard), enough for {most:,}; lower clients, or raise the limit (ulimit -Hn, limits.conf)",
        )
    ]


def _too_fast(plan: Plan, ceilings_per_s: Mapping[str, float]) -> list[Defect]:
    stage, rate_per_s = peak(plan)
    found = []
    for kind in dict.fromkeys(client_kind(name) for name in plan.generations):
        ceiling_per_s = ceilings_per_s.get(kind)
        if ceiling_per_s is not None and rate_per_s > ceiling_per_s:
            found.append(
                Defect(
                    ("load", "stages"),
                    f"stage {stage!r} asks for {rate_per_s:,.0f}/s, more than the generator can offer here "
                    f"by {kind}: {ceiling_per_s:,.0f}/s (`bench calibrate --again` measures it anew); "
                    "lower the rate",
                )
            )
    return found

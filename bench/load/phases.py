"""Which phase of a trial a moment belongs to: `login`, then the stages, then `drain`."""

from collections.abc import Sequence

from bench.plan import PlannedStage

BEFORE = "login"
AFTER = "drain"


def phase_at(stages: Sequence[PlannedStage], t_s: float) -> str:
    """The phase at `t_s` seconds from the trial's origin."""
    if t_s < 0:
        return BEFORE
    for stage in stages:
        if t_s < stage.end_s:
            return stage.name
    return AFTER

"""Stages for tests, without a profile."""

from bench.plan import PlannedStage


def stage(name: str, kind: str, start_s: float, end_s: float, rate_per_s: float = 9.0) -> PlannedStage:
    """A stretch of constant rate."""
    return ramp(name, kind, start_s, end_s, rate_per_s, rate_per_s)


def ramp(
    name: str, kind: str, start_s: float, end_s: float, rate_per_s: float, end_rate_per_s: float
) -> PlannedStage:
    """A stretch in which the rate runs straight from one to the other."""
    return PlannedStage(name, kind, start_s, end_s, ((start_s, rate_per_s), (end_s, end_rate_per_s)))

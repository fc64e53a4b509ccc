"""The same fault over a generation's trials: how often it was recovered from, and when, in the middle.

A trial that did not recover is longer than any that did: the median is taken with it, and where it
falls on such a trial the figure is `> T`, T the shortest watch among those.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.records import RecoveryRow


@dataclass(frozen=True, slots=True)
class Incident:
    """One fault of one generation; `*_after_s` are medians of seconds after the injection, None for never.

    `trials` faults were injected; of those `recovered` came back, `unharmed` never became unhealthy,
    `unknown` cannot be told. `censored` says that `recovered_after_s` is a lower bound. `resolution_s`
    is the coarsest bin's width, `detail` the first trial's that has something to say.
    """

    generation: str
    fault: int
    kind: str
    node: str
    trials: int
    recovered: int
    unharmed: int
    unknown: int
    impact_after_s: float | None
    detected_after_s: float | None
    first_success_after_s: float | None
    recovered_after_s: float | None
    censored: bool
    caught_up_after_s: float | None
    resolution_s: float | None
    lost_goodput_messages: float | None
    relapses: int
    detail: str


def incidents(rows: Sequence[RecoveryRow]) -> tuple[Incident, ...]:
    """One incident for each generation and fault number, in the order of their first row."""
    groups: dict[tuple[str, int], list[RecoveryRow]] = {}
    for row in rows:
        groups.setdefault((row.generation, row.fault), []).append(row)
    return tuple(_incident(group) for group in groups.values())


def median_recovery(rows: Sequence[RecoveryRow]) -> tuple[float | None, bool]:
    """The median time to recover and whether it is a lower bound; None where no row says anything."""
    told = [row for row in rows if row.outcome != "unknown"]
    times = sorted(math.inf if row.time_to_recover_s is None else row.time_to_recover_s for row in told)
    if not times:
        return None, False
    value = (times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2
    if math.isfinite(value):
        return value, False
    return min(row.censored_at_s for row in told if row.censored_at_s is not None), True


def _incident(rows: Sequence[RecoveryRow]) -> Incident:
    def count(outcome: str) -> int:
        return sum(row.outcome == outcome for row in rows)

    def median(value: Callable[[RecoveryRow], float | None]) -> float | None:
        given = [v for v in map(value, rows) if v is not None]
        return float(np.median(given)) if given else None

    def after(moment: Callable[[RecoveryRow], float | None]) -> float | None:
        return median(lambda row: _difference(moment(row), row.injected_s))

    recovered_after_s, censored = median_recovery(rows)
    resolutions = [row.resolution_s for row in rows if row.resolution_s is not None]
    return Incident(
        generation=rows[0].generation,
        fault=rows[0].fault,
        kind=rows[0].kind,
        node=rows[0].node,
        trials=len(rows),
        recovered=count("recovered"),
        unharmed=count("no impact"),
        unknown=count("unknown"),
        impact_after_s=after(lambda row: row.impact_s),
        detected_after_s=after(lambda row: row.detected_s),
        first_success_after_s=after(lambda row: row.first_success_s),
        recovered_after_s=recovered_after_s,
        censored=censored,
        caught_up_after_s=median(lambda row: row.time_to_catch_up_s),
        resolution_s=max(resolutions, default=None),
        lost_goodput_messages=median(lambda row: row.lost_goodput_messages),
        relapses=sum(row.relapses or 0 for row in rows),
        detail=next((row.detail for row in rows if row.detail), ""),
    )


def _difference(moment_s: float | None, injected_s: float | None) -> float | None:
    return None if moment_s is None or injected_s is None else moment_s - injected_s

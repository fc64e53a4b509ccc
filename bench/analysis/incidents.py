"""The same fault over and over, in all trials of a generation: how often it was recovered from, and when.

An incident is all injections of one kind at one node, or at the same nodes together: each is a look at
the same recovery, from another moment of the load. Figures are medians over the injections that can be
told. One that did not recover is longer than any that did: the median is taken with it, and where it
falls on such a one the figure is `> T`, T the shortest watch among those. From five on the median has an
interval (median.py).

The control, `none`, is treated as a fault. What it "costs" is the floor of the method: no fault whose
figure is not above the worst of the controls can be told from none at all.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from bench.analysis.median import Interval, finite, median, median_interval
from bench.analysis.phases import OPERATOR
from bench.records import RECOVERY_PHASES, PhaseRow, RecoveryPhase, RecoveryRow

CONTROL = "none"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the system's own recovery, or of the operator's: the median of the first times it was said.

    `injections` is after how many of the injections it was; `by_operator` whether only the operator said it.
    """

    phase: RecoveryPhase
    after_s: float
    injections: int
    by_operator: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """What can be said of a fault's price, and of a control's; None is not known, infinity never."""

    time_to_recover_s: float | None
    unhealthy_s: float | None
    lost_goodput_messages: float | None
    touched_ratio: float | None


@dataclass(frozen=True, slots=True)
class Incident:
    """One fault of one generation; `*_after_s` are medians of seconds after the injection, None for never.

    `injections` were made in `trials`; of those `recovered` came back, `unharmed` never became unhealthy,
    `unknown` cannot be told. `censored` says that `recovered_after_s` is a lower bound, and so is
    `machine_after_s` then, which is without the operator's noticing and deciding; `interval` is of the
    median with them. `floor` is the worst of the
    generation's controls, None where there are none; `within_floor` names the figures that are not above
    it. `resolution_s` is the coarsest bin's width, `detail` the first injection's that has something to say.
    """

    generation: str
    kind: str
    node: str
    injections: int
    trials: int
    recovered: int
    unharmed: int
    unknown: int
    impact_after_s: float | None
    first_success_after_s: float | None
    recovered_after_s: float | None
    censored: bool
    interval: Interval | None
    machine_after_s: float | None
    caught_up_after_s: float | None
    steps: tuple[Step, ...]
    resolution_s: float | None
    cost: Cost
    floor: Cost | None
    within_floor: tuple[str, ...]
    relapses: int
    detail: str

    @property
    def is_control(self) -> bool:
        """Whether nothing was done, so that its figures are the method's own."""
        return self.kind == CONTROL


def incidents(rows: Sequence[RecoveryRow], phases: Sequence[PhaseRow] = ()) -> tuple[Incident, ...]:
    """One incident for each generation, kind and node, in the order of their first row, controls last."""
    groups: dict[tuple[str, str, str], list[RecoveryRow]] = {}
    for row in rows:
        groups.setdefault((row.generation, row.kind, row.node), []).append(row)
    floors = {generation: _worst(group) for (generation, kind, _), group in groups.items() if kind == CONTROL}
    of_fault: dict[tuple[str, int, int], list[PhaseRow]] = {}
    for phase in phases:
        of_fault.setdefault((phase.generation, phase.trial, phase.fault), []).append(phase)
    found = [
        _incident(group, [of_fault.get(_key(row), []) for row in group], floors.get(generation))
        for (generation, _, _), group in groups.items()
    ]
    order = list(dict.fromkeys(row.generation for row in rows))
    return tuple(sorted(found, key=lambda one: (order.index(one.generation), one.is_control)))


def headline_recoveries(rows: Sequence[RecoveryRow]) -> list[RecoveryRow]:
    """Of one generation's rows those its headline is of: kind and node of the first that is no control."""
    struck = [row for row in rows if row.kind != CONTROL]
    return [row for row in struck if (row.kind, row.node) == (struck[0].kind, struck[0].node)]


def recovery_by_trial(rows: Iterable[RecoveryRow]) -> list[float]:
    """The median time to recover of each trial that has one, by trial; infinite where it never came."""
    by_trial: dict[int, list[float]] = {}
    for row in rows:
        if row.outcome != "unknown":
            by_trial.setdefault(row.trial, []).append(_or_never(row.time_to_recover_s))
    return [value for _, times in sorted(by_trial.items()) if (value := median(times)) is not None]


def median_recovery(rows: Sequence[RecoveryRow]) -> tuple[float | None, bool]:
    """The median time to recover and whether it is a lower bound; None where no row says anything."""
    told = _told(rows)
    value = median([_or_never(row.time_to_recover_s) for row in told])
    if value is None or math.isfinite(value):
        return value, False
    return min(row.censored_at_s for row in told if row.censored_at_s is not None), True


def _incident(
    rows: Sequence[RecoveryRow], steps: Sequence[Sequence[PhaseRow]], floor: Cost | None
) -> Incident:
    def count(outcome: str) -> int:
        return sum(row.outcome == outcome for row in rows)

    def after(moment: Callable[[RecoveryRow], float | None]) -> float | None:
        return _median_of(rows, lambda row: _difference(moment(row), row.injected_s))

    told = _told(rows)
    recovered_after_s, censored = median_recovery(rows)
    resolutions = [row.resolution_s for row in rows if row.resolution_s is not None]
    cost = Cost(
        median([_or_never(row.time_to_recover_s) for row in told]),
        _median_of(rows, lambda row: row.unhealthy_s),
        _median_of(rows, lambda row: row.lost_goodput_messages),
        _median_of(rows, lambda row: row.touched_ratio),
    )
    is_control = rows[0].kind == CONTROL
    return Incident(
        generation=rows[0].generation,
        kind=rows[0].kind,
        node=rows[0].node,
        injections=len(rows),
        trials=len({row.trial for row in rows}),
        recovered=count("recovered"),
        unharmed=count("no impact"),
        unknown=count("unknown"),
        impact_after_s=after(lambda row: row.impact_s),
        first_success_after_s=after(lambda row: row.first_success_s),
        recovered_after_s=recovered_after_s,
        censored=censored,
        interval=median_interval([_or_never(row.time_to_recover_s) for row in told]),
        machine_after_s=median_recovery([_without_human(row) for row in rows])[0],
        caught_up_after_s=finite(median([_or_never(row.time_to_catch_up_s) for row in told])),
        steps=tuple(_steps(steps)),
        resolution_s=max(resolutions, default=None),
        cost=cost,
        floor=None if is_control else floor,
        within_floor=() if is_control or floor is None else _not_above(cost, floor),
        relapses=sum(row.relapses or 0 for row in rows),
        detail=next((row.detail for row in rows if row.detail), ""),
    )


def _without_human(row: RecoveryRow) -> RecoveryRow:
    """The recovery as it would have been with an operator who notices and decides at once."""
    human_s = row.human_s or 0.0
    machine_s = None if row.time_to_recover_s is None else row.time_to_recover_s - human_s
    watched_s = None if row.censored_at_s is None else row.censored_at_s - human_s
    return replace(row, time_to_recover_s=machine_s, censored_at_s=watched_s)


def _steps(by_injection: Sequence[Sequence[PhaseRow]]) -> Iterable[Step]:
    """The steps that were told, in the order in which they came in the middle; of `redundant` the last."""
    found = []
    for phase in RECOVERY_PHASES:
        said = [[row for row in rows if row.phase == phase] for rows in by_injection]
        chosen = max if phase == "redundant" else min
        times = [chosen(row.since_injection_s for row in rows) for rows in said if rows]
        after_s = median(times)
        if after_s is not None:
            by_operator = all(row.source == OPERATOR for rows in said for row in rows)
            found.append(Step(phase, after_s, len(times), by_operator))
    return sorted(found, key=lambda step: step.after_s)


def _worst(controls: Sequence[RecoveryRow]) -> Cost | None:
    """What nothing at all cost at the most; None where no control can be told."""
    told = _told(controls)

    def most(values: Iterable[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    if not told:
        return None
    return Cost(
        max(_or_never(row.time_to_recover_s) for row in told),
        most(row.unhealthy_s for row in told),
        most(row.lost_goodput_messages for row in told),
        most(row.touched_ratio for row in told),
    )


def _not_above(cost: Cost, floor: Cost) -> tuple[str, ...]:
    pairs = (
        ("time to recover", cost.time_to_recover_s, floor.time_to_recover_s),
        ("unhealthy time", cost.unhealthy_s, floor.unhealthy_s),
        ("late sends", cost.lost_goodput_messages, floor.lost_goodput_messages),
        ("clients touched", cost.touched_ratio, floor.touched_ratio),
    )
    return tuple(name for name, own, least in pairs if own is not None and least is not None and own <= least)


def _told(rows: Iterable[RecoveryRow]) -> list[RecoveryRow]:
    return [row for row in rows if row.outcome != "unknown"]


def _median_of(rows: Iterable[RecoveryRow], value: Callable[[RecoveryRow], float | None]) -> float | None:
    return finite(median([v for v in map(value, rows) if v is not None]))


def _or_never(time_s: float | None) -> float:
    return math.inf if time_s is None else time_s


def _difference(moment_s: float | None, injected_s: float | None) -> float | None:
    return None if moment_s is None or injected_s is None else moment_s - injected_s


def _key(row: RecoveryRow) -> tuple[str, int, int]:
    return row.generation, row.trial, row.fault

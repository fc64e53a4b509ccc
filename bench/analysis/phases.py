"""What a system did about each fault, by its own nodes' words: the rows of recovery_phases.csv.

A step belongs to the last fault of a node that its event names, in any field or as the one who says it;
one that names no node at fault, to the last fault of all. So the steps of overlapping faults do not mix.

Where the harness plays the operator, its starting a dead node again is a step too, said by `operator`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd

from bench.evidence import Evidence, NodeEvent
from bench.records import RECOVERY_PHASES, PhaseRow, RecoveryPhase

OPERATOR = "operator"
NODES_BETWEEN = "+"
"""Stands between the names where a fault is of several nodes at once."""
_ENDED = frozenset({"kill", "stop", "restart"})
"""Faults after which a node's process is gone, so that its heal is a start."""
WAITING = frozenset({"kill", "stop"})
"""Of those the ones whose start waits until the operator has noticed and decided."""


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault of one trial as faults.csv has it; `injected_s` is None where it was not confirmed.

    `healed_s` is when its heal was confirmed, None where it has none.
    """

    number: int
    kind: str
    node: str
    invoked_s: float
    injected_s: float | None
    healed_s: float | None
    detail: str

    @property
    def moment_s(self) -> float:
        """When it took hold; when it was asked for, where nobody knows."""
        return self.invoked_s if self.injected_s is None else self.injected_s

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes it struck."""
        return frozenset(filter(None, self.node.split(NODES_BETWEEN)))


def injections(faults: pd.DataFrame) -> list[Injection]:
    """One trial's faults, by the moment they took hold; `faults` has its rows of faults.csv alone."""
    healed = {
        int(row.fault): _or_none(row.completed_s)  # type: ignore[arg-type]
        for row in faults[faults["step"] == "heal"].itertuples(index=False)
    }
    found = [
        Injection(
            number=int(row.fault),  # type: ignore[arg-type]
            kind=str(row.kind),
            node=str(row.node),
            invoked_s=float(row.invoked_s),  # type: ignore[arg-type]
            injected_s=_or_none(row.completed_s),
            healed_s=healed.get(int(row.fault)),  # type: ignore[arg-type]
            detail=str(row.detail),
        )
        for row in faults[faults["step"] == "inject"].itertuples(index=False)
    ]
    return sorted(found, key=lambda fault: fault.moment_s)


def phases(evidence: Evidence) -> tuple[PhaseRow, ...]:
    """The steps of every recovery, by trial in the manifest's order, by fault and time; pure."""
    found: list[PhaseRow] = []
    for trial in evidence.manifest.trials:
        key = (trial.generation, trial.trial)
        table = evidence.faults
        faults = injections(table[(table["generation"] == key[0]) & (table["trial"] == key[1])])
        events = [event for event in evidence.events if (event.generation, event.trial) == key]
        found += _of_trial(key, faults, events)
    return tuple(found)


def _of_trial(
    key: tuple[str, int], faults: Sequence[Injection], events: Sequence[NodeEvent]
) -> list[PhaseRow]:
    first: dict[tuple[int, str, str, str], PhaseRow] = {}

    def say(fault: Injection, phase: RecoveryPhase, at_s: float, node: str, source: str) -> None:
        since_s = max(at_s - fault.moment_s, 0.0)
        row = PhaseRow(*key, fault.number, phase, at_s, since_s, node, source)
        first.setdefault((fault.number, phase, node, source), row)

    for fault in faults:
        if fault.kind in _ENDED and fault.healed_s is not None:
            say(fault, "restarted", fault.healed_s, fault.node, OPERATOR)
    for event in events:
        if event.event not in RECOVERY_PHASES:
            continue
        about = _fault_of(event, faults)
        if about is not None:
            node = str(event.fields.get("target", event.node))
            say(about, cast(RecoveryPhase, event.event), event.t_s, node, event.node)
    return sorted(first.values(), key=lambda row: (row.fault, row.at_s))


def _fault_of(event: NodeEvent, faults: Sequence[Injection]) -> Injection | None:
    # Who waits for a death may see it before whoever caused it has confirmed it.
    before = [fault for fault in faults if fault.invoked_s <= event.t_s]
    values = [event.node, *(value for value in event.fields.values() if isinstance(value, str))]
    named = {name for value in values for name in value.split(NODES_BETWEEN)}
    own = [fault for fault in before if fault.nodes & named]
    return next(reversed(own or before), None)


def _or_none(cell: object) -> float | None:
    return None if pd.isna(cell) else float(cell)  # type: ignore[call-overload,arg-type]

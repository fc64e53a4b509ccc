"""What a profile's faults come to in one trial of one generation: which nodes, when, and until when.

Each moment and each node is drawn by a stream of its own, from the profile's seed, the trial, the fault and
its repetition. So another fault beside it changes nothing about it, and within a block of trials all
generations are struck at the same moments. Fixed targets come first; what is drawn avoids the nodes that
ail already.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.generations import (
    AIMLESS_FAULTS,
    ENDING_FAULTS,
    GENERATIONS,
    LASTING_FAULTS,
    FaultKind,
    NodeRole,
)
from bench.profile.model import Fault, Operator, Profile

RANDOM = "random"
REST_S = 10.0
"""How long a node that was struck is left alone by what is drawn, though it be healed or heals itself.

A node that is asked to end has been seen to take 7.5 s on a machine with a load of 20."""


class NobodyFreeError(Exception):
    """A fault whose node is to be drawn finds all that can suffer it ailing. `entry` is its index."""

    def __init__(self, entry: int, what: str) -> None:
        super().__init__(what)
        self.entry = entry


@dataclass(frozen=True, slots=True)
class Injection:
    """One strike, by the profile's fault of index `entry`.

    `heal_s` is None where there is nothing to heal, or the generation heals it by itself. `human_s` is the
    part of the time until the heal in which the operator noticed and decided.
    """

    entry: int
    kind: FaultKind
    nodes: tuple[str, ...]
    inject_s: float
    heal_s: float | None
    human_s: float


def aimed_at(fault: Fault, generation: str) -> Sequence[NodeRole]:
    """The nodes that the fault's target names in `generation`, whether or not they can suffer it."""
    known = GENERATIONS[generation]
    if fault.kind in AIMLESS_FAULTS:
        return ()
    if fault.all_ is not None:
        return [node for node in known.nodes if node.role == fault.all_]
    if fault.target == RANDOM:
        return known.nodes
    return known.targets(fault.target or "")


def able(fault: Fault, generation: str) -> Sequence[NodeRole]:
    """Of the nodes that the fault is aimed at those that can suffer it."""
    return [node for node in aimed_at(fault, generation) if fault.kind in node.faults]


def is_fixed(fault: Fault, generation: str) -> bool:
    """Whether there is nothing to draw: all of a role, one node, or none at all."""
    return fault.all_ is not None or len(able(fault, generation)) < 2


def ails_for_s(fault: Fault, nodes: Sequence[NodeRole], operator: Operator) -> float | None:
    """How long after it strikes it is healed by the harness; None where it is not."""
    if fault.kind in LASTING_FAULTS:
        return fault.duration
    if fault.kind in AIMLESS_FAULTS:
        return None
    if fault.kind == "restart":
        return 0.0
    waits_s = [node.restart_after_s for node in nodes if node.restart_after_s is not None]
    if fault.kind == "kill" and not waits_s:
        return None
    after_s = max(waits_s, default=0.0) if fault.restart_after is None else fault.restart_after
    return after_s + operator.notice + operator.decide


def earliest_s(fault: Fault) -> Sequence[float]:
    """When the fault strikes at the soonest, each of its repetitions; at the latest `within` after that."""
    return [fault.at + number * (fault.every or 0.0) for number in range(fault.repeat)]


def injections(profile: Profile, generation: str, trial: int) -> tuple[Injection, ...]:
    """All of one trial's, in the order they strike; raises NobodyFreeError."""
    strikes = []
    for entry, fault in enumerate(profile.faults):
        if fault.generations is None or generation in fault.generations:
            for number, at_s in enumerate(earliest_s(fault)):
                stream = f"fault {profile.seed} {trial} {entry} {number}"
                inject_s = round(at_s + random.Random(stream).uniform(0, fault.within), 3)
                strikes.append((not is_fixed(fault, generation), inject_s, entry, stream))
    found: list[Injection] = []
    ailing: dict[str, list[tuple[float, float]]] = {}
    for drawn, inject_s, entry, stream in sorted(strikes):
        fault = profile.faults[entry]
        nodes = able(fault, generation)
        if drawn:
            free = [node for node in nodes if _is_free(node, fault, profile.operator, inject_s, ailing)]
            if not free:
                raise NobodyFreeError(
                    entry,
                    f"strikes at {inject_s:g}s in trial {trial} of {generation}, when every node that can "
                    "suffer it ails already; strike less often, or later",
                )
            nodes = [random.Random(f"{stream} {generation}").choice(free)]
        after_s = ails_for_s(fault, nodes, profile.operator)
        ends = fault.kind in ENDING_FAULTS and after_s is not None
        found.append(
            Injection(
                entry=entry,
                kind=fault.kind,
                nodes=tuple(node.name for node in nodes),
                inject_s=inject_s,
                heal_s=None if after_s is None else round(inject_s + after_s, 3),
                human_s=profile.operator.notice + profile.operator.decide if ends else 0.0,
            )
        )
        for node in nodes:
            ailing.setdefault(node.name, []).append((inject_s, inject_s + (after_s or 0.0) + REST_S))
    return tuple(sorted(found, key=lambda one: (one.inject_s, one.entry)))


def _is_free(
    node: NodeRole,
    fault: Fault,
    operator: Operator,
    inject_s: float,
    ailing: Mapping[str, Sequence[tuple[float, float]]],
) -> bool:
    """Whether the node ails of nothing else, by name from when to when, while it would of this fault."""
    until_s = inject_s + (ails_for_s(fault, [node], operator) or 0.0) + REST_S
    return all(until_s <= from_s or to_s <= inject_s for from_s, to_s in ailing.get(node.name, ()))

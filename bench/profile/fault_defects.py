"""Defects of a profile's faults that one key alone does not show: each is refused before a plan is made."""

from collections.abc import Iterator, Sequence

from bench.capabilities import CAPABILITIES, deployments_that_can
from bench.generations import AIMLESS_FAULTS, ENDING_FAULTS, GENERATIONS, LASTING_FAULTS, FaultKind
from bench.profile.injections import (
    NobodyFreeError,
    able,
    ails_for_s,
    aimed_at,
    earliest_s,
    injections,
    is_fixed,
)
from bench.profile.model import Fault, Profile

Defect = tuple[tuple[str | int, ...], str]
"""Where in the profile, and what is wrong there."""

_WHY_NOT_LASTING: dict[FaultKind, str] = {
    "kill": "a kill has none; restart_after says when the node is started again",
    "stop": "a stop has none; restart_after says when the node is started again",
    "restart": "a restart has none; the node is started again at once",
    "reconnect": "a reconnect has none; the people come back by themselves",
    "none": "nothing is done, so nothing lasts",
}


def fault_defects(profile: Profile) -> list[Defect]:
    """All of them; none of faults that can be planned."""
    if not profile.faults:
        return []
    steady_from_s = _steady_from_s(profile)
    if steady_from_s is None:
        return [(("faults",), "no baseline to recover to; add a stage of kind steady before the fault")]
    found: list[Defect] = []
    for entry, fault in enumerate(profile.faults):
        defects = [
            *_deployment_defects(profile, fault),
            *_aim_defects(fault),
            *_end_defects(fault),
            *_detail_defects(fault),
            *_time_defects(profile, fault, steady_from_s),
            *_target_defects(profile, fault),
        ]
        found += [(("faults", entry, key), what) for key, what in defects]
    return found or _overlaps(profile) or _nobody_free(profile)


def _steady_from_s(profile: Profile) -> float | None:
    start_s = 0.0
    for stage in profile.load.stages:
        if stage.kind == "steady":
            return start_s
        start_s += stage.duration
    return None


def _deployment_defects(profile: Profile, fault: Fault) -> Iterator[tuple[str, str]]:
    if fault.kind not in CAPABILITIES[profile.deployment]:
        can = ", ".join(deployments_that_can(fault.kind))
        yield "kind", f"{fault.kind}: not possible with deployment {profile.deployment}; it is with {can}"


def _aim_defects(fault: Fault) -> Iterator[tuple[str, str]]:
    """What it strikes: said once, or where there is nothing to strike not at all."""
    kind = fault.kind
    if kind in AIMLESS_FAULTS:
        for key, value in (("target", fault.target), ("all", fault.all_)):
            if value is not None:
                yield key, f"a fault of kind {kind} is aimed at no node; leave it out"
    elif fault.target is None and fault.all_ is None:
        yield "kind", f"{kind} of what? give a target, such as core, or a role with all, such as all: edge"
    elif fault.target is not None and fault.all_ is not None:
        yield "all", "target says already what is struck; give one of the two"


def _end_defects(fault: Fault) -> Iterator[tuple[str, str]]:
    """How it ends, and how often it comes."""
    kind = fault.kind
    if fault.duration is None and kind in LASTING_FAULTS:
        yield "duration", f"required for a {kind}: how long until it is healed, such as 3s"
    if fault.duration is not None and kind in _WHY_NOT_LASTING:
        yield "duration", _WHY_NOT_LASTING[kind]
    if fault.restart_after is not None and kind not in ENDING_FAULTS:
        instead = "; give its duration instead" if kind in LASTING_FAULTS else ""
        yield "restart_after", f"goes with kill and stop, not with {kind}{instead}"
    if fault.repeat > 1 and fault.every is None:
        yield "every", f"required to repeat it {fault.repeat} times: from one to the next, such as 60s"
    if fault.repeat == 1 and fault.every is not None:
        yield "every", "goes with repeat, which says how many times"


def _detail_defects(fault: Fault) -> Iterator[tuple[str, str]]:
    """How slow a network is, and how far a clock jumps."""
    kind = fault.kind
    link = {"latency": fault.latency, "loss": fault.loss, "bandwidth": fault.bandwidth}
    given = [key for key, value in link.items() if value is not None]
    if kind == "slow" and not given:
        yield "kind", "how slow? give at least one of latency (100ms), loss (1%) and bandwidth (10Mbit/s)"
    if kind != "slow" and given:
        yield given[0], f"goes with a fault of kind slow, not with {kind}"
    if kind == "clock_jump" and not fault.by:
        yield "by", "required for a clock_jump: how far, such as 5min or -30s"
    if kind != "clock_jump" and fault.by is not None:
        yield "by", f"goes with a fault of kind clock_jump, not with {kind}"


def _time_defects(profile: Profile, fault: Fault, steady_from_s: float) -> Iterator[tuple[str, str]]:
    length_s = sum(stage.duration for stage in profile.load.stages)
    latest_s = earliest_s(fault)[-1] + fault.within
    if fault.at >= length_s:
        yield "at", f"{fault.at:g}s is outside the run, whose stages last {length_s:g}s"
    elif fault.at <= steady_from_s:
        yield "at", f"{fault.at:g}s is before the steady stage (from {steady_from_s:g}s), the baseline"
    elif latest_s >= length_s:
        key = "within" if fault.repeat == 1 else "repeat"
        what = "it strikes as late as" if fault.repeat == 1 else f"number {fault.repeat} strikes as late as"
        yield key, f"{what} {latest_s:g}s, outside the run, whose stages last {length_s:g}s"
    elif fault.kind in LASTING_FAULTS and fault.duration and latest_s + fault.duration > length_s:
        healed_s = latest_s + fault.duration
        yield "duration", f"heals as late as {healed_s:g}s, when the load has ended, at {length_s:g}s"
    elif fault.kind in ENDING_FAULTS:
        given_up_s = length_s + profile.drain.limit
        for name in _struck(profile, fault):
            down_s = ails_for_s(fault, able(fault, name), profile.operator) or 0.0
            if latest_s + down_s >= given_up_s:
                yield (
                    "restart_after",
                    f"started again as late as {latest_s + down_s:g}s in {name}, when the drain has been "
                    f"given up, at {given_up_s:g}s (restart_after, and the operator's notice and decide)",
                )
                return


def _target_defects(profile: Profile, fault: Fault) -> Iterator[tuple[str, str]]:
    for other in fault.generations or ():
        if other not in profile.generations:
            yield "generations", f"{other} is not among the profile's generations"
    if fault.kind in AIMLESS_FAULTS or (fault.target is None and fault.all_ is None):
        return
    key = "target" if fault.all_ is None else "all"
    aim = fault.target if fault.all_ is None else fault.all_
    for name in _struck(profile, fault):
        generation = GENERATIONS[name]
        if not aimed_at(fault, name):
            known = ", ".join(f"{node.name} ({node.role})" for node in generation.nodes)
            what = "node or role" if fault.all_ is None else "node of role"
            yield key, f"no {what} {aim!r} in {name}; it has {known}"
        elif not able(fault, name):
            can = [node.name for node in generation.nodes if fault.kind in node.faults]
            yield key, f"{aim!r} cannot suffer a {fault.kind} in {name}; {', '.join(can) or 'no node'} can"


def _overlaps(profile: Profile) -> list[Defect]:
    """Fixed targets that may be struck while they ail, whatever is drawn."""
    for name in profile.generations:
        spans: dict[str, list[tuple[float, float, int]]] = {}
        for entry, fault in enumerate(profile.faults):
            if name not in _struck(profile, fault) or not is_fixed(fault, name):
                continue
            nodes = able(fault, name)
            lasts_s = fault.within + (ails_for_s(fault, nodes, profile.operator) or 0.0)
            for node in nodes:
                spans.setdefault(node.name, []).extend(
                    (at_s, at_s + lasts_s, entry) for at_s in earliest_s(fault)
                )
        for node_name, of_node in spans.items():
            defect = _overlap(node_name, sorted(of_node))
            if defect is not None:
                return [defect]
    return []


def _overlap(node: str, spans: Sequence[tuple[float, float, int]]) -> Defect | None:
    """The first two of the sorted spans that touch, told at the later of the two in the profile."""
    last: tuple[float, float, int] | None = None
    for start_s, end_s, entry in spans:
        if last is not None and start_s <= last[1]:
            if entry == last[2]:
                ails_s = last[1] - last[0]
                what = f"strikes {node} again while it may ail, {ails_s:g}s long; expected more than that"
                return ("faults", entry, "every"), what
            first, second = sorted((entry, last[2]))
            what = (
                f"may strike {node}, at {start_s:g}s or later, while it still ails of fault {first + 1}, "
                f"until {last[1]:g}s"
            )
            return ("faults", second, "at"), what
        if last is None or end_s > last[1]:
            last = start_s, end_s, entry
    return None


def _nobody_free(profile: Profile) -> list[Defect]:
    for name in profile.generations:
        for trial in range(1, profile.trials + 1):
            try:
                injections(profile, name, trial)
            except NobodyFreeError as error:
                key = "target" if profile.faults[error.entry].target is not None else "all"
                return [(("faults", error.entry, key), str(error))]
    return []


def _struck(profile: Profile, fault: Fault) -> Sequence[str]:
    """The profile's generations that the fault strikes."""
    return [name for name in profile.generations if fault.generations is None or name in fault.generations]

"""When the system noticed a fault, came back, and had caught up: a row of recovery.csv for each fault.

`bins` says what a bin holds, `health` which are bad or good. Bins are widened from the injection on and
apart before it, so that none straddles it. Each fault is watched until the trial's next injection, or
until the load ends.

Wide bins find the recovery, narrow ones date it: it is the earliest of the original bins before the
hold from which on, bin by bin, the next 100 arrivals are good. An impact is the first original bin
of the outage with bad goodput. As bins go by the intended start, `restored` is when messages began to
be answered soon enough: up to half the SLO, and a bin, before the first of those answers.

`first_success` is when the first message intended after the injection was acknowledged: the least of
bin start + quickest response in the bin. `caught_up` goes by the clock, with the rules that `health`
has for backlog and delivery. `phases` has what the system's own nodes said, `touched` whom it touched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from bench.analysis.bins import (
    ARRIVALS_PER_BIN,
    Bin,
    histograms_by_bin,
    next_arrivals,
    original_bins,
    while_offered,
    widen,
)
from bench.analysis.health import (
    BAD_GOODPUT,
    GOOD_GOODPUT,
    HOLD_BINS,
    HOLD_S,
    MATERIAL,
    Baseline,
    Course,
    Truths,
    baseline_of,
    course_of,
    judge,
    judge_catching_up,
    why_no_baseline,
)
from bench.analysis.phases import OPERATOR, WAITING, Injection, injections, phases
from bench.analysis.planned import clients, operator_s, slo, stages
from bench.analysis.touched import touched_between
from bench.evidence import Evidence
from bench.records import PhaseRow, RecoveryPhase, RecoveryRow


def recoveries(evidence: Evidence) -> tuple[RecoveryRow, ...]:
    """One row a fault, in the order of the manifest's trials and of the injections; pure."""
    names = [stage.name for stage in stages(evidence.plan)]
    warm_from_s = _warm_from_s(evidence)
    histograms = histograms_by_bin(evidence.histograms)
    said = phases(evidence)
    rows = []
    for trial in evidence.manifest.trials:
        key = (trial.generation, trial.trial)
        faults = injections(_of(evidence.faults, *key))
        if not faults:
            continue
        bins = original_bins(_of(evidence.timeline, *key), names, histograms.get(key, {}))
        watch = _Watch(
            key=key,
            before=widen([b for b in bins if b.start_s >= warm_from_s and b.end_s <= faults[0].moment_s]),
            material_ms=MATERIAL * slo(evidence.plan).response_ms,
            operator_s=operator_s(evidence.plan),
            clients=clients(evidence.plan),
            touched=None if evidence.touched is None else _of(evidence.touched, *key),
        )
        for fault, following in zip(faults, [*faults[1:], None], strict=True):
            until_s = following.moment_s if following else float("inf")
            after = [b for b in bins if b.end_s > fault.moment_s and b.start_s < until_s]
            own = [row for row in said if (row.generation, row.trial, row.fault) == (*key, fault.number)]
            rows.append(_recovery(watch, fault, while_offered(after), own))
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class _Watch:
    """What is the same for all faults of one trial; `before` are the widened bins before the first."""

    key: tuple[str, int]
    before: Sequence[Bin]
    material_ms: float
    operator_s: float
    clients: int | None
    touched: pd.DataFrame | None


def _recovery(
    watch: _Watch, fault: Injection, after: Sequence[Bin], steps: Sequence[PhaseRow]
) -> RecoveryRow:
    key, before = watch.key, watch.before
    injected_s = fault.injected_s
    if injected_s is None:
        reason = fault.detail or "no reason given"
        return _unknown(key, fault, f"the injection was not confirmed: {reason}")
    if (why := why_no_baseline(before)) is not None:
        return _unknown(key, fault, why)
    bins = widen(after)
    if len(bins) < 2:
        return _unknown(key, fault, "the load ended with the fault: nothing to watch")

    baseline = baseline_of(before, watch.material_ms)
    judged = partial(judge, baseline=baseline)
    course = course_of(bins, *judged(bins))
    caught_up_s = _caught_up_s(after, bins, baseline, injected_s)
    end_s = bins[-1].end_s
    impact_s, restored_s, unhealthy_s = None, None, course.unhealthy_s
    if course.impact is not None:
        impact_s = max(_impact_s(after, bins[course.impact]), injected_s)
    if course.restored is not None:
        found_s = _dated_s(after, bins, course.restored, judged)
        unhealthy_s -= bins[course.restored].start_s - found_s
        restored_s = max(found_s, injected_s)
    censored = impact_s is not None and restored_s is None
    until_s = injected_s + HOLD_S if impact_s is None else end_s if restored_s is None else restored_s
    touched = None if watch.touched is None else touched_between(watch.touched, injected_s, until_s)
    return RecoveryRow(
        *key,
        fault=fault.number,
        kind=fault.kind,
        node=fault.node,
        outcome="not recovered" if censored else "no impact" if impact_s is None else "recovered",
        injected_s=injected_s,
        impact_s=impact_s,
        detected_s=min(_times(steps, "detected", injected_s), default=None),
        first_success_s=_first_success_s(after, injected_s),
        restored_s=restored_s,
        caught_up_s=caught_up_s,
        redundant_s=max(_times(steps, "redundant", injected_s), default=None),
        time_to_recover_s=0.0
        if impact_s is None
        else None
        if restored_s is None
        else restored_s - injected_s,
        human_s=watch.operator_s if _waited_for_operator(fault, steps, impact_s, restored_s) else 0.0,
        time_to_catch_up_s=None if caught_up_s is None else caught_up_s - injected_s,
        censored_at_s=end_s - injected_s if censored else None,
        resolution_s=_resolution_s(after),
        unhealthy_s=unhealthy_s,
        relapses=course.relapses,
        lost_goodput_messages=float(sum(b.offered - b.on_time for b in after if b.start_s < until_s)),
        touched_clients=touched,
        touched_ratio=touched / watch.clients if touched is not None and watch.clients else None,
        baseline_p95_ms=baseline.response_p95_ms,
        detail=_detail(course, end_s) if censored else "",
    )


def _caught_up_s(
    after: Sequence[Bin], bins: Sequence[Bin], baseline: Baseline, injected_s: float
) -> float | None:
    limit_ms = baseline.good_delivery_ms
    if limit_ms is None:
        return None
    judged = partial(judge_catching_up, good_backlog=baseline.backlog, good_delivery_ms=limit_ms)
    course = course_of(bins, *judged(bins))
    if course.impact is None:
        return injected_s
    if course.restored is None:
        return None
    return max(_dated_s(after, bins, course.restored, judged), injected_s)


def _dated_s(
    after: Sequence[Bin],
    bins: Sequence[Bin],
    found: int,
    judged: Callable[[Sequence[Bin]], tuple[Truths, Truths]],
) -> float:
    """The moment, to an original bin, from which on the next 100 arrivals are good, up to bin `found`."""
    earliest_s = bins[max(found - 1, 0)].start_s
    dated_s = bins[found].start_s
    for at in range(len(after) - 1, -1, -1):
        if after[at].start_s >= bins[found].start_s:
            continue
        if after[at].start_s < earliest_s:
            break
        _, good = judged([next_arrivals(after, at)])
        if not good[0]:
            break
        dated_s = after[at].start_s
    return dated_s


def _impact_s(after: Sequence[Bin], outage: Bin) -> float:
    within = (b for b in after if outage.start_s <= b.start_s < outage.end_s)
    return next((b.start_s for b in within if b.goodput < BAD_GOODPUT), outage.start_s)


def _resolution_s(after: Sequence[Bin]) -> float:
    """An original bin's width, or the time of the arrivals that may be late in a good window of them."""
    rate_per_s = sum(b.offered for b in after) / (after[-1].end_s - after[0].start_s)
    return max(*(b.end_s - b.start_s for b in after), (1 - GOOD_GOODPUT) * ARRIVALS_PER_BIN / rate_per_s)


def _first_success_s(bins: Sequence[Bin], injected_s: float) -> float | None:
    return min(
        (
            b.start_s + quickest_us / 1e6
            for b in bins
            if b.start_s >= injected_s
            for quickest_us in [b.quickest_us]
            if quickest_us is not None
        ),
        default=None,
    )


def _detail(course: Course, end_s: float) -> str:
    if course.healthy_since_s is None:
        return f"unhealthy to the end of the watch at {end_s:.1f} s"
    return (
        f"healthy from {course.healthy_since_s:.1f} s on, but watched for only "
        f"{end_s - course.healthy_since_s:.1f} s more: a recovery must hold for {HOLD_S:g} s "
        f"and {HOLD_BINS} bins"
    )


def _times(steps: Sequence[PhaseRow], phase: RecoveryPhase, injected_s: float) -> list[float]:
    """When the system said so, not before the injection's confirmation."""
    return [max(step.at_s, injected_s) for step in steps if step.phase == phase]


def _waited_for_operator(
    fault: Injection, steps: Sequence[PhaseRow], impact_s: float | None, restored_s: float | None
) -> bool:
    """Whether health came back only after the operator had started the node, and not by a promotion."""
    if impact_s is None or fault.kind not in WAITING:
        return False
    before = [step for step in steps if restored_s is None or step.at_s <= restored_s]
    started = any(step.source == OPERATOR for step in before)
    return started and all(step.phase != "promoted" for step in before)


def _unknown(key: tuple[str, int], fault: Injection, detail: str) -> RecoveryRow:
    return RecoveryRow(
        *key,
        fault=fault.number,
        kind=fault.kind,
        node=fault.node,
        outcome="unknown",
        injected_s=fault.injected_s,
        impact_s=None,
        detected_s=None,
        first_success_s=None,
        restored_s=None,
        caught_up_s=None,
        redundant_s=None,
        time_to_recover_s=None,
        human_s=None,
        time_to_catch_up_s=None,
        censored_at_s=None,
        resolution_s=None,
        unhealthy_s=None,
        relapses=None,
        lost_goodput_messages=None,
        touched_clients=None,
        touched_ratio=None,
        baseline_p95_ms=None,
        detail=detail,
    )


def _warm_from_s(evidence: Evidence) -> float:
    """Where the last of the leading warm-up stages ends."""
    warm_s = 0.0
    for stage in stages(evidence.plan):
        if stage.kind != "warmup":
            break
        warm_s = stage.end_s
    return warm_s


def _of(table: pd.DataFrame, generation: str, trial: int) -> pd.DataFrame:
    return table[(table["generation"] == generation) & (table["trial"] == trial)]

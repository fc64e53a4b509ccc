"""When the system noticed a fault, came back, and had caught up; from bins of goodput and latency.

Goodput counts sends acknowledged within the SLO, in the bin of their intended start. Bins are widened
until each has 100 arrivals, from the injection on and apart before it, so that none straddles it.

The baseline is what lies before the trial's *first* injection, without warm-up: a system that the
first fault has made slower is not the measure for the second. A bin is
  bad   when goodput < 90 % of offered, or response p95 above 1.5 x the baseline's;
  good  when goodput >= 95 % and p95 within 1.25 x.
Two bad bins in a row are an outage; in the first two bins after the injection, where one is expected,
one is enough. It ends with a hold: at least 10 s and 10 bins that begin with two good ones, of which no
two in a row and no more than one in five are anything else. A later outage in the same window is a
relapse, and reopens the incident. Rules that look for *one* bin fail on noise: the p95 of 100
exponential response times is above 1.25 x its own expectation one time in twenty, so that of fourteen
bins in a row all were good only every other time (tests/unit/analysis/test_recovery.py has the
experiment). For the same reason no bin is asked to be better than 19 in 20 of the baseline's own.

Nor is any asked to be quicker than half the SLO: below that, slower is not ill. A shared machine
drifts, and a p95 of a few ms drifts with it. With response times that wander (log-normal, 0.4, over
3 s) and 14 s of baseline, relative limits alone called 14 of 40 trials without any outage unhealthy,
and 13 of 40 that were back after 4 s not recovered; with a tenth of the SLO, none and none. A tenth
was not enough for a real machine: two cores, shared, gave a database cluster with a p95 of 18 ms
before the fault 15 to 107 ms for as long as one watched after it, with every message on time.

Wide bins find the recovery, narrow ones date it: it is the earliest of the original bins before the
hold from which on, bin by bin, the next 100 arrivals are good. An impact is the first original bin
of the outage with bad goodput. As bins go by the intended start, `restored` is when messages began to
be answered soon enough: up to half the SLO, and a bin, before the first of those answers.

`first_success` is when the first message intended after the injection was acknowledged: the least of
bin start + quickest response in the bin. `caught_up` goes by the clock, with the same rules: backlog no
longer than at any time in the baseline, delivery p95 back in its band. Each fault is watched until
the trial's next injection, or until the load ends.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.metrics import TRANSACTIONS
from bench.analysis.planned import slo, stages
from bench.evidence import Evidence, NodeEvent
from bench.histograms import Histogram, merge, percentile
from bench.records import RecoveryRow

ARRIVALS_PER_BIN = 100
BASELINE_BINS = 5
"""With fewer bins before the fault there is nothing to compare with."""
BAD_GOODPUT = 0.90
GOOD_GOODPUT = 0.95
BAD_LATENCY = 1.5
GOOD_LATENCY = 1.25
MATERIAL = 0.5
"""The share of the SLO's response time up to which a latency is never ill; see above."""
LEEWAY = BAD_LATENCY / GOOD_LATENCY
USUAL = 0.95
"""The share of the baseline's own bins that the latency limits let pass."""
HOLD_S = 10.0
HOLD_BINS = 10
FORGIVEN_SHARE = 0.2
FEWEST_FOR_P95 = 20
"""Below this many samples a bin's p95 is no more than its highest value."""
DETECTED = "detected"

Floats = npt.NDArray[np.float64]
Truths = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin, or several made one. `*_p95_ms` are None where there are too few samples to say."""

    start_s: float
    end_s: float
    offered: int
    on_time: int
    backlog: int
    response: Histogram
    delivery: Histogram

    @property
    def goodput(self) -> float:
        """On-time share of what was offered; 1 where nothing was."""
        return self.on_time / self.offered if self.offered else 1.0

    @property
    def response_p95_ms(self) -> float | None:
        """Of acknowledged sends intended in this bin."""
        return _p95_ms(self.response)

    @property
    def delivery_p95_ms(self) -> float | None:
        """Of messages received in this bin."""
        return _p95_ms(self.delivery)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was normal before the fault. Limits are None where there was nothing to measure them by."""

    response_p95_ms: float | None
    good_response_ms: float | None
    good_delivery_ms: float | None
    backlog: float


@dataclass(frozen=True, slots=True)
class Course:
    """The outages in a row of bins. `impact` and `restored` are positions in it: where the first outage
    began, and where the hold began that ended the last; None for never.

    `healthy_since_s` is where an unfinished hold began, when the system had not recovered by the end of
    the watch but looked well.
    """

    impact: int | None
    restored: int | None
    relapses: int
    unhealthy_s: float
    healthy_since_s: float | None


@dataclass(frozen=True, slots=True)
class _Fault:
    number: int
    kind: str
    node: str
    injected_s: float | None
    invoked_s: float
    detail: str


def recoveries(evidence: Evidence) -> tuple[RecoveryRow, ...]:
    """One row a fault, in the order of the manifest's trials and of the injections; pure."""
    kinds = {stage.name: stage.kind for stage in stages(evidence.plan)}
    histograms = _by_bin(evidence)
    rows = []
    for trial in evidence.manifest.trials:
        key = (trial.generation, trial.trial)
        faults = _faults(_of(evidence.faults, *key))
        if not faults:
            continue
        bins = base_bins(_of(evidence.timeline, *key), kinds.keys(), histograms.get(key, {}))
        warm = [b for b in bins if b.start_s >= _warm_from_s(evidence)]
        events = [e for e in evidence.events if (e.generation, e.trial) == key]
        first_s = min(_moment(fault) for fault in faults)
        before = widen([b for b in warm if b.end_s <= first_s])
        material_ms = MATERIAL * slo(evidence.plan).response_ms
        for fault, following in zip(faults, [*faults[1:], None], strict=True):
            until_s = _moment(following) if following else float("inf")
            after = [b for b in bins if b.end_s > _moment(fault) and b.start_s < until_s]
            rows.append(_recovery(key, fault, before, _while_offered(after), events, material_ms))
    return tuple(rows)


def widen(bins: Sequence[Bin]) -> list[Bin]:
    """Neighbours joined until each has 100 arrivals; what is left over at the end joins the last."""
    joined: list[Bin] = []
    waiting: list[Bin] = []
    arrivals = 0
    for item in bins:
        waiting.append(item)
        arrivals += item.offered
        if arrivals >= ARRIVALS_PER_BIN:
            joined.append(_join(waiting))
            waiting, arrivals = [], 0
    if waiting:
        joined = [*joined[:-1], _join([*joined[-1:], *waiting])]
    return joined


def baseline_of(bins: Sequence[Bin], material_ms: float) -> Baseline:
    """What is normal, from the widened bins before the first fault; up to `material_ms` all is."""
    whole = _join(bins)
    responses = [b.response_p95_ms for b in bins]
    deliveries = [b.delivery_p95_ms for b in bins]
    rate_per_s = whole.offered / (whole.end_s - whole.start_s)
    return Baseline(
        response_p95_ms=whole.response_p95_ms,
        good_response_ms=_limit(whole.response_p95_ms, responses, material_ms),
        good_delivery_ms=_limit(whole.delivery_p95_ms, deliveries, material_ms),
        # Little's law: with that latency, so many are under way.
        backlog=max(*(b.backlog for b in bins), rate_per_s * material_ms / 1000),
    )


def course_of(bins: Sequence[Bin], bad: Truths, good: Truths) -> Course:
    """What happened in the bins after an injection."""
    impact: int | None = None
    restored: int | None = None
    healthy_since_s: float | None = None
    outages = 0
    unhealthy_s = 0.0
    begin = _first_outage(bad)
    while begin is not None:
        outages += 1
        impact = begin if impact is None else impact
        restored, healthy_since_s = hold(bins, good, begin + 1)
        if restored is None:
            unhealthy_s += bins[-1].end_s - bins[begin].start_s
            break
        unhealthy_s += bins[restored].start_s - bins[begin].start_s
        begin = _two_in_a_row(bad, restored)
    return Course(impact, restored, max(outages - 1, 0), unhealthy_s, healthy_since_s)


def hold(bins: Sequence[Bin], good: Truths, begin: int) -> tuple[int | None, float | None]:
    """Where the first whole hold from `begin` on starts; or None, and when the unfinished one began."""
    start = begin
    while start + 1 < len(bins):
        if not (good[start] and good[start + 1]):
            start += 1
            continue
        faulty = 0
        for at in range(start, len(bins)):
            faulty += not good[at]
            length = at + 1 - start
            if not good[at] and not good[at - 1]:
                start = at  # broken: no hold can reach over two in a row
                break
            long_enough = bins[at].end_s - bins[start].start_s >= HOLD_S - 1e-6 and length >= HOLD_BINS
            if long_enough and good[at]:
                if faulty <= FORGIVEN_SHARE * length:
                    return start, None
                start += 1
                break
        else:
            return None, bins[start].start_s
    return None, None


def base_bins(
    timeline: pd.DataFrame,
    phases: Iterable[str],
    histograms: Mapping[tuple[int, str], Sequence[Histogram]],
) -> list[Bin]:
    """One trial's bins of sends within the planned stages, by time; kinds of send are added up."""
    table = timeline[timeline["operation"].isin(TRANSACTIONS) & timeline["phase"].isin(list(phases))]
    sums = table.groupby("bin_start_s", sort=True).agg(
        {"bin_width_s": "max", "offered": "sum", "on_time": "sum", "backlog": "sum"}
    )
    return [
        Bin(
            start_s=start_s,
            end_s=start_s + width_s,
            offered=int(offered),
            on_time=int(on_time),
            backlog=int(backlog),
            response=merge(histograms.get((_ms(start_s), "response"), ())),
            delivery=merge(histograms.get((_ms(start_s), "delivery"), ())),
        )
        for start_s, width_s, offered, on_time, backlog in sums.itertuples(name=None)
    ]


def _recovery(
    key: tuple[str, int],
    fault: _Fault,
    before: Sequence[Bin],
    after: Sequence[Bin],
    events: Sequence[NodeEvent],
    material_ms: float,
) -> RecoveryRow:
    injected_s = fault.injected_s
    if injected_s is None:
        why = f"the injection was not confirmed: {fault.detail or 'no reason given'}"
        return _unknown(key, fault, why)
    if len(before) < BASELINE_BINS:
        return _unknown(
            key,
            fault,
            f"no baseline: {len(before)} bins of {ARRIVALS_PER_BIN} arrivals between warm-up and "
            f"the first fault, expected at least {BASELINE_BINS}",
        )
    share = float(np.median([b.goodput for b in before]))
    if share < GOOD_GOODPUT:
        return _unknown(key, fault, f"no baseline: {share:.1%} on time before the first fault")
    bins = widen(after)
    if len(bins) < 2:
        return _unknown(key, fault, "the load ended with the fault: nothing to watch")

    baseline = baseline_of(before, material_ms)
    course = course_of(bins, *judge(bins, baseline))
    caught_up_s = _caught_up_s(after, bins, baseline, injected_s)
    end_s = bins[-1].end_s
    impact_s, restored_s, unhealthy_s = None, None, course.unhealthy_s
    if course.impact is not None:
        impact_s = max(_impact_s(after, bins[course.impact]), injected_s)
    if course.restored is not None:
        found_s = _dated_s(
            after, bins, course.restored, lambda ahead, _: bool(judge([ahead], baseline)[1][0])
        )
        unhealthy_s -= bins[course.restored].start_s - found_s
        restored_s = max(found_s, injected_s)
    outcome = "no impact" if impact_s is None else "not recovered" if restored_s is None else "recovered"
    area_until_s = injected_s + HOLD_S if impact_s is None else end_s if restored_s is None else restored_s
    return RecoveryRow(
        *key,
        fault=fault.number,
        kind=fault.kind,
        node=fault.node,
        outcome=outcome,  # type: ignore[arg-type]
        injected_s=injected_s,
        impact_s=impact_s,
        # Who waits for a death may see it before whoever caused it has confirmed it.
        detected_s=_first(
            max(event.t_s, injected_s)
            for event in events
            if event.event == DETECTED and fault.invoked_s <= event.t_s < end_s
        ),
        first_success_s=_first_success_s(after, injected_s),
        restored_s=restored_s,
        caught_up_s=caught_up_s,
        time_to_recover_s=0.0
        if impact_s is None
        else None
        if restored_s is None
        else restored_s - injected_s,
        time_to_catch_up_s=None if caught_up_s is None else caught_up_s - injected_s,
        censored_at_s=end_s - injected_s if outcome == "not recovered" else None,
        resolution_s=_resolution_s(after),
        unhealthy_s=unhealthy_s,
        relapses=course.relapses,
        lost_goodput_messages=float(sum(b.offered - b.on_time for b in after if b.start_s < area_until_s)),
        baseline_p95_ms=baseline.response_p95_ms,
        detail=_detail(course, end_s) if outcome == "not recovered" else "",
    )


def judge(bins: Sequence[Bin], baseline: Baseline) -> tuple[Truths, Truths]:
    """Which bins are bad, and which are good; some are neither."""
    goodput = np.array([b.goodput for b in bins])
    limit = baseline.good_response_ms
    if limit is None:  # no histograms: goodput alone decides
        return goodput < BAD_GOODPUT, goodput >= GOOD_GOODPUT
    latency = np.array([_or_nan(b.response_p95_ms) for b in bins])
    with np.errstate(invalid="ignore"):  # a bin without acknowledgements has no latency, only bad goodput
        bad = (goodput < BAD_GOODPUT) | (latency > limit * LEEWAY)
        good = (goodput >= GOOD_GOODPUT) & ~(latency > limit)
    return bad, good


def _caught_up_s(
    after: Sequence[Bin], bins: Sequence[Bin], baseline: Baseline, injected_s: float
) -> float | None:
    limit = baseline.good_delivery_ms
    if limit is None:
        return None
    backlog = np.array([b.backlog for b in bins])
    # Where hardly anything arrives, delivery is as late as can be.
    delivery = np.array([_or_infinity(b.delivery_p95_ms) for b in bins])
    behind = (backlog > baseline.backlog * LEEWAY) | (delivery > limit * LEEWAY)
    settled = (backlog <= baseline.backlog) & (delivery <= limit)
    course = course_of(bins, behind, settled)
    if course.impact is None:
        return injected_s
    if course.restored is None:
        return None

    def is_settled(ahead: Bin, first: Bin) -> bool:
        return first.backlog <= baseline.backlog and _or_infinity(ahead.delivery_p95_ms) <= limit

    return max(_dated_s(after, bins, course.restored, is_settled), injected_s)


def _dated_s(
    after: Sequence[Bin], bins: Sequence[Bin], found: int, is_good: Callable[[Bin, Bin], bool]
) -> float:
    """The moment, to an original bin, from which on the next 100 arrivals are good, up to bin `found`.

    `is_good` is asked about those arrivals and about the first of the bins they are in.
    """
    earliest_s = bins[max(found - 1, 0)].start_s
    dated_s = bins[found].start_s
    for at in range(len(after) - 1, -1, -1):
        if after[at].start_s >= bins[found].start_s:
            continue
        if after[at].start_s < earliest_s or not is_good(_ahead(after, at), after[at]):
            break
        dated_s = after[at].start_s
    return dated_s


def _ahead(bins: Sequence[Bin], begin: int) -> Bin:
    """The bins from `begin` on that hold the next 100 arrivals, as one."""
    arrivals = 0
    for end in range(begin, len(bins)):
        arrivals += bins[end].offered
        if arrivals >= ARRIVALS_PER_BIN:
            break
    return _join(bins[begin : end + 1])


def _impact_s(after: Sequence[Bin], outage: Bin) -> float:
    within = (b for b in after if outage.start_s <= b.start_s < outage.end_s)
    return next((b.start_s for b in within if b.goodput < BAD_GOODPUT), outage.start_s)


def _resolution_s(after: Sequence[Bin]) -> float:
    """An original bin's width, or the time of the arrivals that may be late in a good window of them."""
    rate_per_s = sum(b.offered for b in after) / (after[-1].end_s - after[0].start_s)
    return max(*(b.end_s - b.start_s for b in after), (1 - GOOD_GOODPUT) * ARRIVALS_PER_BIN / rate_per_s)


def _first_success_s(bins: Sequence[Bin], injected_s: float) -> float | None:
    return _first(
        b.start_s + b.response.lowest_us / 1e6
        for b in bins
        if b.start_s >= injected_s and b.response.lowest_us is not None
    )


def _detail(course: Course, end_s: float) -> str:
    if course.healthy_since_s is None:
        return f"unhealthy to the end of the watch at {end_s:.1f} s"
    return (
        f"healthy from {course.healthy_since_s:.1f} s on, but watched for only "
        f"{end_s - course.healthy_since_s:.1f} s more: a recovery must hold for {HOLD_S:g} s "
        f"and {HOLD_BINS} bins"
    )


def _unknown(key: tuple[str, int], fault: _Fault, detail: str) -> RecoveryRow:
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
        time_to_recover_s=None,
        time_to_catch_up_s=None,
        censored_at_s=None,
        resolution_s=None,
        unhealthy_s=None,
        relapses=None,
        lost_goodput_messages=None,
        baseline_p95_ms=None,
        detail=detail,
    )


def _limit(
    whole_p95_ms: float | None, each_p95_ms: Iterable[float | None], material_ms: float
) -> float | None:
    if whole_p95_ms is None:
        return None
    given = [value for value in each_p95_ms if value is not None]
    usual = float(np.quantile(given, USUAL)) if given else 0.0
    return max(GOOD_LATENCY * whole_p95_ms, usual, material_ms)


def _join(bins: Sequence[Bin]) -> Bin:
    if len(bins) == 1:
        return bins[0]
    return Bin(
        start_s=bins[0].start_s,
        end_s=bins[-1].end_s,
        offered=sum(b.offered for b in bins),
        on_time=sum(b.on_time for b in bins),
        backlog=bins[-1].backlog,
        response=merge(b.response for b in bins),
        delivery=merge(b.delivery for b in bins),
    )


def _p95_ms(histogram: Histogram) -> float | None:
    if histogram.total < FEWEST_FOR_P95:
        return None
    value_us = percentile(histogram, 0.95)
    return None if value_us is None else value_us / 1000


def _first_outage(bad: Truths) -> int | None:
    at_once = np.flatnonzero(bad[:2])
    return int(at_once[0]) if at_once.size else _two_in_a_row(bad, 0)


def _two_in_a_row(truths: Truths, begin: int) -> int | None:
    pairs = np.flatnonzero(truths[begin:-1] & truths[begin + 1 :])
    return begin + int(pairs[0]) if pairs.size else None


def _while_offered(bins: Sequence[Bin]) -> list[Bin]:
    """Without the bins after the last arrival."""
    last = max((i for i, b in enumerate(bins) if b.offered), default=-1)
    return list(bins[: last + 1])


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


def _by_bin(evidence: Evidence) -> dict[tuple[str, int], dict[tuple[int, str], list[Histogram]]]:
    """By trial, then by the bin's start in ms and the measure: response of `ok`, delivery of all."""
    found: dict[tuple[str, int], dict[tuple[int, str], list[Histogram]]] = {}
    for line in evidence.histograms:
        tag = line.tag
        if tag.operation not in TRANSACTIONS or tag.measure not in ("response", "delivery"):
            continue
        if tag.measure == "response" and tag.outcome != "ok":
            continue
        of_trial = found.setdefault((tag.generation, tag.trial), {})
        of_trial.setdefault((_ms(line.start_s), tag.measure), []).append(line.histogram)
    return found


def _faults(table: pd.DataFrame) -> list[_Fault]:
    """The injections, by the moment they took hold."""
    found = []
    for row in table[table["step"] == "inject"].itertuples(index=False):
        completed_s = None if pd.isna(row.completed_s) else float(row.completed_s)  # type: ignore[arg-type]
        found.append(
            _Fault(
                int(row.fault),  # type: ignore[arg-type]
                str(row.kind),
                str(row.node),
                completed_s,
                float(row.invoked_s),  # type: ignore[arg-type]
                str(row.detail),
            )
        )
    return sorted(found, key=_moment)


def _moment(fault: _Fault) -> float:
    return fault.invoked_s if fault.injected_s is None else fault.injected_s


def _first(moments: Iterable[float]) -> float | None:
    return min(moments, default=None)


def _or_infinity(value: float | None) -> float:
    return float("inf") if value is None else value


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _ms(start_s: float) -> int:
    return round(start_s * 1000)

"""What was normal before the first fault, which bins are bad by that measure, where outages begin and end.

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

Having caught up goes by the same rules: backlog no longer than at any time in the baseline, delivery
p95 back in its band.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.analysis.bins import ARRIVALS_PER_BIN, Bin, join

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

Truths = npt.NDArray[np.bool_]
"""One answer for each bin, in their order."""


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


def why_no_baseline(bins: Sequence[Bin]) -> str | None:
    """What keeps the widened bins before the first fault from being a measure; None where nothing does."""
    if len(bins) < BASELINE_BINS:
        return (
            f"no baseline: {len(bins)} bins of {ARRIVALS_PER_BIN} arrivals between warm-up and "
            f"the first fault, expected at least {BASELINE_BINS}"
        )
    share = float(np.median([b.goodput for b in bins]))
    if share < GOOD_GOODPUT:
        return f"no baseline: {share:.1%} on time before the first fault"
    return None


def baseline_of(bins: Sequence[Bin], material_ms: float) -> Baseline:
    """What is normal, from the widened bins before the first fault; up to `material_ms` all is."""
    whole = join(bins)
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


def judge(bins: Sequence[Bin], baseline: Baseline) -> tuple[Truths, Truths]:
    """Which bins are bad, and which are good; some are neither."""
    goodput = np.array([b.goodput for b in bins])
    limit = baseline.good_response_ms
    if limit is None:  # no histograms: goodput alone decides
        return goodput < BAD_GOODPUT, goodput >= GOOD_GOODPUT
    latency = np.array([_or(b.response_p95_ms, np.nan) for b in bins])
    with np.errstate(invalid="ignore"):  # a bin without acknowledgements has no latency, only bad goodput
        bad = (goodput < BAD_GOODPUT) | (latency > limit * LEEWAY)
        good = (goodput >= GOOD_GOODPUT) & ~(latency > limit)
    return bad, good


def judge_catching_up(
    bins: Sequence[Bin], good_backlog: float, good_delivery_ms: float
) -> tuple[Truths, Truths]:
    """Which bins are behind, and which have caught up, by the baseline's limits; some are neither."""
    backlog = np.array([b.backlog for b in bins])
    # Where hardly anything arrives, delivery is as late as can be.
    delivery = np.array([_or(b.delivery_p95_ms, np.inf) for b in bins])
    behind = (backlog > good_backlog * LEEWAY) | (delivery > good_delivery_ms * LEEWAY)
    caught_up = (backlog <= good_backlog) & (delivery <= good_delivery_ms)
    return behind, caught_up


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


def _limit(
    whole_p95_ms: float | None, each_p95_ms: Iterable[float | None], material_ms: float
) -> float | None:
    if whole_p95_ms is None:
        return None
    given = [value for value in each_p95_ms if value is not None]
    usual = float(np.quantile(given, USUAL)) if given else 0.0
    return max(GOOD_LATENCY * whole_p95_ms, usual, material_ms)


def _first_outage(bad: Truths) -> int | None:
    at_once = np.flatnonzero(bad[:2])
    return int(at_once[0]) if at_once.size else _two_in_a_row(bad, 0)


def _two_in_a_row(truths: Truths, begin: int) -> int | None:
    pairs = np.flatnonzero(truths[begin:-1] & truths[begin + 1 :])
    return begin + int(pairs[0]) if pairs.size else None


def _or(value: float | None, missing: float) -> float:
    return missing if value is None else value

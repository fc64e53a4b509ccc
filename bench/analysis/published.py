"""What was measured, beside what the published table claims: each cell with a word and a sentence for it.

    measured         stands there as it is: the table claims nothing of it, or there is no interval to test by
    consistent       the published figure lies within the 95 % interval of the measured one
    contradicted     it lies outside
    projected        a fit says at which size it would be reached, which the sentence gives with its interval
    untestable here  nothing that was done here speaks for or against it

The table's absolute figures are of clusters of unknown size, so only a projection can speak to them. Its
ratios between generations can be put to the test: a figure over the first generation's.

- Throughput: only where capacity was searched for. At a load that both carried, TPS is that load, and
  its ratio 1 whatever the systems are. The interval is that of the bounds: lowest over highest.
- Response time: from the trials of each, at the same offered load. The table does not say which percentile
  it means, so a ratio is contradicted only where p50 and p99 both are.
- Recovery: from the first fault of each trial. The published hours hold noticing, deciding, and years of
  data; what is measured is said to be without.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.analysis.judgement import FEWEST_TRIALS
from bench.analysis.ratios import hodges_lehmann, ratio_interval
from bench.evidence import PublishedRow

Verdict = Literal["measured", "projected", "consistent", "contradicted", "untestable here"]

COLUMN_OF: Mapping[str, str] = {
    "tps": "throughput_tps",
    "response_p50_ms": "response_time_ms",
    "time_to_recover_s": "recovery_time_s",
}
"""Headline figure by name: the published column it stands beside."""
ALSO_BY: Mapping[str, str] = {"response_p50_ms": "response_p99_ms"}
"""The figure that must say the same before a claim is contradicted."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Between which rates a generation's capacity lies, without a latency goal; None where none was proved.

    `believed` is as in capacity.csv: `no` where the generator may have been the limit.
    """

    lower_per_s: float | None
    upper_per_s: float | None
    believed: str


@dataclass(frozen=True, slots=True)
class Projection:
    """At which size of what it grows with a fit comes to the published figure, with its 95 % interval.

    The table does not say how much data its figures are of, so this is as far as a fit can carry. `of` says
    of what, with its unit; `fit` from what. None is an end that the interval does not have. `published` is
    the figure it is about: another table's is another.
    """

    published: float
    reached_at: float
    low: float | None
    high: float | None
    of: str
    fit: str


@dataclass(frozen=True, slots=True)
class Measured:
    """One generation. `figures` are its medians, `by_trial` a value a trial, infinity for what never came.

    `carried` is whether all that was offered was carried, so that its TPS is that load. `objection` is what
    its audit speaks against, empty where it is complete (audit.gate).
    """

    generation: str
    figures: Mapping[str, float | None]
    by_trial: Mapping[str, Sequence[float]] = field(default_factory=dict)
    carried: bool = True
    objection: str = ""
    capacity: Capacity | None = None
    projections: Mapping[str, Projection] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of one generation, measured and published; `*ratio*` are over the first generation's.

    `ratio_low` and `ratio_high` are the 95 % interval of the measured ratio. `absolute` and `ratio` are the
    words on the published figure and on its ratio, `*_reason` a sentence for each.
    """

    generation: str
    figure: str
    measured: float | None
    measured_ratio: float | None
    published: float | None
    published_ratio: float | None
    absolute: Verdict
    ratio: Verdict
    ratio_low: float | None = None
    ratio_high: float | None = None
    absolute_reason: str = ""
    ratio_reason: str = ""


@dataclass(frozen=True, slots=True)
class _Told:
    """The word on a ratio, with what it rests on."""

    verdict: Verdict
    reason: str
    ratio: float | None = None
    interval: tuple[float, float] | None = None


def beside_published(measured: Iterable[Measured], published: Sequence[PublishedRow]) -> tuple[Cell, ...]:
    """A cell for each generation and figure, generations as given, the first the reference; pure.

    Generations the table does not have, and figures it has no column for, get cells with `published` missing.
    """
    claims = {row.generation: row for row in published}
    given = list(measured)
    cells = []
    for one in given:
        for figure, value in one.figures.items():
            claim = _claim(claims.get(one.generation), figure)
            claimed = ratio(claim, _claim(claims.get(given[0].generation), figure))
            absolute, why = _absolute(one, figure, claim)
            told = _ratio(given[0], one, figure, claimed)
            low, high = told.interval or (None, None)
            cells.append(
                Cell(
                    generation=one.generation,
                    figure=figure,
                    measured=value,
                    measured_ratio=told.ratio,
                    published=claim,
                    published_ratio=claimed,
                    absolute=absolute,
                    ratio=told.verdict,
                    ratio_low=_finite(low),
                    ratio_high=_finite(high),
                    absolute_reason=why,
                    ratio_reason=told.reason,
                )
            )
    return tuple(cells)


def ratio(value: float | None, reference: float | None) -> float | None:
    """value / reference; None where either is missing or the reference is 0."""
    return None if value is None or not reference else value / reference


def _absolute(one: Measured, figure: str, claim: float | None) -> tuple[Verdict, str]:
    if claim is None:
        found = one.figures.get(figure) is not None
        return ("measured", "the table has no such figure") if found else ("untestable here", "not measured")
    projection = one.projections.get(figure)
    if projection is not None and projection.published == claim:
        low, high = ("no bound" if end is None else _size(end) for end in (projection.low, projection.high))
        return "projected", (
            f"it would be reached at {_size(projection.reached_at)} {projection.of} "
            f"({low} to {high} at 95 %): {projection.fit}"
        )
    if figure == "tps":
        return "untestable here", "it is of a cluster, whose size is not published; here is one machine"
    if figure == "time_to_recover_s":
        return "untestable here", (
            "the published time holds people and the data of years; what is measured here is machine time "
            "at this run's data"
        )
    return "untestable here", "it is of a cluster at its own load; here is one machine at the offered one"


def _ratio(first: Measured, one: Measured, figure: str, claimed: float | None) -> _Told:
    own = ratio(one.figures.get(figure), first.figures.get(figure))
    if one is first:
        return _Told("untestable here", "it is what the others are set beside", own)
    if figure == "tps" and claimed is not None:
        return _of_capacity(first, one, claimed, own)
    objected = next((each for each in (first, one) if each.objection), None)
    if claimed is not None and own is not None and objected is not None:
        text = f"{objected.generation}: {objected.objection}: what it costs to keep them is not in the figure"
        return _Told("untestable here", text, own)
    tested = None if claimed is None else _of_trials(first, one, figure, claimed)
    if claimed is None or tested is None:
        return _untested(first, one, figure, own, claimed)
    also = _of_trials(first, one, ALSO_BY[figure], claimed) if figure in ALSO_BY else None
    if also is not None and also.verdict != tested.verdict and tested.verdict == "contradicted":
        return _Told("consistent", f"not at p50, but at p99: {also.reason}", tested.ratio, tested.interval)
    return tested


def _of_trials(first: Measured, one: Measured, figure: str, claimed: float) -> _Told | None:
    """By the 95 % interval of the trials' ratio; None where there are too few for one."""
    ours, theirs = first.by_trial.get(figure, ()), one.by_trial.get(figure, ())
    if min(len(ours), len(theirs)) < FEWEST_TRIALS:
        return None
    found, interval = hodges_lehmann(ours, theirs), ratio_interval(ours, theirs)
    verdict, how = _verdict(interval, claimed)
    setting = (
        "machine time, without people, at this run's data"
        if figure == "time_to_recover_s"
        else f"{'p99' if 'p99' in figure else 'p50'} at the same offered load"
    )
    text = f"×{claimed:.3g} lies {how} ×{interval[0]:.3g} to ×{interval[1]:.3g}, measured here: {setting}"
    return _Told(verdict, text, _finite(found), interval)


def _untested(first: Measured, one: Measured, figure: str, own: float | None, claimed: float | None) -> _Told:
    if own is None:
        never = any(math.inf in each.by_trial.get(figure, ()) for each in (first, one))
        why = "one of both did not recover while it was watched" if never else "not measured of both"
        return _Told("untestable here", why)
    if claimed is None:
        return _Told("measured", "the table has no such figure", own)
    counts = " v ".join(str(len(each.by_trial.get(figure, ()))) for each in (first, one))
    fewest = f"{FEWEST_TRIALS} v {FEWEST_TRIALS}"
    return _Told("measured", f"{counts} trials have no interval to test it by: it takes {fewest}", own)


def _of_capacity(first: Measured, one: Measured, claimed: float, own: float | None) -> _Told:
    ours, theirs = first.capacity, one.capacity
    if ours is None or theirs is None:
        why = "both carried what they were offered" if first.carried and one.carried else "TPS in overload"
        return _Told("untestable here", f"{why}: that is no capacity; `bench capacity` searches for it", own)
    if "no" in (ours.believed, theirs.believed):
        return _Told("untestable here", "the generator may have been the limit of one of both", own)
    low = (theirs.lower_per_s or 0.0) / ours.upper_per_s if ours.upper_per_s else 0.0
    high = theirs.upper_per_s / ours.lower_per_s if theirs.upper_per_s and ours.lower_per_s else math.inf
    if low == 0.0 and high == math.inf:
        return _Told("untestable here", "the searches proved no bound to set it beside", own)
    verdict, how = _verdict((low, high), claimed)
    if verdict == "consistent" and (low == 0.0 or high == math.inf):
        verdict = "measured"  # bounded on one side alone, it could hardly be contradicted
    text = (
        f"×{claimed:.3g} lies {how} ×{low:.3g} to ×{high:.3g}, the ratio of capacities on the same cores of "
        "one machine"
    )
    middle = math.sqrt(low * high) if low and math.isfinite(high) else None
    return _Told(verdict, text, middle, (low, high))


def _verdict(interval: tuple[float, float], claimed: float) -> tuple[Verdict, str]:
    inside = interval[0] <= claimed <= interval[1]
    return ("consistent", "within") if inside else ("contradicted", "outside")


def _claim(row: PublishedRow | None, figure: str) -> float | None:
    column = COLUMN_OF.get(figure)
    return None if row is None or column is None else float(getattr(row, column))


def _size(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

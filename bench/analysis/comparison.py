"""Two runs side by side: the unit is a trial, never a request.

The effect is a ratio, contender over baseline, estimated as Hodges and Lehmann do, on logarithms: the
median of all pairwise ratios. Its 95 % interval is the set of ratios that the exact permutation test
of the rank sum would not refuse, and `p` is the two-sided exact permutation test's on the difference of
mean logs (all splits of the pooled trials are enumerated; above 200,000 of them, 20,000 are drawn from
a fixed seed). With fewer than 4 trials a side no p below 0.05 is possible, and all that is said is
`descriptive only`.

Two runs are only comparable where nothing but the system differs: the same plan, machine, deployment
and versions. `difference` lists what else differs; a comparison of such runs is refused unless forced,
and then it carries the list.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from bench.analysis.analyse import (
    Analysis,
    believed,
    figures_by_trial,
)
from bench.analysis.audit import losses
from bench.analysis.incidents import headline_recoveries, recovery_by_trial
from bench.errors import UserError
from bench.evidence import Evidence

Word = Literal["descriptive only", "better", "worse", "inconclusive", "no figure"]
FEWEST_TRIALS = 4
ALPHA = 0.05
MOST_SPLITS = 200_000
DRAWN_SPLITS = 20_000
MARGIN = 0.05
"""Ratios within 1 ± this are no difference that matters."""
HIGHER_IS_BETTER = frozenset({"tps", "slo_share"})
COMPARED = (
    "tps",
    "response_p50_ms",
    "response_p99_ms",
    "delivery_p99_ms",
    "time_to_recover_s",
    "lost",
    "cpu_us_per_transaction",
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of one generation in two runs.

    Medians are over each run's believed trials. `ratio` is contender over baseline; None where a side
    has no figure or a figure is 0. `interval` and `p` are None where the word is `descriptive only`.
    """

    generation: str
    figure: str
    baseline: float | None
    contender: float | None
    ratio: float | None
    interval: tuple[float, float] | None
    p: float | None
    trials: tuple[int, int]
    word: Word


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Two runs compared. `differing` is empty unless the comparison was forced."""

    baseline: str
    contender: str
    differing: tuple[str, ...]
    rows: tuple[Comparison, ...]


def difference(baseline: Evidence, contender: Evidence) -> tuple[str, ...]:
    """What differs between two runs besides their figures, as `key: this v that`."""
    one, other = _identity(baseline), _identity(contender)
    keys = sorted(one.keys() | other.keys())
    return tuple(
        f"{key}: {one.get(key, 'none')} v {other.get(key, 'none')}"
        for key in keys
        if one.get(key) != other.get(key)
    )


def compare(
    baseline: tuple[Evidence, Analysis], contender: tuple[Evidence, Analysis], *, force: bool = False
) -> Comparisons:
    """Every generation that both runs have, figure by figure; pure.

    Raises UserError where they are not comparable and `force` is False, or have no generation in common.
    """
    for evidence, _ in (baseline, contender):
        if evidence.manifest.kind != "run":
            raise UserError(
                f"{evidence.manifest.run} is of a search for capacity: expected two runs; "
                "the intervals of searches stand in their capacity.csv"
            )
    differing = difference(baseline[0], contender[0])
    if differing and not force:
        raise UserError(
            f"the runs differ in {'; '.join(differing)}: expected equal ones, so that a difference in "
            "figures is the system's; --force compares all the same and says so"
        )
    theirs = {headline.generation for headline in contender[1].headlines}
    shared = [h.generation for h in baseline[1].headlines if h.generation in theirs]
    if not shared:
        raise UserError("the runs have no generation in common: expected at least one that both measured")
    rows = []
    for generation in shared:
        one, other = _by_trial(*baseline, generation), _by_trial(*contender, generation)
        rows += [_compared(generation, figure, one[figure], other[figure]) for figure in COMPARED]
    names = (baseline[0].manifest.run, contender[0].manifest.run)
    return Comparisons(*names, differing, tuple(rows))


def hodges_lehmann(baseline: Sequence[float], contender: Sequence[float]) -> float:
    """The median of all pairwise ratios contender/baseline, taken on logs; all values above 0."""
    return math.exp(float(np.median(_shifts(baseline, contender))))


def ratio_interval(baseline: Sequence[float], contender: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of that ratio: ordered pairwise log-ratios k and m·n+1-k, k by the exact rank sum.

    k is the largest with P(U < k) <= 0.025 under no difference (Hollander & Wolfe, 4.3); with too few
    trials for any, the interval is that of all pairs.
    """
    shifts = np.sort(_shifts(baseline, contender))
    counts = _rank_sum_counts(len(baseline), len(contender))
    below = np.cumsum(counts) / counts.sum()  # below[u] = P(U <= u)
    k = max(int(np.searchsorted(below, ALPHA / 2, side="right")), 1)  # P(U <= k-1) <= alpha/2
    return math.exp(float(shifts[k - 1])), math.exp(float(shifts[len(shifts) - k]))


def permutation_p(baseline: Sequence[float], contender: Sequence[float]) -> float:
    """The share of all splits of the pooled trials whose mean logs are at least as far apart."""
    pooled = np.log(np.concatenate([np.asarray(baseline), np.asarray(contender)]))
    size, total = len(baseline), len(pooled)
    splits = math.comb(total, size)
    if splits <= MOST_SPLITS:
        chosen = np.array(list(combinations(range(total), size)))
    else:
        source = np.random.default_rng(0)
        drawn = [source.permutation(total)[:size] for _ in range(DRAWN_SPLITS - 1)]
        chosen = np.array([np.arange(size), *drawn])  # the split that was seen is one of them
    first = pooled[chosen].sum(axis=1)
    apart = np.abs(first / size - (pooled.sum() - first) / (total - size))
    seen = abs(pooled[:size].mean() - pooled[size:].mean())
    return float(np.mean(apart >= seen - 1e-12))


def _identity(evidence: Evidence) -> dict[str, str]:
    manifest = evidence.manifest
    return {
        "plan": manifest.plan_digest[:12],
        "host": manifest.host.fingerprint,
        "deployment": str(evidence.plan.get("deployment", "none")),
        **{f"version of {name}": version for name, version in manifest.versions.items()},
    }


def _by_trial(evidence: Evidence, analysis: Analysis, generation: str) -> dict[str, list[float]]:
    """Each compared figure by trial; a trial without the figure is left out."""
    trials = believed([t for t in evidence.manifest.trials if t.generation == generation])
    numbers = {trial.trial for trial in trials}
    found = figures_by_trial(generation, trials, analysis.phase, analysis.summary)
    struck = [r for r in analysis.recovery if r.generation == generation and r.trial in numbers]
    found["time_to_recover_s"] = recovery_by_trial(headline_recoveries(struck))
    audits = [losses(evidence.audit, [trial]) for trial in trials]
    found["lost"] = [float(audit.lost) for audit in audits if audit is not None]
    return {figure: found[figure] for figure in COMPARED}


def _compared(generation: str, figure: str, one: Sequence[float], other: Sequence[float]) -> Comparison:
    medians = (_median(one), _median(other))
    trials = (len(one), len(other))
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    word: Word = "no figure" if None in medians else "descriptive only"
    if one and other and all(0 < value < math.inf for value in (*one, *other)):
        ratio = hodges_lehmann(one, other)
        if min(trials) >= FEWEST_TRIALS:
            interval, p = ratio_interval(one, other), permutation_p(one, other)
            word = _word(interval, p, higher_is_better=figure in HIGHER_IS_BETTER)
    return Comparison(generation, figure, *medians, ratio, interval, p, trials, word)


def _word(interval: tuple[float, float], p: float, *, higher_is_better: bool) -> Word:
    above, below = interval[0] > 1 + MARGIN, interval[1] < 1 - MARGIN
    if p >= ALPHA or not (above or below):
        return "inconclusive"
    return "better" if above == higher_is_better else "worse"


def _median(values: Sequence[float]) -> float | None:
    """The median; None for none, and infinity where half of them never came."""
    if not values:
        return None
    ordered = sorted(values)
    middle = (ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2])
    return sum(middle) / 2


def _shifts(
    baseline: Sequence[float], contender: Sequence[float]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    one, other = np.log(np.asarray(baseline)), np.log(np.asarray(contender))
    shifts: np.ndarray[tuple[int], np.dtype[np.float64]] = (other[:, None] - one[None, :]).ravel()
    return shifts


def _rank_sum_counts(m: int, n: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How many of the C(m+n, m) orders give each value 0 … m·n of the Mann-Whitney U."""
    counts = np.zeros(m * n + 1)
    counts[0] = 1
    # The Gaussian binomial coefficient: the product over i of (1 - x^(n+i)) / (1 - x^i).
    for i in range(1, m + 1):
        for u in range(m * n, n + i - 1, -1):
            counts[u] -= counts[u - n - i]
        for u in range(i, m * n + 1):
            counts[u] += counts[u - i]
    return counts

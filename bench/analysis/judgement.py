"""The word on a comparison of trials: is the contender better, worse, equivalent, or can it not be told.

    better, worse      the ratio's 95 % interval lies wholly beyond the margin, and p after Holm is below 0.05
    equivalent         the interval lies wholly within the margin, and that is no wider than 25 %
    inconclusive       neither; `further_trials` more a side would settle it, if the estimate holds
    descriptive only   too few trials for any p below 0.05 after Holm, or the figure is not a primary one
    no figure          a side has none

The margin δ is max(5 %, 2 × the coefficient of variation between trials of one system): what two runs of
equal systems differ by of themselves is no difference that matters. Within it means from 1/(1+δ) to 1+δ,
so that swapping the sides swaps the words. Pure: figures in, words out.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.ratios import (
    ALPHA,
    hodges_lehmann,
    holm,
    least_p,
    log_deviation,
    permutation_p,
    ratio_interval,
)

Word = Literal["better", "worse", "equivalent", "inconclusive", "descriptive only", "no figure"]
Better = Literal["higher", "lower"]
FEWEST_TRIALS = 4
LEAST_MARGIN = 0.05
NOISE_IN_MARGIN = 2.0
WIDEST_EQUIVALENCE = 0.25
"""A margin beyond which trials scatter too much for anything to be called equivalent."""
MOST_FURTHER = 100
RANKS_OVER_MEANS = math.sqrt(math.pi / 3)
"""How much wider the interval of a Hodges-Lehmann estimate is than that of a mean, under normal noise."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of both sides, a value a trial; 0 and infinity are allowed, negative is not.

    `noise` are values of the same figure in further trials of equal systems, a sequence a run, for the
    margin; without any, the margin is of the scatter within both sides.
    """

    figure: str
    better: Better
    baseline: Sequence[float]
    contender: Sequence[float]
    noise: Sequence[Sequence[float]] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What can be said of one sample. `ratio` is contender over baseline.

    `p` is the exact permutation test's, `p_holm` that after Holm. `margin` is δ as a ratio (0.05 is 5 %).
    None is what could not be told. `further_trials` is how many more a side would settle it, None where
    it is settled or no number up to 100 would. `reason` is a sentence where the word needs one.
    """

    figure: str
    word: Word
    reason: str
    ratio: float | None
    interval: tuple[float, float] | None
    p: float | None
    p_holm: float | None
    margin: float | None
    further_trials: int | None


def judge(samples: Sequence[Sample]) -> tuple[Judgement, ...]:
    """The judgement on each of the samples, which are the primary figures of one comparison, in order."""
    tested = [sample for sample in samples if _testable(sample)]
    family = sum(bool(sample.baseline and sample.contender) for sample in samples)
    p = [permutation_p(sample.baseline, sample.contender) for sample in tested]
    adjusted = iter(zip(p, holm(p), strict=True))
    return tuple(
        _judged(sample, *next(adjusted), family=len(tested))
        if _testable(sample)
        else describe(sample, family=family)
        for sample in samples
    )


def judge_one(baseline: Sequence[float], contender: Sequence[float], better: Better = "lower") -> Judgement:
    """The judgement on one figure alone."""
    return judge([Sample("", better, baseline, contender)])[0]


def describe(sample: Sample, reason: str = "", *, family: int = 1) -> Judgement:
    """The figures side by side, without a word on them; `reason` says why, by default the trials' number.

    `family` is how many figures there are to judge at once.
    """
    one, other = sample.baseline, sample.contender
    if not one or not other:
        return Judgement(sample.figure, "no figure", reason, None, None, None, None, None, None)
    further = 0 if reason else max(fewest_trials(family) - min(len(one), len(other)), 0)
    reason = reason or (
        f"{len(one)} v {len(other)} trials: no p below {ALPHA} is possible "
        f"below {FEWEST_TRIALS} v {FEWEST_TRIALS}"
    )
    enough = min(len(one), len(other)) >= FEWEST_TRIALS
    return Judgement(
        figure=sample.figure,
        word="descriptive only",
        reason=reason,
        ratio=hodges_lehmann(one, other),
        interval=ratio_interval(one, other) if enough else None,
        p=None,
        p_holm=None,
        margin=None,
        further_trials=further or None,
    )


def fewest_trials(family: int) -> int:
    """How many trials a side it takes for a p below 0.05 in one of `family` figures, after Holm."""
    return next(n for n in range(FEWEST_TRIALS, 100) if family * least_p(n, n) < ALPHA)


def margin(sample: Sample) -> float:
    """δ of a sample: max(5 %, 2 × the coefficient of variation between trials of an equal system)."""
    deviation = noise(sample)
    if deviation is None:
        return LEAST_MARGIN
    return max(LEAST_MARGIN, NOISE_IN_MARGIN * math.sqrt(math.expm1(min(deviation, 5.0) ** 2)))


def noise(sample: Sample) -> float | None:
    """The standard deviation of logarithms between trials of an equal system; None where none can be told.

    Given runs of equal systems, it is of all their trials and the baseline's together, so that what
    differs from run to run is in it.
    """
    if sample.noise:
        return log_deviation([value for run in (sample.baseline, *sample.noise) for value in run])
    return log_deviation(sample.baseline, sample.contender)


def overall(words: Iterable[Word]) -> Word:
    """The word on several together: worse in one is worse, then better, then doubt; equivalent if all are."""
    given = set(words)
    order: tuple[Word, ...] = ("worse", "better", "inconclusive", "descriptive only", "equivalent")
    return next((word for word in order if word in given), "no figure")


def _testable(sample: Sample) -> bool:
    return min(len(sample.baseline), len(sample.contender)) >= FEWEST_TRIALS


def _judged(sample: Sample, p: float, p_holm: float, *, family: int) -> Judgement:
    one, other = sample.baseline, sample.contender
    interval = ratio_interval(one, other)
    delta = margin(sample)
    word = _word(interval, p_holm, delta, sample.better)
    ratio = hodges_lehmann(one, other)
    further = None
    reason = ""
    possible = family * least_p(len(one), len(other))
    if word == "inconclusive":
        further = _further(sample, ratio, delta, family)
        reason = "no number of trials up to 100 a side would settle it" if further is None else ""
        if delta > WIDEST_EQUIVALENCE:
            reason = f"trials of one system scatter too much: a margin of ±{delta:.0%}"
        if possible >= ALPHA:
            further = fewest_trials(family) - min(len(one), len(other))
            word = "descriptive only"
            reason = f"{len(one)} v {len(other)} trials: no p below {ALPHA} is possible of {family} figures"
    return Judgement(sample.figure, word, reason, ratio, interval, p, p_holm, delta, further)


def _word(interval: tuple[float, float], p_holm: float, delta: float, better: Better) -> Word:
    low, high = interval
    if 1 / (1 + delta) < low and high < 1 + delta and delta <= WIDEST_EQUIVALENCE:
        return "equivalent"
    above, below = low > 1 + delta, high < 1 / (1 + delta)
    if p_holm >= ALPHA or not (above or below):
        return "inconclusive"
    return "better" if above == (better == "higher") else "worse"


def _further(sample: Sample, ratio: float, delta: float, family: int) -> int | None:
    """How many more trials a side would put the interval on one side of the margin, if the ratio holds."""
    from scipy.special import stdtrit  # takes a moment to import

    deviation = log_deviation(sample.baseline, sample.contender)
    if deviation is None or not 0 < ratio < math.inf:
        return None
    have = min(len(sample.baseline), len(sample.contender))
    room = abs(abs(math.log(ratio)) - math.log1p(delta))
    beyond = abs(math.log(ratio)) > math.log1p(delta)
    for each in range(have + 1, have + MOST_FURTHER + 1):
        half = (
            float(stdtrit(2 * each - 2, 1 - ALPHA / 2)) * deviation * math.sqrt(2 / each) * RANKS_OVER_MEANS
        )
        if half < room and not (beyond and family * least_p(each, each) >= ALPHA):
            return each - have
    return None

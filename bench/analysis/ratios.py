"""Two samples of trials as a ratio: its estimate, its interval, and the chance of it under no difference.

A ratio is contender over baseline, estimated as Hodges and Lehmann do, on logarithms. A figure may be 0
or infinity (a recovery that was not needed, or never came): its logarithm is then an infinity, and two
equal infinities are no distance apart. Every function takes at least one figure a side.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

ALPHA = 0.05
MOST_SPLITS = 50_000
DRAWN_SPLITS = 20_000

Floats = npt.NDArray[np.float64]


def hodges_lehmann(baseline: Sequence[float], contender: Sequence[float]) -> float:
    """The median of all pairwise ratios contender/baseline, taken on logarithms."""
    shifts = np.sort(_shifts(baseline, contender))
    low, high = shifts[(len(shifts) - 1) // 2], shifts[len(shifts) // 2]
    return _exp(low if low == high else (low + high) / 2)


def ratio_interval(baseline: Sequence[float], contender: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of that ratio: ordered pairwise log-ratios k and m·n+1-k, k by the exact rank sum.

    k is the largest with P(U < k) <= 0.025 under no difference (Hollander & Wolfe, 4.3); with too few
    trials for any, the interval is that of all pairs.
    """
    shifts = np.sort(_shifts(baseline, contender))
    counts = _rank_sum_counts(len(baseline), len(contender))
    below = np.cumsum(counts) / counts.sum()  # below[u] = P(U <= u)
    k = max(int(np.searchsorted(below, ALPHA / 2, side="right")), 1)  # P(U <= k-1) <= alpha/2
    return _exp(shifts[k - 1]), _exp(shifts[len(shifts) - k])


def permutation_p(baseline: Sequence[float], contender: Sequence[float]) -> float:
    """The share of all splits of the pooled trials whose means are at least as far apart.

    The means are of logarithms; where one is an infinity, of ranks, ties sharing theirs. Above 50,000
    splits 20,000 are drawn from a fixed seed.
    """
    pooled = _scores(np.concatenate([_logs(baseline), _logs(contender)]))
    size, total = len(baseline), len(pooled)
    first = _splits(size, total) @ pooled
    apart = np.abs(first / size - (pooled.sum() - first) / (total - size))
    seen = abs(pooled[:size].mean() - pooled[size:].mean())
    return float(np.mean(apart >= seen - 1e-12))


@lru_cache(maxsize=8)
def _splits(size: int, total: int) -> Floats:
    """Ways to choose `size` of `total`, a row of ones and noughts each, the first ones chosen first."""
    if math.comb(total, size) <= MOST_SPLITS:
        chosen = np.array(list(combinations(range(total), size)))
    else:
        source = np.random.default_rng(0)
        orders = source.permuted(np.tile(np.arange(total), (DRAWN_SPLITS, 1)), axis=1)
        orders[0] = np.arange(total)  # the split that was seen is one of them
        chosen = orders[:, :size]
    splits = np.zeros((len(chosen), total))
    np.put_along_axis(splits, chosen, 1.0, axis=1)
    return splits


def least_p(m: int, n: int) -> float:
    """The smallest two-sided p that the permutation test can give of m v n trials that have no ties."""
    return min(1.0, (2 if m == n else 1) / math.comb(m + n, m))


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Each p adjusted for all of them (Holm 1979), in the order given: below 0.05 in all at once at 95 %."""
    adjusted = [0.0] * len(p)
    highest = 0.0
    for rank, position in enumerate(sorted(range(len(p)), key=lambda at: p[at])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[position]))
        adjusted[position] = highest
    return tuple(adjusted)


def log_deviation(*samples: Sequence[float]) -> float | None:
    """The standard deviation of logarithms within the samples, pooled; None below one degree of freedom."""
    logs = [_logs(sample) for sample in samples]
    finite = [values[np.isfinite(values)] for values in logs]
    freedom = sum(max(len(values) - 1, 0) for values in finite)
    if freedom == 0:
        return None
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in finite if len(values))
    return math.sqrt(squares / freedom)


def _logs(values: Sequence[float]) -> Floats:
    with np.errstate(divide="ignore"):
        logs: Floats = np.log(np.asarray(values, dtype=np.float64))
    return logs


def _exp(log: float) -> float:
    return 0.0 if log == -math.inf else math.exp(log)


def _scores(logs: Floats) -> Floats:
    """The logarithms themselves, or the ranks of them where not all are finite."""
    if np.isfinite(logs).all():
        return logs
    _, where, counts = np.unique(logs, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[where]
    return ranks


def _shifts(baseline: Sequence[float], contender: Sequence[float]) -> Floats:
    one, other = _logs(baseline)[None, :], _logs(contender)[:, None]
    with np.errstate(invalid="ignore"):
        shifts = np.where(one == other, 0.0, other - one)
    return shifts.ravel()


def _rank_sum_counts(m: int, n: int) -> Floats:
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

"""The median of times some of which never came, and what it is worth: a distribution-free interval.

What never came is longer than anything that did: +inf. The interval of the median is that between two
order statistics, ranks r and n+1-r, which covers it with 1 - 2 P(B < r), B binomial (n, 1/2), whatever
the distribution (Hahn & Meeker, Statistical Intervals, 5.2). r is the largest with which that is at least
95 %; where none reaches it, as with n = 5, the widest interval stands and its coverage, 93.75 %, is said.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST_FOR_INTERVAL = 5
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """Of a median: it lies within with probability `coverage`. `high` is infinite where it may be never."""

    low: float
    high: float
    coverage: float


def median(values: Sequence[float]) -> float | None:
    """The middle value, infinite where the middle never came; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def median_interval(values: Sequence[float]) -> Interval | None:
    """The interval of the median; None for fewer than five values."""
    n = len(values)
    if n < FEWEST_FOR_INTERVAL:
        return None
    from scipy.special import bdtr  # the binomial distribution; takes a moment to import

    rank = 1
    while 1 - 2 * bdtr(rank, n, 0.5) >= CONFIDENCE:
        rank += 1
    coverage = 1 - 2 * float(bdtr(rank - 1, n, 0.5))
    ordered = sorted(values)
    return Interval(ordered[rank - 1], ordered[n - rank], coverage)


def finite(value: float | None) -> float | None:
    """The value where it is a figure, None where there is none or it never came."""
    return value if value is not None and math.isfinite(value) else None

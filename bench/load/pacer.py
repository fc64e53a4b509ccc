"""When each message is meant to start: an absolute schedule, drawn before anything is sent.

Pure: stages and a seed in, times out. Nothing here looks at a clock, so nothing that happens to the
system under test can move the schedule.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bench.plan import PlannedStage

CHUNK = 4_096


def intended_times_ns(
    stages: Sequence[PlannedStage], *, poisson: bool, seed: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Arrival times in ns from the first stage's beginning, increasing, in chunks of at most CHUNK.

    Uniform arrivals sit in the middle of equal shares of the expected count. Poisson arrivals are a
    Poisson process of rate λ(t), made by time change: unit-rate exponential gaps, summed, mapped
    through the inverse of Λ(t) = ∫λ (Çınlar 1975; Lewis & Shedler 1979 compare the methods).
    """
    source = np.random.default_rng(seed)
    total = sum(stage.arrivals for stage in stages)
    reached = 0.0
    while reached < total:
        gaps = source.standard_exponential(CHUNK) if poisson else np.ones(CHUNK)
        cumulative = reached + np.cumsum(gaps)
        reached = float(cumulative[-1])
        if not poisson:
            cumulative = cumulative - 0.5
        cumulative = cumulative[cumulative < total]
        if len(cumulative):
            yield (_inverse(stages, cumulative) * 1e9).astype(np.int64)


def _inverse(stages: Sequence[PlannedStage], cumulative: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Λ⁻¹ of each expected count: seconds from the start. Λ is quadratic within each stage."""
    times_s = np.empty_like(cumulative)
    before = 0.0
    for stage in stages:
        inside = (cumulative >= before) & (cumulative < before + stage.arrivals)
        count = cumulative[inside] - before
        slope = (stage.end_rate_per_s - stage.rate_per_s) / (stage.end_s - stage.start_s)
        # Solve r·t + slope·t²/2 = count in the form that is exact for slope -> 0.
        root = np.sqrt(stage.rate_per_s**2 + 2 * slope * count)
        times_s[inside] = stage.start_s + 2 * count / (stage.rate_per_s + root)
        before += stage.arrivals
    return times_s

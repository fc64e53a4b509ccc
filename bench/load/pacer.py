"""When each operation is meant to start: an absolute schedule, drawn before anything is sent.

In a closed loop there is none: there only the times for which people think are drawn.

Pure: stages and a seed in, times out. Nothing here looks at a clock, so nothing that happens to the
system under test can move the schedule.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.plan import PlannedStage

CHUNK = 1_024
Floats = npt.NDArray[np.float64]


def intended_times_ns(
    stages: Sequence[PlannedStage], *, poisson: bool, seed: int, worker: int = 0, workers: int = 1
) -> Iterator[npt.NDArray[np.int64]]:
    """Arrival times in ns from the first stage's beginning, never falling, in chunks of at most CHUNK.

    Those of one of `workers`; together they are the arrivals of the stages. Uniform arrivals sit in the
    middle of equal shares of the expected count, and the workers take turns. Poisson arrivals are a
    Poisson process of rate λ(t), made by time change: unit-rate exponential gaps, summed, mapped through
    the inverse of Λ(t) = ∫λ (Çınlar 1975; Lewis & Shedler 1979 compare the methods). Each worker has one
    of rate λ/workers of its own, and their superposition is one of rate λ.
    """
    source = np.random.default_rng([seed, worker])
    offered = Offered.of(stages)
    reached, many = 0.0, 0
    while reached < offered.total:
        counts: Floats
        if poisson:
            counts = reached + np.cumsum(source.standard_exponential(CHUNK)) * workers
        else:
            counts = np.arange(many, many + CHUNK, dtype=np.float64) * workers + (worker + 0.5)
        many += CHUNK
        reached = float(counts[-1])
        counts = counts[counts < offered.total]
        if len(counts):
            yield (offered.time_s(counts) * 1e9).astype(np.int64)


def think_times_s(mean_s: float, seed: int, worker: int) -> Callable[[], float]:
    """How long somebody thinks in a closed loop, the next time: exponential; 0 where the mean is."""
    source = random.Random(f"think {seed} {worker}")
    return lambda: source.expovariate(1.0) * mean_s


@dataclass(frozen=True, slots=True, eq=False)
class Offered:
    """The expected count of arrivals Λ(t), exact: λ is piecewise linear, Λ quadratic between the knots.

    `times_s`, `rates_per_s` and `counts` are those at the knots; times and counts never fall.
    """

    times_s: Floats
    rates_per_s: Floats
    counts: Floats

    @classmethod
    def of(cls, stages: Sequence[PlannedStage]) -> "Offered":
        """That of stages one after the other."""
        times_s, rates_per_s = np.array([knot for stage in stages for knot in stage.knots]).T
        between = np.diff(times_s) * (rates_per_s[1:] + rates_per_s[:-1]) / 2
        return cls(times_s, rates_per_s, np.append(0.0, np.cumsum(between)))

    @property
    def total(self) -> float:
        """The expected count of all arrivals."""
        return float(self.counts[-1])

    def count_until(self, t_s: Floats) -> Floats:
        """Λ at each of these times, which lie within the stages."""
        at, inside_s, length_s = self._piece(self.times_s, t_s)
        rate_per_s = self.rates_per_s[at]
        slope = (self.rates_per_s[at + 1] - rate_per_s) / length_s
        counted: Floats = self.counts[at] + rate_per_s * inside_s + slope * inside_s**2 / 2
        return counted

    def time_s(self, counts: Floats) -> Floats:
        """Λ⁻¹ of each of these counts, in [0, total)."""
        at, left, _ = self._piece(self.counts, counts)
        length_s = self.times_s[at + 1] - self.times_s[at]
        rate_per_s = self.rates_per_s[at]
        slope = (self.rates_per_s[at + 1] - rate_per_s) / length_s
        # Solve rate·t + slope·t²/2 = left in the form that is exact for slope -> 0.
        root = rate_per_s + np.sqrt(np.maximum(rate_per_s**2 + 2 * slope * left, 0.0))
        inside_s = np.divide(2 * left, root, out=np.zeros_like(left), where=root > 0)
        found: Floats = self.times_s[at] + np.minimum(inside_s, length_s)
        return found

    @staticmethod
    def _piece(knots: Floats, values: Floats) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
        """For each value the last piece that begins at or below it and has a length, and how far in it is."""
        at = np.searchsorted(knots, values, side="right") - 1
        last = np.searchsorted(knots, knots[-1], side="left") - 1  # the end belongs to the piece before it
        at = np.clip(at, 0, last)
        return at, values - knots[at], knots[at + 1] - knots[at]

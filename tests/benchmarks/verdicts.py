"""How often `bench compare` is wrong: synthetic comparisons of systems whose difference is known.

Trials scatter about a run's own level, log-normally with the tails of Student's t at 5 degrees of freedom, and runs'
levels about the system's. Of `quiet`, TPS is what Poisson arrivals alone scatter by (2,400 a trial), the
rest is assumed. `shared` is after two runs of ten trials of the monolith at 200/s, on two cores on which
seven other loads ran; its recovery and what differs between runs are assumed. TPS at a fixed offered load
has no level of a run's own. Where runs differ by more than their trials scatter, no scatter within a run
can tell: that is what `bench compare --noise` is for.

A comparison is of three generations at the five primary figures, at a fixed offered load: a system that is
slower is so in response, recovery and CPU, and its TPS is what is offered. It is wrong where equal systems
come out better or worse, in any generation; and it finds a difference where the slower one comes out worse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.comparison import HIGHER_IS_BETTER, PRIMARY
from bench.analysis.judgement import Sample, Word, judge, overall
from tests.benchmarks.tables import Figure, Goal, at_least, at_most, figure

COMPARISONS = 200
GENERATIONS = 3
DIFFERENCE = 1.10
TRIALS = (5, 6, 10)
MOST_WRONG_PERCENT, LEAST_FOUND_PERCENT = 5.0, 90.0
FREEDOM = 5


@dataclass(frozen=True, slots=True)
class Noise:
    """Standard deviations of logarithms, by figure: between trials of one run, and between runs' levels."""

    name: str
    by_figure: Mapping[str, tuple[float, float]]


QUIET = Noise(
    "quiet",
    {
        "tps": (0.020, 0.0),
        "response_p50_ms": (0.020, 0.005),
        "response_p99_ms": (0.060, 0.015),
        "time_to_recover_s": (0.050, 0.010),
        "cpu_us_per_transaction": (0.020, 0.005),
    },
)
SHARED = Noise(
    "shared",
    {
        "tps": (0.018, 0.0),
        "response_p50_ms": (0.89, 0.30),
        "response_p99_ms": (0.97, 0.30),
        "time_to_recover_s": (0.15, 0.05),
        "cpu_us_per_transaction": (0.105, 0.05),
    },
)


def measure() -> list[Figure]:
    """The figures of both machines; the goals are of six trials a side, wrong on both and found on the quiet."""
    found = []
    for noise in (QUIET, SHARED):
        for trials in TRIALS:
            goal = at_least(LEAST_FOUND_PERCENT) if noise is QUIET and trials == 6 else None
            found += [
                _figure(
                    noise, trials, "equal, called unequal", wrong(noise, trials), at_most(MOST_WRONG_PERCENT)
                ),
                _figure(noise, trials, "10 % slower, found", power(noise, trials), goal),
            ]
    return found


def wrong(noise: Noise, trials: int, comparisons: int = COMPARISONS) -> float:
    """The share of comparisons of equal systems that say better or worse of any generation."""
    source = np.random.default_rng(2011)
    said = [
        {_word(source, noise, trials, 1.0) for _ in range(GENERATIONS)} & {"better", "worse"}
        for _ in range(comparisons)
    ]
    return sum(map(bool, said)) / comparisons


def power(noise: Noise, trials: int, comparisons: int = COMPARISONS) -> float:
    """The share of comparisons with a system 10 % slower that say worse."""
    source = np.random.default_rng(2015)
    return sum(_word(source, noise, trials, DIFFERENCE) == "worse" for _ in range(comparisons)) / comparisons


def _figure(noise: Noise, trials: int, metric: str, share: float, goal: Goal | None) -> Figure:
    return figure("verdicts", noise.name, f"{metric}, {trials} v {trials}", [share * 100], "%", goal)


def _word(source: np.random.Generator, noise: Noise, trials: int, slower: float) -> Word:
    samples = [
        Sample(
            name,
            "higher" if name in HIGHER_IS_BETTER else "lower",
            _trials(source, *noise.by_figure[name], trials, 1.0),
            _trials(source, *noise.by_figure[name], trials, 1.0 if name == "tps" else slower),
        )
        for name in PRIMARY
    ]
    return overall(judged.word for judged in judge(samples))


def _trials(
    source: np.random.Generator, between_trials: float, between_runs: float, trials: int, level: float
) -> Sequence[float]:
    scaled = source.standard_t(FREEDOM, trials) * between_trials / np.sqrt(FREEDOM / (FREEDOM - 2))
    values: list[float] = (level * np.exp(source.normal(0, between_runs) + scaled)).tolist()
    return values

"""Whether a stage had come to rest: where its warm-up ends, and whether what follows stays as it is.

Three series, a value a second: goodput (the on-time share of what was offered: a rate would show the
arrivals' own wavering), the logarithm of p95, and the backlog. The stage begins after the profile's own
warm-up. Each series is cut by MSER (White 1997, "An effective truncation heuristic for bias reduction in
simulation output"): at the d that makes sum((x - mean)^2) / (n - d)^2 over x[d:] least, in batches of 5 s
(MSER-5), or of 1 s where there are fewer than 15 such batches; the last five batches are no candidates,
as they would win by being few (Hoad, Robinson & Davies 2010). A cut between parts that agree, in the
sense below, is chance and none: of series at rest, MSER alone cuts one in ten late. The latest of the
three cuts counts. One past the half is refused: a series that is warming up for most of its length has
not been seen at rest.

What follows must then not grow and not drift:

    backlog   0 is in the 95 % interval of its Theil-Sen slope, or it moves by less than 50 ms worth of load
    halves    goodput and p95 of both halves agree within 5 %, or within what chance makes of so few seconds
              (three standard errors), or, for p95, within 1 % of the SLO
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.analysis.bins import Bin, join

Word = Literal["steady", "no_steady_state", "unknown"]
Floats = npt.NDArray[np.float64]

FEWEST_SECONDS = 10
BATCH = 5
FEWEST_BATCHES = 15
NO_CANDIDATES = 5
"""So many batches at the end are no candidates for the cut."""
AGREEMENT = 0.05
STANDARD_ERRORS = 3.0
SLO_SHARE_OF_P95 = 0.01
BACKLOG_WORTH_S = 0.05
MOST_POINTS = 600


@dataclass(frozen=True, slots=True)
class SteadyState:
    """`from_s`, on the trial's clock, is where the warm-up ended; None where it is not known to have.

    `reason` is a sentence; empty for `steady`.
    """

    word: Word
    from_s: float | None
    reason: str


def steady_state(bins: Sequence[Bin], slo_response_ms: float) -> SteadyState:
    """Judge one stage of a constant rate, by its bins in order."""
    seconds = by_second(bins)
    if len(seconds) < FEWEST_SECONDS:
        return SteadyState(
            "unknown", None, f"{len(seconds)} s are too short to tell; at least {FEWEST_SECONDS} s are needed"
        )
    series = _series(seconds, slo_response_ms)
    cuts = {one.name: one.warm_up() for one in series}
    cut = max(cuts.values())
    if cut > len(seconds) / 2:
        late = [name for name, value in cuts.items() if value == cut]
        why = _growth(seconds) or f"{' and '.join(late)} still warming up at half of {len(seconds)} s"
        return SteadyState("no_steady_state", None, why)
    why = _growth(seconds[cut:]) or next(
        (said for one in series if one.name != "backlog" for said in one.drift(cut)), ""
    )
    from_s = seconds[cut].start_s
    return SteadyState("no_steady_state", from_s, why) if why else SteadyState("steady", from_s, "")


@dataclass(frozen=True, slots=True)
class _Series:
    """A value a second; `tolerance` says how far apart two means may be, `show` writes one down."""

    name: str
    values: Floats
    tolerance: Callable[[float, float], float]
    show: Callable[[float], str]

    def warm_up(self) -> int:
        """How many leading seconds are warm-up."""
        cut = mser(self.values)
        return cut if cut and self._apart(self.values[:cut], self.values[cut:]) else 0

    def drift(self, cut: int) -> Iterator[str]:
        """A sentence where the halves of what follows the cut do not agree."""
        rest = self.values[cut:]
        first, second = rest[: len(rest) // 2], rest[len(rest) - len(rest) // 2 :]
        if self._apart(first, second):
            one, other = self.show(float(first.mean())), self.show(float(second.mean()))
            yield f"{self.name} of the halves differs: {one} and {other}"

    def _apart(self, first: Floats, second: Floats) -> bool:
        one, other = float(first.mean()), float(second.mean())
        return abs(one - other) > max(self.tolerance(one, other), _chance(first, second))


def _series(seconds: Sequence[Bin], slo_response_ms: float) -> list[_Series]:
    """The three series; p95 only where every second has enough answers for one."""
    worth = BACKLOG_WORTH_S * float(np.mean([second.offered for second in seconds]))
    least_ms = SLO_SHARE_OF_P95 * slo_response_ms

    def of_p95(one: float, other: float) -> float:
        # Of logarithms: 5 %, or what the least difference that counts comes to at this height.
        return max(float(np.log1p(AGREEMENT)), float(np.log1p(least_ms / np.exp(min(one, other)))))

    found = [
        _Series(
            "goodput",
            np.array([second.goodput for second in seconds]),
            lambda one, other: AGREEMENT * max(one, other),
            lambda mean: f"{mean * 100:.1f} %",
        ),
        _Series(
            "backlog",
            np.array([float(second.backlog) for second in seconds]),
            lambda one, other: max(AGREEMENT * max(one, other), worth),
            lambda mean: f"{mean:.3g}",
        ),
    ]
    p95_ms = [second.response_p95_ms for second in seconds]
    if None not in p95_ms:
        logs = np.log(np.array(p95_ms, dtype=np.float64))
        found.append(_Series("p95", logs, of_p95, lambda mean: f"{np.exp(mean):.3g} ms"))
    return found


def by_second(bins: Sequence[Bin]) -> list[Bin]:
    """Bins joined to whole seconds from the first one's start; a last one that is cut short is left out."""
    joined: list[list[Bin]] = []
    for one in bins:
        second = int(one.start_s - bins[0].start_s + 1e-6)
        while len(joined) <= second:
            joined.append([])
        joined[second].append(one)
    whole = [join(parts) for parts in joined if parts]
    return [second for second in whole if second.end_s - second.start_s > 0.99]


def mser(values: Floats) -> int:
    """How many leading values are warm-up; 0 for a series that is at rest from its start."""
    size = BATCH if len(values) >= BATCH * FEWEST_BATCHES else 1
    batches = values[: len(values) // size * size].reshape(-1, size).mean(axis=1)
    candidates = max(len(batches) - NO_CANDIDATES, 1)
    errors = [
        float(((batches[d:] - batches[d:].mean()) ** 2).sum()) / len(batches[d:]) ** 2
        for d in range(candidates)
    ]
    least = min(errors)
    return size * next(d for d, error in enumerate(errors) if error <= least + 1e-12)


def backlog_growth(t_s: Floats, backlog: Floats) -> tuple[float, float, float]:
    """The backlog's Theil-Sen slope per second, and its 95 % interval (Sen 1968).

    Its cost is the square of the length, so of an hour it sees means over a few seconds each.
    """
    from scipy.stats import theilslopes  # takes half a second to import

    each = -(-len(backlog) // MOST_POINTS)
    if each > 1:
        whole = len(backlog) // each * each
        t_s, backlog = (values[:whole].reshape(-1, each).mean(axis=1) for values in (t_s, backlog))
    slope, _, low, high = theilslopes(backlog, t_s, alpha=0.95)
    return float(slope), float(low), float(high)


def _growth(seconds: Sequence[Bin]) -> str:
    backlog = np.array([float(second.backlog) for second in seconds])
    slope, low, high = backlog_growth(np.array([second.start_s for second in seconds]), backlog)
    length_s = seconds[-1].end_s - seconds[0].start_s
    offered_per_s = sum(second.offered for second in seconds) / length_s
    if low <= 0 <= high or abs(slope) * length_s < BACKLOG_WORTH_S * offered_per_s:
        return ""
    return f"the backlog {'grows' if slope > 0 else 'shrinks'} by {abs(slope):.3g} a second"


def _chance(first: Floats, second: Floats) -> float:
    """How far apart the means of two parts of the same may be by chance: three standard errors.

    A part of fewer than three values is taken to scatter as the other does.
    """
    scatter = [part.var(ddof=1) if len(part) > 2 else None for part in (first, second)]
    known = [value for value in scatter if value is not None]
    if not known:
        return 0.0
    each = [max(known) if value is None else value for value in scatter]
    return float(STANDARD_ERRORS * np.sqrt(each[0] / len(first) + each[1] / len(second)))

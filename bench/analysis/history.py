"""Runs over time: where a figure changed for good, and what else changed there.

Runs of one plan on one host are a series; a point is a run's median, on a logarithmic scale. Change points
are those of PELT (Killick 2012, the package ruptures) under a cost of squared distance from each stretch's
mean and a penalty of 3·ln(n)·σ², σ from the differences of neighbours, which a change hardly touches, and
1 % at least. What is looked at are running medians of three, so that one odd run is no change, and the
latest one alone none yet. A change is told where it is beyond the margin of a comparison (judgement.py).
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.analysis.comparability import without_trials
from bench.analysis.comparison import HIGHER_IS_BETTER, PRIMARY, median
from bench.analysis.judgement import LEAST_MARGIN, NOISE_IN_MARGIN
from bench.analysis.ratios import Floats, log_deviation
from bench.analysis.subject import Recorded, subjects

FEWEST_RUNS = 4
LEAST_SIGMA = 0.01
MAD_TO_SIGMA = 1 / (0.6745 * math.sqrt(2))
"""From the median distance of neighbours to the standard deviation of one, under normal noise."""


@dataclass(frozen=True, slots=True)
class Point:
    """One run's median of one figure, over `trials` trials; `created_utc` is ISO 8601."""

    run: str
    created_utc: str
    value: float
    trials: int


@dataclass(frozen=True, slots=True)
class Change:
    """From the run `at` on, a figure was `ratio` times what it had been since the change before.

    `versions` are what else changed there: name, before, after. Nothing is empty.
    """

    at: str
    ratio: float
    word: Literal["better", "worse"]
    versions: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One figure of one generation over runs of one plan on one host, by time; `margin` as a ratio."""

    profile: str
    plan: str
    host: str
    generation: str
    figure: str
    points: tuple[Point, ...]
    margin: float
    changes: tuple[Change, ...]


def history(runs: Iterable[Recorded]) -> tuple[Series, ...]:
    """A series for each plan, host, generation and primary figure of the runs, oldest first; pure."""
    groups: dict[tuple[str, str], list[Recorded]] = {}
    for run in runs:
        if run.manifest is not None and run.manifest.kind == "run":
            groups.setdefault((_plan_key(run), run.manifest.host.fingerprint), []).append(run)
    return tuple(
        series
        for (plan, host), group in groups.items()
        for series in _of_group(plan, host, sorted(group, key=_moment))
    )


def change_points(logs: Sequence[float]) -> list[int]:
    """Where a new stretch begins, as positions in the series; none for fewer than four points."""
    if len(logs) < FEWEST_RUNS:
        return []
    from ruptures import Pelt  # with scipy it takes a moment to import

    values = np.asarray(logs, dtype=np.float64)
    sigma = max(float(np.median(np.abs(np.diff(values)))) * MAD_TO_SIGMA, LEAST_SIGMA)
    penalty = 3 * math.log(len(values)) * sigma**2
    found = Pelt(model="l2", min_size=2, jump=1).fit(_without_odd_ones(values)).predict(pen=penalty)
    return [int(position) for position in found[:-1]]  # the last is the end


def _without_odd_ones(values: Floats) -> Floats:
    """Each value as the median of it and its neighbours, the ends as theirs: steps stay where they are."""
    inner = np.median(np.stack([values[:-2], values[1:-1], values[2:]]), axis=0)
    smooth: Floats = np.concatenate([inner[:1], inner, inner[-1:]])
    return smooth


def _moment(run: Recorded) -> tuple[str, str]:
    assert run.manifest is not None
    return run.manifest.created_utc, run.name


def _plan_key(run: Recorded) -> str:
    """Equal for runs of the same plan, however many trials it asks for."""
    text = json.dumps(without_trials(run.plan or {}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _of_group(plan: str, host: str, runs: Sequence[Recorded]) -> Iterable[Series]:
    values: dict[tuple[str, str], list[tuple[Recorded, Sequence[float]]]] = {}
    for run in runs:
        for subject in subjects(run):
            for figure in PRIMARY:
                given = [value for value in subject.figures[figure] if 0 < value < math.inf]
                if given:
                    values.setdefault((subject.generation, figure), []).append((run, given))
    for (generation, figure), own in values.items():
        yield _series(runs[-1], plan, host, generation, figure, own)


def _series(
    last: Recorded,
    plan: str,
    host: str,
    generation: str,
    figure: str,
    own: Sequence[tuple[Recorded, Sequence[float]]],
) -> Series:
    assert last.manifest is not None
    points = tuple(
        Point(run.name, run.manifest.created_utc if run.manifest else "", median(given) or 0.0, len(given))
        for run, given in own
    )
    deviation = log_deviation(*(given for _, given in own))
    margin = max(LEAST_MARGIN, NOISE_IN_MARGIN * (deviation or 0.0))
    return Series(
        profile=last.manifest.profile,
        plan=plan,
        host=host,
        generation=generation,
        figure=figure,
        points=points,
        margin=margin,
        changes=tuple(_changes(points, [run for run, _ in own], figure, margin)),
    )


def _changes(
    points: Sequence[Point], runs: Sequence[Recorded], figure: str, margin: float
) -> Iterable[Change]:
    logs = [math.log(point.value) for point in points]
    edges = [0, *change_points(logs), len(logs)]
    for before, at, after in zip(edges, edges[1:], edges[2:], strict=False):
        apart = float(np.median(logs[at:after]) - np.median(logs[before:at]))
        if abs(apart) > math.log1p(margin):
            word: Literal["better", "worse"] = (
                "better" if (apart > 0) == (figure in HIGHER_IS_BETTER) else "worse"
            )
            yield Change(points[at].run, math.exp(apart), word, _versions(runs[at - 1], runs[at]))


def _versions(before: Recorded, after: Recorded) -> tuple[tuple[str, str, str], ...]:
    one, other = (_known(run) for run in (before, after))
    return tuple(
        (name, one.get(name, "none"), other.get(name, "none"))
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    )


def _known(run: Recorded) -> Mapping[str, str]:
    return run.manifest.versions if run.manifest is not None else {}

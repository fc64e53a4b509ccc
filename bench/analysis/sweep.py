"""Recovery against the data volume and the people online: a sweep's points, and the lines through them.

A line is Theil and Sen's: its slope is the median of the slopes between all pairs of points of different
sizes, its interval Sen's (1968), by ranks. Times to recover have a floor and a long tail, from a retry that
just missed or a flush that stalled, and their spread grows with them: least squares would follow the tail,
and its interval would presume what is not so. The line goes through the medians of both. A time that was not
recovered within the watch stands at the watch's end, a lower bound.

Where the interval of the slope holds 0, no dependence was seen, and nothing is projected. Points so few that
even those in perfect order could come about by chance more often than once in twenty have no interval.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.errors import RunFolderError
from bench.evidence import Evidence, NodeEvent, PublishedRow
from bench.records import RecoveryDataRow, RecoveryFitRow, RecoveryRow, SweptFigure, SweptSize

PER: Mapping[SweptSize, float] = {"data_bytes": 1e9, "users_online": 1e3}
"""What a slope is per: a gigabyte, a thousand people."""
FEWEST_ORDERS = 40
"""Ways to deal the points to their sizes: the two strictest orders are then 5 % of them, or less."""
PRELOADED, REPLAYED = "preloaded", "replayed"
CONTROL = "none"


@dataclass(frozen=True, slots=True)
class Line:
    """`slope` and its 95 % interval; the line goes through (`x`, `y`)."""

    slope: float
    lower: float
    upper: float
    x: float
    y: float

    def at(self, y: float, slope: float) -> float:
        """Where a line of this slope through the middle reaches `y`."""
        return self.x + (y - self.y) / slope


@dataclass(frozen=True, slots=True)
class Swept:
    """The faults of one setting: `faults` of known outcome, and the median, least and most of their times.

    None where there is none; `censored` says that the one at hand is a lower bound.
    """

    generation: str
    kind: str
    node: str
    messages: int
    data_bytes: int | None
    users_online: int
    faults: int
    median_s: float | None
    median_censored: bool
    least_s: float | None
    most_s: float | None
    most_censored: bool
    replay_s: float | None


def points(evidence: Evidence, recovery: Sequence[RecoveryRow]) -> tuple[RecoveryDataRow, ...]:
    """A row for each fault in `recovery` but the controls, in order; raises RunFolderError for no sweep."""
    settings = _settings(evidence.plan)
    events: dict[tuple[str, int], list[NodeEvent]] = {}
    for event in evidence.events:
        if event.event in {PRELOADED, REPLAYED}:
            events.setdefault((event.generation, event.trial), []).append(event)
    planned = {(t.generation, t.trial): t.retry_of or t.trial for t in evidence.manifest.trials}
    rows = []
    for row, following in zip(recovery, [*recovery, None][1:], strict=True):
        if row.kind == CONTROL:
            continue
        key = (row.generation, row.trial)
        setting = settings.get((row.generation, planned[key]))
        if setting is None:
            raise RunFolderError(f"plan.json: sweep: no setting for {row.generation} trial {planned[key]}")
        same = following is not None and (following.generation, following.trial) == key
        until_s = following.injected_s if same and following is not None else None
        own = events.get(key, [])
        filled = next((event for event in own if event.event == PRELOADED), None)
        rows.append(
            RecoveryDataRow(
                generation=row.generation,
                trial=row.trial,
                fault=row.fault,
                kind=row.kind,
                node=row.node,
                data_factor=float(setting["data_factor"]),
                users_factor=float(setting["users_factor"]),
                messages=int(setting["messages"]),
                data_bytes=None if filled is None else int(filled.fields["bytes"]),
                users_online=int(setting["clients"]),
                outcome=row.outcome,
                time_to_recover_s=row.time_to_recover_s,
                censored_at_s=row.censored_at_s,
                replay_s=_replay_s(own, row.injected_s, until_s),
            )
        )
    return tuple(rows)


def alike(rows: Sequence[RecoveryDataRow]) -> tuple[RecoveryDataRow, ...]:
    """Of each generation those of the kind and node of its first: others are other recoveries."""
    first: dict[str, tuple[str, str]] = {}
    for row in rows:
        first.setdefault(row.generation, (row.kind, row.node))
    return tuple(row for row in rows if (row.kind, row.node) == first[row.generation])


def summed(rows: Sequence[RecoveryDataRow]) -> tuple[Swept, ...]:
    """One for each setting, the generations in the order of the rows, within them people and data rising."""
    groups: dict[tuple[str, int, int], list[RecoveryDataRow]] = {}
    for row in rows:
        groups.setdefault((row.generation, row.users_online, row.messages), []).append(row)
    order = list(dict.fromkeys(row.generation for row in rows))
    return tuple(
        _summed(groups[key]) for key in sorted(groups, key=lambda key: (order.index(key[0]), *key[1:]))
    )


def _summed(rows: Sequence[RecoveryDataRow]) -> Swept:
    times = sorted((_time_s(row), row.time_to_recover_s is None) for row in rows if row.outcome != "unknown")
    middle = times[(len(times) - 1) // 2 : len(times) // 2 + 1]
    replays = [row.replay_s for row in rows if row.replay_s is not None]
    return Swept(
        generation=rows[0].generation,
        kind=rows[0].kind,
        node=rows[0].node,
        messages=rows[0].messages,
        data_bytes=next((row.data_bytes for row in rows if row.data_bytes is not None), None),
        users_online=rows[0].users_online,
        faults=len(times),
        median_s=float(np.mean([time_s for time_s, _ in middle])) if middle else None,
        median_censored=any(censored for _, censored in middle),
        least_s=times[0][0] if times else None,
        most_s=times[-1][0] if times else None,
        most_censored=bool(times) and times[-1][1],
        replay_s=float(np.median(replays)) if replays else None,
    )


def _time_s(row: RecoveryDataRow) -> float:
    """The time to recover, or how long there was none: a lower bound."""
    time_s = row.censored_at_s if row.time_to_recover_s is None else row.time_to_recover_s
    assert time_s is not None, row
    return time_s


def fits(rows: Sequence[RecoveryDataRow], published: Sequence[PublishedRow]) -> tuple[RecoveryFitRow, ...]:
    """The lines of each generation, in the order of its points: against data, and people where they vary.

    Only points with the fewest people count against data, those with the least data against people.
    """
    claims = {row.generation: row.recovery_time_s for row in published}
    found = []
    for generation in dict.fromkeys(row.generation for row in rows):
        own = [row for row in rows if row.generation == generation]
        least = min(row.data_factor for row in own)
        fewest = min(row.users_factor for row in own)
        by_data = [row for row in own if row.users_factor == fewest]
        by_users = [row for row in own if row.data_factor == least]
        claim_s = claims.get(generation)
        found.append(_recovery_fit(generation, "data_bytes", by_data, claim_s))
        replays = [(float(row.data_bytes or 0), row.replay_s) for row in by_data if row.replay_s is not None]
        if replays:
            found.append(_fit(generation, "data_bytes", "replay_s", replays, None))
        if len({row.users_factor for row in own}) > 1:
            found.append(_recovery_fit(generation, "users_online", by_users, claim_s))
    return tuple(found)


def line(pairs: Sequence[tuple[float, float]]) -> Line | None:
    """The line through (size, seconds); None where the points are too few, of one size, or too much alike."""
    from scipy.stats import theilslopes  # takes half a second to import

    if orders(Counter(x for x, _ in pairs)) < FEWEST_ORDERS:
        return None
    x, y = (np.array(values, dtype=float) for values in zip(*pairs, strict=True))
    if np.ptp(y) == 0:
        return Line(0.0, 0.0, 0.0, float(np.median(x)), float(y[0]))
    with np.errstate(invalid="ignore"):  # the interval's variance, where nearly all times are alike
        slope, _, lower, upper = theilslopes(y, x, alpha=0.95)
    if not all(map(math.isfinite, (slope, lower, upper))):
        return None
    return Line(float(slope), float(lower), float(upper), float(np.median(x)), float(np.median(y)))


def orders(sizes: Mapping[float, int]) -> int:
    """In how many ways so many points a size can be dealt to the sizes: the multinomial coefficient."""
    ways = math.factorial(sum(sizes.values()))
    for many in sizes.values():
        ways //= math.factorial(many)
    return ways


def _recovery_fit(
    generation: str, against: SweptSize, rows: Sequence[RecoveryDataRow], claim_s: float | None
) -> RecoveryFitRow:
    pairs, censored = [], 0
    for row in rows:
        size = getattr(row, against)
        if row.outcome != "unknown" and size is not None:
            pairs.append((float(size), _time_s(row)))
            censored += row.time_to_recover_s is None
    fitted = _fit(generation, against, "time_to_recover_s", pairs, claim_s)
    if not censored:
        return fitted
    note = f"{censored} of {len(pairs)} had not recovered and stand where their watch ended"
    return replace(fitted, censored=censored, note="; ".join(filter(None, (note, fitted.note))))


def _fit(
    generation: str,
    against: SweptSize,
    figure: SweptFigure,
    pairs: Sequence[tuple[float, float]],
    claim_s: float | None,
) -> RecoveryFitRow:
    fitted = line(pairs)
    row = RecoveryFitRow(
        generation=generation,
        against=against,
        figure=figure,
        points=len(pairs),
        censored=0,
        per=PER[against],
        slope_s=None,
        slope_lower_s=None,
        slope_upper_s=None,
        at_zero_s=None,
        published_recovery_s=claim_s,
        reached_at=None,
        reached_at_lower=None,
        reached_at_upper=None,
        verdict="not projected",
        note="",
    )
    if fitted is None:
        sizes = len({size for size, _ in pairs})
        times = len({time_s for _, time_s in pairs})
        note = f"too few for an interval: points {len(pairs)}, sizes {sizes}, different times {times}"
        return replace(row, note=note)
    row = replace(
        row,
        slope_s=fitted.slope * row.per,
        slope_lower_s=fitted.lower * row.per,
        slope_upper_s=fitted.upper * row.per,
        at_zero_s=fitted.y - fitted.slope * fitted.x,
    )
    if fitted.lower <= 0 <= fitted.upper:
        return replace(row, verdict="no dependence seen")
    if claim_s is None:
        return row
    if fitted.slope < 0:
        return replace(row, note="it falls as the size grows: nothing to project")
    if claim_s <= fitted.y:
        return replace(row, note=f"{claim_s:g} s is reached at what was measured")
    return replace(
        row,
        verdict="projected",
        reached_at=fitted.at(claim_s, fitted.slope),
        reached_at_lower=fitted.at(claim_s, fitted.upper),
        reached_at_upper=fitted.at(claim_s, fitted.lower),
    )


def _replay_s(events: Sequence[NodeEvent], after_s: float | None, until_s: float | None) -> float | None:
    """The longest replay that a node told of in between; None where none did."""
    if after_s is None:
        return None
    told = (
        float(event.fields["seconds"])
        for event in events
        if event.event == REPLAYED
        and "seconds" in event.fields
        and after_s <= event.t_s < (math.inf if until_s is None else until_s)
    )
    return max(told, default=None)


def _settings(plan: Mapping[str, Any]) -> dict[tuple[str, int], Mapping[str, Any]]:
    """What was set for each planned trial, by generation and number."""
    try:
        settings = {(str(one["generation"]), int(one["trial"])): one for one in plan["sweep"]}
        for one in settings.values():
            _ = (one["data_factor"], one["users_factor"], one["messages"], one["clients"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"plan.json: sweep: {error!r}: expected a list of objects with generation, trial, data_factor, "
            "users_factor, messages, clients"
        ) from error
    return settings

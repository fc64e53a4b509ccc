"""Capacity: the rates between which a system stops meeting a goal, as RFC 9971 (MLRsearch) defines them.

A goal is that p99 stays within so many ms; the last one, `max`, has no latency goal. A trial is bad for a
goal when more than the goal's share of what was offered was not acknowledged in time; and bad for all when
less than 99 % of what was offered was acknowledged while it was offered, when the backlog grew, or when the
audit is violated (messages were lost, say) or unknown (it did not drain). A shortfall or a growth of less
than 50 ms worth of load is none: answers that take a little longer at the end of a short trial than at its
beginning do as much.
Goals are nested: who meets a tight one meets the wider, so a trial is summed up by how many goals it
failed, tightest first.

`Asking` is the search, turned inside out: it yields the rate and duration to try next, and is sent what
came of it. It decides by sums of durations with an exceed ratio of 0.5: a rate is a lower bound when good
trials make up at least half of the time that was asked for. `bounds_of` finds the same bounds again from
the trials alone, so a run folder can be read anew.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from greenlet import getcurrent, greenlet
from MLRsearch import (
    AbstractMeasurer,
    Config,
    MeasurementResult,
    MultipleLossRatioSearch,
    SearchGoal,
)
from MLRsearch.load_rounding import LoadRounding
from MLRsearch.target_scaling import TargetScaling
from MLRsearch.target_stat import TargetStat

from bench.analysis.audit import objection
from bench.analysis.metrics import TRANSACTIONS
from bench.analysis.steady_state import BACKLOG_WORTH_S, backlog_growth
from bench.analysis.verdict import CEILING_SHARE
from bench.errors import RunFolderError
from bench.generations import GENERATIONS
from bench.histograms import Histogram, LogLine, highest_value, merge, percentile
from bench.records import AuditRow, CapacityRow, CapacityTrialRow, TimelineRow

MAX = "max"
CRITICAL = "critical"
EXCEED_RATIO = 0.5
CARRIED = 0.99
SHARES_OF_CAPACITY = (0.30, 0.50, 0.70, 0.85)
"""Where latency is reported, once capacity is known."""
HEADROOM = 0.95
"""Of the rate up to which figures are believed: chance offers a little more than is planned."""
_STEP = 1e-4
"""Between the loss ratios by which the goals are told to the search, which knows no latency."""
_COUNT = 1_000_000
_FOREVER_S = 1e9
_FEWEST_BINS = 8


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched for, between which rates, with which trials; `goals_ms` rise.

    `down` names the node or role of which one is down throughout, empty where none is.
    """

    goals_ms: tuple[float, ...]
    share: float
    lowest_per_s: float
    highest_per_s: float
    warmup_s: float
    short_s: float
    trial_s: float
    total_s: float
    width: float
    down: str = ""

    def down_node(self, generation: str) -> str | None:
        """The node of `generation` that is down throughout; None where none is."""
        return GENERATIONS[generation].first_that_can("stop", self.down) if self.down else None

    def within(self, ceiling_per_s: float | None) -> "Search":
        """The same search below the rate from which on no figure is believed, where that is known."""
        if ceiling_per_s is None:
            return self
        believed_per_s = HEADROOM * CEILING_SHARE * ceiling_per_s
        return replace(self, highest_per_s=min(self.highest_per_s, believed_per_s))

    @property
    def names(self) -> tuple[str, ...]:
        """The goals' names, tightest first, `max` last."""
        return (*(f"p99<={goal_ms:g}ms" for goal_ms in self.goals_ms), MAX)

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> "Search":
        """What plan.json of a search says; raises RunFolderError where it says none."""
        try:
            raw = plan["search"]
            return cls(**{**raw, "goals_ms": tuple(raw["goals_ms"])})
        except (KeyError, TypeError) as error:
            raise RunFolderError(
                f"plan.json: search: {error!r}: expected the settings of a search"
            ) from error


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one trial showed. `failed_goals` counts the goals it is bad for, tightest first.

    `achieved_ratio` is what was acknowledged while it was offered, over what was offered.
    """

    offered: int
    achieved_ratio: float
    backlog_grows: bool
    lost: int
    response_p50_ms: float | None
    response_p99_ms: float | None
    failed_goals: int
    why: str


def outcome(
    search: Search,
    stage: str,
    timeline: Sequence[TimelineRow],
    histograms: Iterable[LogLine],
    audit: Sequence[AuditRow],
) -> Outcome:
    """Judge one trial by its rows; `stage` is the one after the warm-up."""
    rows = [row for row in timeline if row.phase == stage and row.operation in TRANSACTIONS]
    offered = sum(row.offered for row in rows)
    response = merge(
        line.histogram
        for line in histograms
        if line.tag.phase == stage
        and line.tag.operation in TRANSACTIONS
        and (line.tag.outcome, line.tag.measure) == ("ok", "response")
    )
    achieved = sum(row.acknowledged_in_bin for row in rows) / offered if offered else 0.0
    grows = _grows(rows, offered)
    whole = next((row for row in audit if row.phase == "all"), None)
    lost = whole.lost if whole is not None else 0
    why = ""
    if not offered:
        why = "nothing was offered"
    elif whole is None:
        why = "no audit"
    elif against := objection(whole.verdict, lost, whole.phantom, whole.corrupt, whole.detail):
        why = against
    elif achieved < CARRIED and (1 - achieved) * offered > _worth(rows, offered):
        why = f"{achieved * 100:.1f} % of what was offered acknowledged meanwhile"
    elif grows:
        why = "the backlog grows"
    failed = len(search.names)
    if not why:
        good = [_within(response, goal_ms) for goal_ms in search.goals_ms] + [response.total]
        failed = sum(count < search.share * offered for count in good)
        late = good[failed - 1] if failed else offered
        why = f"{(1 - late / offered) * 100:.1f} % beyond {search.names[failed - 1]}" if failed else ""
    p50_us, p99_us = percentile(response, 0.5), percentile(response, 0.99)
    return Outcome(
        offered=offered,
        achieved_ratio=achieved,
        backlog_grows=grows,
        lost=lost,
        response_p50_ms=None if p50_us is None else p50_us / 1000,
        response_p99_ms=None if p99_us is None else p99_us / 1000,
        failed_goals=failed,
        why=why,
    )


def _within(response: Histogram, limit_ms: float) -> int:
    return int(response.count[highest_value(response.index) <= limit_ms * 1000 * (1 + 1e-3)].sum())


def _grows(rows: Sequence[TimelineRow], offered: int) -> bool:
    """Whether the backlog rises by more than chance and by more than 50 ms worth of load."""
    backlog: dict[float, int] = {}
    width_s = 0.0
    for row in rows:
        backlog[row.bin_start_s] = backlog.get(row.bin_start_s, 0) + row.backlog
        width_s = row.bin_width_s
    if len(backlog) < _FEWEST_BINS:
        return False
    t_s = np.array(sorted(backlog))
    slope, low, _ = backlog_growth(t_s, np.array([float(backlog[one]) for one in t_s]))
    length_s = len(t_s) * width_s
    return low > 0 and slope * length_s > _worth(rows, offered)


def _worth(rows: Sequence[TimelineRow], offered: int) -> float:
    """How many messages 50 ms of this load are."""
    length_s = max(row.bin_start_s + row.bin_width_s for row in rows) - min(row.bin_start_s for row in rows)
    return BACKLOG_WORTH_S * offered / length_s


@dataclass(frozen=True, slots=True)
class Question:
    """Offer this rate for so long."""

    rate_per_s: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question: goals failed, and which share of what was offered was achieved."""

    failed_goals: int
    achieved_ratio: float


Bounds = tuple[float | None, float | None]
"""Lower and upper bound in 1/s; None where there is none between the lowest and the highest rate."""
Asking = Generator[Question, Answer, Mapping[str, Bounds]]


def ask(search: Search, highest_per_s: float) -> Asking:
    """The search: yields questions, is sent answers, and returns the bounds by goal."""
    # MLRsearch calls for each measurement; a greenlet makes of the call a question that may wait.
    config, goals = _config(search, highest_per_s)
    measurer = _Measurer(getcurrent(), len(goals))
    asking = greenlet(lambda: MultipleLossRatioSearch(config).search(measurer, _be_quiet))
    said: Any = asking.switch()
    while not asking.dead:
        answer = yield said
        said = asking.switch(answer)
    return {
        name: (_float(said[goal].relevant_lower_bound), _float(said[goal].relevant_upper_bound))
        for name, goal in zip(search.names, goals, strict=True)
    }


Tried = Sequence[tuple[Question, Answer]]


def bounds_of(search: Search, tried: Tried) -> Mapping[str, Bounds]:
    """The bounds that these trials prove, by goal; of a search that was cut short as well.

    The upper bound is the lowest rate that is one, the lower the highest below it (RFC 9971, "relevant
    bounds"). Rates that have not been tried for long enough to be either are neither.
    """
    found = {}
    for number, name in enumerate(search.names):
        met = _met(search, number, tried)
        upper = min((rate for rate, word in met.items() if word is False), default=None)
        lowers = [rate for rate, word in met.items() if word is True]
        found[name] = (max((rate for rate in lowers if upper is None or rate < upper), default=None), upper)
    return found


def carries(search: Search, tried: Tried, rate_per_s: float) -> bool | None:
    """Whether these trials prove that the rate is carried, with no latency goal; None: not decided yet."""
    return _met(search, len(search.names) - 1, tried).get(round(rate_per_s, 6))


def _met(search: Search, goal: int, tried: Tried) -> Mapping[float, bool | None]:
    """By rate, whether the goal of this number is met there; None where more trials are needed."""
    config, goals = _config(search, search.highest_per_s)
    rounding = LoadRounding(
        min_load=config.min_load,
        max_load=config.max_load,
        float_goals=[one.relative_width for one in goals],
    )
    target = TargetScaling(goals=config.goals, rounding=rounding).goal_to_final_target[goals[goal]]
    stats = {round(question.rate_per_s, 6): TargetStat(target) for question, _ in tried}
    for question, answer in tried:
        stats[round(question.rate_per_s, 6)].add(_result(question, answer, len(goals)))
    # Two estimates, of whether a rate can be a lower bound: if all that is missing were good, or bad.
    estimates = {rate_per_s: stat.estimates() for rate_per_s, stat in stats.items()}
    return {rate: best if best == worst else None for rate, (best, worst) in estimates.items()}


def trials_of(rows: Iterable[CapacityTrialRow]) -> list[tuple[Question, Answer]]:
    """Those of one generation's trials that bound its capacity."""
    return [
        (Question(row.rate_per_s, row.duration_s), Answer(row.failed_goals, row.achieved_ratio))
        for row in rows
        if row.purpose != "latency" and not row.void
    ]


def answers(
    search: Search,
    generation: str,
    rows: Sequence[CapacityTrialRow],
    *,
    ceiling_per_s: float | None,
) -> tuple[CapacityRow, ...]:
    """The rows of capacity.csv for one generation, from its rows of capacity_trials.csv."""
    own = [row for row in rows if row.generation == generation]
    if not own:
        return ()
    counted = trials_of(own)
    seconds = sum(question.duration_s for question, _ in counted)
    found = bounds_of(search, counted)
    limit_per_s = None if ceiling_per_s is None else CEILING_SHARE * ceiling_per_s
    made = []
    for name in search.names:
        lower, upper = found[name]
        believed, note = _believed(lower, upper, limit_per_s, search, stopped=_stopped(own))
        made.append(
            CapacityRow(
                generation,
                name,
                lower,
                upper,
                len(counted),
                seconds,
                ceiling_per_s,
                believed,
                note,
                down=search.down_node(generation) or "",
            )
        )
    return (*made, _critical(made[:-1]))


def _stopped(own: Sequence[CapacityTrialRow]) -> str:
    """Why trials that were void bound the search, where some were the last at their rate."""
    last = {row.rate_per_s: row for row in own if row.purpose != "latency"}
    void = [row for row in last.values() if row.void]
    return f"above, the generator or the machine gave out: {void[0].why}" if void else ""


def _believed(
    lower: float | None, upper: float | None, limit_per_s: float | None, search: Search, *, stopped: str
) -> tuple[Any, str]:
    """Whether the interval is the system's, and what must be said beside it."""
    said = [stopped] if stopped and upper is None else []
    if lower is None:
        said.append(
            f"not met at the lowest rate, {search.lowest_per_s:g}/s" if upper is not None else "no bound"
        )
    elif upper is None and not stopped:
        met = f"still met at the highest rate that was tried, {lower:,.0f}/s"
        if limit_per_s is not None and lower >= HEADROOM**2 * limit_per_s:
            met += ": above, no figure would be the system's, but the generator's"
        said.append(met)
    if limit_per_s is None:
        return "unknown", "; ".join(said)
    if (lower or 0.0) > limit_per_s or (upper or 0.0) > limit_per_s:
        said.append(f"above 60 % of the generator's ceiling, {limit_per_s:,.0f}/s")
        return "no", "; ".join(said)
    return "yes", "; ".join(said)


def _critical(rows: Sequence[CapacityRow]) -> CapacityRow:
    """The geometric mean over the latency goals (as SPECjbb's critical-jOPS is)."""
    lowers, uppers = [row.lower_per_s for row in rows], [row.upper_per_s for row in rows]
    words = [row.believed for row in rows]
    worst = next(word for word in ("no", "unknown", "yes") if word in words)
    missing = [row.goal for row in rows if row.lower_per_s is None]
    return CapacityRow(
        rows[0].generation,
        CRITICAL,
        _geometric_mean(lowers),
        _geometric_mean(uppers),
        rows[0].trials,
        rows[0].trial_s,
        rows[0].ceiling_per_s,
        worst,
        f"no lower bound for {', '.join(missing)}" if missing else "",
        down=rows[0].down,
    )


def _geometric_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.exp(np.mean(np.log(known)))) if len(known) == len(values) else None


class _Measurer(AbstractMeasurer):  # type: ignore[misc]
    """Hands each measurement that is called for to whoever iterates over the questions."""

    def __init__(self, asked: greenlet, goals: int) -> None:
        self._asked = asked
        self._goals = goals

    def measure(self, intended_duration: float, intended_load: float) -> MeasurementResult:
        question = Question(intended_load, intended_duration)
        return _result(question, self._asked.switch(question), self._goals)


def _result(question: Question, answer: Answer, goals: int) -> MeasurementResult:
    """The answer as a loss ratio: the number of goals failed, in steps that are far below any real loss.

    A trial that failed them all has its real loss, from which the search learns where to look next.
    """
    ratio = answer.failed_goals * _STEP
    if answer.failed_goals == goals:
        ratio = max(ratio, 1 - answer.achieved_ratio)
    return MeasurementResult(
        intended_duration=question.duration_s,
        intended_load=question.rate_per_s,
        offered_count=_COUNT,
        loss_count=round(min(ratio, 1.0) * _COUNT),
    )


def _config(search: Search, highest_per_s: float) -> tuple[Config, list[SearchGoal]]:
    goals = [
        SearchGoal(
            loss_ratio=(number + 0.5) * _STEP,
            exceed_ratio=EXCEED_RATIO,
            relative_width=search.width,
            initial_trial_duration=search.short_s,
            final_trial_duration=search.trial_s,
            duration_sum=search.total_s,
            preceding_targets=1,
            fail_fast=False,
        )
        for number in range(len(search.names))
    ]
    config = Config()
    config.max_load = max(highest_per_s, config.min_load + 1)  # the two are checked against each other
    config.min_load = search.lowest_per_s
    config.max_load = highest_per_s
    config.goals = goals
    config.search_duration_max = _FOREVER_S  # whoever answers ends it
    config.warmup_duration = None
    return config, goals


def _float(load: Any) -> float | None:
    return None if load is None else round(float(load), 6)


def _be_quiet(_: str) -> None:
    """Where MLRsearch's own log goes."""

"""Every operation's fate, in bins of time, with bounded memory.

An operation belongs to the bin of its *intended* start, and so do its response, service and lag
times: an outage shows as the arrivals it spoilt. Only what has no intended moment of its own, the
delivery at the addressee and the counts by the clock, belongs to the bin in which it happens.

A bin is settled once every operation in it is answered or timed out: then its histograms and its row
are written and its samples let go. So memory holds no more than the timeout's worth of samples.

Latencies are kept as plain integers and counted into an HdrHistogram a bin at a time: `record_value`
for each one would cost ten times as much.
"""

import csv
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, fields
from typing import TextIO

import numpy as np

from bench.histograms import LOG_HEADER, encode_line
from bench.plan import PlannedStage
from bench.records import (
    HIGHEST_LATENCY_US,
    LOWEST_LATENCY_US,
    HistogramTag,
    Measure,
    Outcome,
    TimelineRow,
)

SEND = "send"
LOGIN = "login"
BEFORE = "login"
AFTER = "drain"


def _samples() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class _Bin:
    """What happened in one bin of one operation; `samples` are µs by outcome and measure."""

    offered: int = 0
    sent: int = 0
    shed: int = 0
    ok: int = 0
    failed: int = 0
    unknown: int = 0
    on_time: int = 0
    acknowledged_in_bin: int = 0
    delivered_in_bin: int = 0
    attempts: int = 0
    answers: int = 0
    samples: "dict[tuple[Outcome, Measure], array[int]]" = field(default_factory=dict)

    def sample(self, outcome: Outcome, measure: Measure, value_us: int) -> None:
        kept = self.samples.get((outcome, measure))
        if kept is None:
            kept = self.samples[outcome, measure] = _samples()
        kept.append(value_us)


@dataclass(frozen=True, slots=True)
class Second:
    """What was answered since the last look; a late answer is counted but has no response time."""

    answered: int
    failed: int
    response_us: "array[int]"


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since the trial began, for whoever watches. Sends only."""

    offered: int
    acknowledged: int
    failed: int
    unknown: int
    shed: int
    delivered: int
    in_flight: int


class Recorder:
    """The record of one trial in one load process. Times given in are CLOCK_MONOTONIC ns."""

    def __init__(
        self,
        generation: str,
        trial: int,
        stages: Sequence[PlannedStage],
        *,
        bin_width_s: float,
        timeout_s: float,
        slo_ms: float,
        timeline: TextIO,
        hlog: TextIO,
    ) -> None:
        self._generation = generation
        self._trial = trial
        self._stages = stages
        self._width_ns = round(bin_width_s * 1e9)
        self._width_s = bin_width_s
        self._timeout_ns = round(timeout_s * 1e9)
        self._slo_ns = round(slo_ms * 1e6)
        self._timeline = csv.writer(timeline, lineterminator="\n")
        self._timeline.writerow([column.name for column in fields(TimelineRow)])
        self._timeline_file = timeline
        self._hlog = hlog
        hlog.write(LOG_HEADER)
        self._origin_ns: int | None = None
        self._early_logins: list[tuple[int, int, bool]] = []
        self._bins: dict[str, dict[int, _Bin]] = {SEND: {}, LOGIN: {}}
        self._next_to_settle: int | None = None
        self._backlog = 0
        self._flying: dict[int, tuple[int, int]] = {}
        self._departures: deque[tuple[int, int]] = deque()
        self._timed_out: set[int] = set()
        self._fresh = {name: [0, 0] for name in self._bins}
        self._fresh_us = {name: _samples() for name in self._bins}
        self.negative = 0
        self._offered = self._acknowledged = self._failed = self._unknown = 0
        self._shed = self._delivered = 0

    @property
    def origin_ns(self) -> int:
        """The moment the first stage begins."""
        assert self._origin_ns is not None
        return self._origin_ns

    @property
    def in_flight(self) -> int:
        """Sends that are neither answered nor timed out."""
        return len(self._flying)

    @property
    def unanswered(self) -> int:
        """Sends that no answer has come to, timed out or not: the backlog."""
        return len(self._flying) + len(self._timed_out)

    def totals(self) -> Totals:
        """Counts of sends so far."""
        return Totals(
            self._offered,
            self._acknowledged,
            self._failed,
            self._unknown,
            self._shed,
            self._delivered,
            len(self._flying),
        )

    def take_second(self, operation: str) -> Second:
        """The answers of one operation since this was last asked."""
        answered, failed = self._fresh[operation]
        response_us = self._fresh_us[operation]
        self._fresh[operation] = [0, 0]
        self._fresh_us[operation] = _samples()
        return Second(answered, failed, response_us)

    def begin(self, origin_ns: int) -> None:
        """Fix the trial's origin. Logins recorded before it are binned now, at negative times."""
        self._origin_ns = origin_ns
        for intended_ns, done_ns, ok in self._early_logins:
            self.login(intended_ns, done_ns, ok=ok)
        self._early_logins.clear()

    def phase(self, t_s: float) -> str:
        """The phase at `t_s`: `login` before the first stage, `drain` after the last."""
        if t_s < 0:
            return BEFORE
        for stage in self._stages:
            if t_s < stage.end_s:
                return stage.name
        return AFTER

    def login(self, intended_ns: int, done_ns: int, *, ok: bool) -> None:
        """A person came online, or was refused."""
        if self._origin_ns is None:
            self._early_logins.append((intended_ns, done_ns, ok))
            return
        at = self._bin(LOGIN, intended_ns)
        at.offered += 1
        at.sent += 1
        outcome: Outcome = "ok" if ok else "failed"
        at.ok += ok
        at.failed += not ok
        at.on_time += ok and done_ns - intended_ns <= self._slo_ns
        self._bin(LOGIN, done_ns).acknowledged_in_bin += ok
        self._respond(LOGIN, at, outcome, self._us(done_ns - intended_ns))

    def shed(self, intended_ns: int) -> None:
        """An arrival of the schedule that was not sent, because too many are in flight."""
        at = self._bin(SEND, intended_ns)
        at.offered += 1
        at.shed += 1
        self._offered += 1
        self._shed += 1

    def sent(self, sequence: int, intended_ns: int, sent_ns: int) -> None:
        """A message left; exactly one of answered() and the timeout settles it."""
        at = self._bin(SEND, intended_ns)
        at.offered += 1
        at.sent += 1
        self._bin(SEND, sent_ns).attempts += 1
        self._offered += 1
        self._flying[sequence] = (intended_ns, sent_ns)
        self._departures.append((sequence, intended_ns))

    def answered(self, sequence: int, now_ns: int, *, ok: bool) -> bool:
        """The server answered a send; False where it had been answered before (a resend's second answer)."""
        flight = self._flying.pop(sequence, None)
        if flight is None:
            if sequence not in self._timed_out:
                return False
            self._timed_out.discard(sequence)  # too late to be more than unknown
            at = self._bin(SEND, now_ns)
            at.answers += 1
            at.acknowledged_in_bin += ok
            self._acknowledged += ok
            self._fresh[SEND][0] += 1
            self._fresh[SEND][1] += not ok
            return True
        intended_ns, sent_ns = flight
        at = self._bin(SEND, intended_ns)
        outcome: Outcome = "ok" if ok else "failed"
        if ok:
            at.ok += 1
            at.on_time += now_ns - intended_ns <= self._slo_ns
            self._acknowledged += 1
        else:
            at.failed += 1
            self._failed += 1
        self._respond(SEND, at, outcome, self._us(now_ns - intended_ns))
        at.sample(outcome, "service", self._us(now_ns - sent_ns))
        at.sample(outcome, "lag", self._us(sent_ns - intended_ns))
        now = self._bin(SEND, now_ns)
        now.answers += 1
        now.acknowledged_in_bin += ok
        return True

    def delivered(self, intended_ns: int, now_ns: int) -> None:
        """A message reached its addressee for the first time."""
        at = self._bin(SEND, now_ns)
        at.delivered_in_bin += 1
        self._delivered += 1
        at.sample("ok", "delivery", self._us(now_ns - intended_ns))

    def settle(self, now_ns: int) -> None:
        """Time out what is overdue, and write the bins in which nothing can change any more."""
        assert self._origin_ns is not None
        while self._departures and now_ns - self._departures[0][1] > self._timeout_ns:
            sequence, intended_ns = self._departures.popleft()
            self._give_up(sequence, intended_ns)
        horizon = (now_ns - self._timeout_ns - self._origin_ns) // self._width_ns
        self._write_until(horizon)

    def close(self, now_ns: int) -> None:
        """Write all that is left; sends still in flight count as unknown."""
        while self._departures:
            sequence, intended_ns = self._departures.popleft()
            self._give_up(sequence, intended_ns)
        if self._origin_ns is not None:
            self._write_until((now_ns - self._origin_ns) // self._width_ns + 1)
        self._timeline_file.flush()
        self._hlog.flush()

    def _respond(self, operation: str, at: _Bin, outcome: Outcome, response_us: int) -> None:
        at.sample(outcome, "response", response_us)
        self._fresh_us[operation].append(response_us)
        fresh = self._fresh[operation]
        fresh[0] += 1
        fresh[1] += outcome != "ok"

    def _give_up(self, sequence: int, intended_ns: int) -> None:
        flight = self._flying.pop(sequence, None)
        if flight is None:
            return
        self._timed_out.add(sequence)
        self._unknown += 1
        at = self._bin(SEND, intended_ns)
        at.unknown += 1
        at.sample("unknown", "lag", self._us(flight[1] - intended_ns))

    def _bin(self, operation: str, t_ns: int) -> _Bin:
        assert self._origin_ns is not None
        bins = self._bins[operation]
        index = (t_ns - self._origin_ns) // self._width_ns
        if self._next_to_settle is not None and index < self._next_to_settle:
            index = self._next_to_settle  # later than the timeout allows: counted, if a bin late
        at = bins.get(index)
        if at is None:
            at = bins[index] = _Bin()
        return at

    def _write_until(self, horizon: int) -> None:
        indices = sorted({index for bins in self._bins.values() for index in bins if index < horizon})
        for index in indices:
            for operation in (LOGIN, SEND):
                at = self._bins[operation].pop(index, None)
                if at is not None:
                    self._write(index, operation, at)
        if self._next_to_settle is None or horizon > self._next_to_settle:
            self._next_to_settle = horizon

    def _write(self, index: int, operation: str, at: _Bin) -> None:
        start_s = round(index * self._width_s, 6)
        phase = self.phase(start_s + self._width_s / 2)
        if operation == SEND:
            self._backlog += at.attempts - at.answers
        for (outcome, measure), values in at.samples.items():
            tag = HistogramTag(self._generation, self._trial, phase, operation, outcome, measure)
            counted = np.frombuffer(values, dtype=np.int64)
            self._hlog.write(encode_line(tag, start_s, self._width_s, counted))
        row = TimelineRow(
            generation=self._generation,
            trial=self._trial,
            phase=phase,
            bin_start_s=start_s,
            bin_width_s=self._width_s,
            operation=operation,
            offered=at.offered,
            sent=at.sent,
            shed=at.shed,
            ok=at.ok,
            failed=at.failed,
            unknown=at.unknown,
            on_time=at.on_time,
            acknowledged_in_bin=at.acknowledged_in_bin,
            delivered_in_bin=at.delivered_in_bin,
            backlog=self._backlog if operation == SEND else 0,
            response_p50_ms=_percentile_ms(at.samples.get(("ok", "response")), 0.50),
            response_p95_ms=_percentile_ms(at.samples.get(("ok", "response")), 0.95),
            response_p99_ms=_percentile_ms(at.samples.get(("ok", "response")), 0.99),
            delivery_p95_ms=_percentile_ms(at.samples.get(("ok", "delivery")), 0.95),
            lag_p99_ms=_percentile_ms(at.samples.get(("ok", "lag")), 0.99),
        )
        self._timeline.writerow(["" if value is None else value for value in astuple(row)])

    def _us(self, delta_ns: int) -> int:
        """The delta in µs within the histogram's range; a negative one is counted and taken for 1 µs."""
        if delta_ns < 0:
            self.negative += 1
        return min(max(delta_ns // 1000, LOWEST_LATENCY_US), HIGHEST_LATENCY_US)


def _percentile_ms(values_us: "array[int] | None", quantile: float) -> float | None:
    """The quantile in ms, by nearest rank; None where fewer than ten samples lie beyond it."""
    if values_us is None or len(values_us) * (1 - quantile) < 10:
        return None
    ordered = np.frombuffer(values_us, dtype=np.int64)
    value = np.quantile(ordered, quantile, method="inverted_cdf")
    return float(round(float(value) / 1000, 3))

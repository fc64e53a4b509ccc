"""Every operation's fate in one load process, with bounded memory and hardly any work at the moment itself.

While load runs, an operation is a row of six numbers: what it is and whose, when it was intended, sent and
done, and how it ended. The schedule lays rows out thousands at a time; sending appends one number, answering
writes two. Rows are counted into bins and histograms later, thousands at once with numpy, which costs a
tenth of counting each as it comes; and in pieces of a fraction of a millisecond, between which messages
can leave on time.

An operation belongs to the bin of its *intended* start, and so do its response, service and lag
times: an outage shows as the arrivals it spoilt. Only what has no intended moment of its own, the
delivery at the addressee and the counts by the clock, belongs to the bin in which it happens.

A bin is settled once every operation in it is answered or timed out: then it is given out and its
rows are let go. So memory holds no more than the timeout's worth of rows.
"""

import itertools
import operator
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bench.histograms import Histogram, counts_of
from bench.load.settled import Counts, SettledBin
from bench.records import (
    HIGHEST_LATENCY_US,
    LOWEST_LATENCY_US,
    OPERATIONS,
    Measure,
    Outcome,
)

LOGIN, SEND, GROUP_SEND, SYNC, PRESENCE = range(len(OPERATIONS))
"""The operations by number, as rows hold them."""
MESSAGES = frozenset({SEND, GROUP_SEND})
"""Those whose acknowledgements are transactions."""
FLYING, OK, FAILED, UNKNOWN, SHED = range(5)
PIECE = 1_024
"""How many rows are counted at once: a sixth of a millisecond's work in a loop, up to one when it is cold."""

_NOTHING = np.zeros(0, dtype=np.int64)
Longs = npt.NDArray[np.int64]
Give = Callable[[Sequence[SettledBin], int], None]
"""Takes the bins that have settled, and the index before which all have."""


@dataclass(slots=True)
class _Bin:
    """One bin of one operation while it fills: its counts, and bucket counts by outcome and measure."""

    counts: list[int] = field(default_factory=lambda: [0] * len(Counts._fields))
    latencies: dict[tuple[Outcome, Measure], Longs] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)

    def add(self, name: str, count: int) -> None:
        self.counts[_COUNT[name]] += count

    def count_in(self, key: tuple[Outcome, Measure], values_us: Longs) -> None:
        fresh = counts_of(values_us)
        kept = self.latencies.get(key)
        if kept is None or len(kept) < len(fresh):
            kept, fresh = fresh, kept if kept is not None else fresh[:0]
            self.latencies[key] = kept
        kept[: len(fresh)] += fresh


_COUNT = {name: place for place, name in enumerate(Counts._fields)}


@dataclass(frozen=True, slots=True)
class Second:
    """What was answered since the last look; a late answer is counted but has no response time."""

    answered: int
    failed: int
    response_us: Longs


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since the trial began, for whoever watches. Messages only: sends and group sends."""

    offered: int = 0
    acknowledged: int = 0
    failed: int = 0
    unknown: int = 0
    shed: int = 0
    delivered: int = 0
    in_flight: int = 0


class Recorder:
    """The record of one trial in one load process. Times given in are CLOCK_MONOTONIC ns."""

    def __init__(self, give: Give, *, bin_width_s: float, timeout_s: float, slo_ms: float) -> None:
        self._give = give
        self._width_ns = round(bin_width_s * 1e9)
        self._timeout_ns = round(timeout_s * 1e9)
        self._slo_ns = round(slo_ms * 1e6)
        self._origin_ns: int | None = None
        self._early_logins: list[tuple[int, int, bool]] = []
        # The rows, by sequence less _first. Of `_sent`, -1 is never, and rows beyond its end are only
        # laid out; times are ns from the origin.
        self._first = 0
        self._operation = bytearray()
        self._people: list[int] = []  # not an array: to copy references costs a tenth
        self._outcome = bytearray()
        self._intended = array("q")
        self._sent = array("q")
        self._done = array("q")
        # What happened by the clock since it was last counted.
        self._answers = array("q")
        self._late_answers: list[tuple[int, int, bool]] = []
        self._delivery_at = array("q")
        self._delivery_ns = array("q")
        self._delivery_kind = bytearray()
        # How far the rows are counted: by sent time, by timeout, by fate.
        self._departed = 0
        self._overdue = 0
        self._counted = 0
        self._bins: dict[tuple[int, int], _Bin] = {}
        self._settled_until: int | None = None
        self._fresh: dict[int, list[Any]] = {number: [0, 0, []] for number in range(len(OPERATIONS))}
        self._late = 0
        self._late_operation: dict[int, int] = {}
        self.in_flight = 0
        self.negative = 0
        self._totals = dict.fromkeys(("offered", "acknowledged", "failed", "unknown", "shed", "delivered"), 0)

    @property
    def origin_ns(self) -> int:
        """The moment the first stage begins."""
        assert self._origin_ns is not None
        return self._origin_ns

    @property
    def next_sequence(self) -> int:
        """The sequence of the next operation that is sent or shed."""
        return self._first + len(self._sent)

    @property
    def unanswered(self) -> int:
        """Operations that no answer has come to, timed out or not: the backlog."""
        return self.in_flight + self._late

    def totals(self) -> Totals:
        """Counts of messages, as of the last settling but for what is in flight."""
        return Totals(**self._totals, in_flight=self.in_flight)

    def take_second(self, operation: int) -> Second:
        """The answers of one operation since this was last asked, as of the last settling."""
        answered, failed, parts = self._fresh[operation]
        self._fresh[operation] = [0, 0, []]
        return Second(answered, failed, np.concatenate(parts) if parts else _NOTHING)

    def begin(self, origin_ns: int) -> None:
        """Fix the trial's origin. Logins recorded before it are binned now, at negative times."""
        self._origin_ns = origin_ns
        for intended_ns, done_ns, ok in self._early_logins:
            self.login(intended_ns, done_ns, ok=ok)
        self._early_logins.clear()

    def login(self, intended_ns: int, done_ns: int, *, ok: bool) -> None:
        """A person came online, or back, or was refused; of no schedule, so told when it is over."""
        if self._origin_ns is None:
            self._early_logins.append((intended_ns, done_ns, ok))
            return
        took_ns, done_ns = done_ns - intended_ns, done_ns - self._origin_ns
        at = self._bin(self._index(intended_ns - self._origin_ns), LOGIN)
        at.add("offered", 1)
        at.add("sent", 1)
        at.add("ok" if ok else "failed", 1)
        at.add("on_time", ok and took_ns <= self._slo_ns)
        self._bin(self._index(done_ns), LOGIN).add("acknowledged_in_bin", ok)
        took_us = self._us(np.array([took_ns]))
        at.count_in(("ok" if ok else "failed", "response"), took_us)
        self._freshen(LOGIN, 1, not ok, took_us)

    def disconnected(self, person: int, now_ns: int) -> None:
        """Somebody lost their connection; before the origin it touches nobody's figures."""
        if self._origin_ns is not None and now_ns >= self._origin_ns:
            self._bin(self._index(now_ns - self._origin_ns), LOGIN).touched.add(person)

    def lay_out(self, operations: Sequence[int], people: Sequence[int], intended_ns: Longs) -> None:
        """Rows for what the schedule asks for next, of whom, in ns from the origin, which must never fall."""
        self._operation += bytes(operations)
        self._people += people
        self._outcome += bytes(len(operations))  # FLYING
        self._intended.frombytes(intended_ns.astype(np.int64).tobytes())
        self._done.frombytes(bytes(8 * len(operations)))

    def sent(self, now_ns: int) -> int:
        """The operation of the next row begins now; its sequence."""
        sequence = self._first + len(self._sent)
        self._sent.append(now_ns - self._origin_ns)  # type: ignore[operator]  # nothing is sent before begin()
        self.in_flight += 1
        return sequence

    def shed(self) -> None:
        """The operation of the next row is not sent, because too many are in flight."""
        self._outcome[len(self._sent)] = SHED
        self._sent.append(-1)

    def answered(self, sequence: int, now_ns: int, ok: bool) -> None:
        """The server answered, for the first time."""
        row = sequence - self._first
        if row >= 0 and self._outcome[row] == FLYING:
            self._outcome[row] = OK if ok else FAILED
            self._done[row] = now_ns - self._origin_ns  # type: ignore[operator]
            self.in_flight -= 1
            self._answers.append(sequence)
        else:  # too late to be more than unknown
            self._late -= 1
            operation = self._operation[row] if row >= 0 else self._late_operation.pop(sequence)
            self._late_answers.append((now_ns - self.origin_ns, operation, ok))

    def delivered(self, operation: int, intended_ns: int, now_ns: int) -> None:
        """A message reached one of those it is for, for the first time."""
        self._delivery_at.append(now_ns - self._origin_ns)  # type: ignore[operator]
        self._delivery_ns.append(now_ns - intended_ns)
        self._delivery_kind.append(operation)

    def settle(self, now_ns: int) -> Iterator[None]:
        """Count what is new, time out what is overdue, give out the bins in which nothing changes any more.

        A generator: between its pieces of work others may run. Exhaust it before calling it again.
        """
        now_ns -= self.origin_ns
        yield from self._time_out(now_ns - self._timeout_ns)
        yield from self._count_by_clock()
        horizon = self._index(now_ns - self._timeout_ns)
        yield from self._count_rows(horizon * self._width_ns)
        yield from self._give_out(horizon)

    def close(self, now_ns: int) -> None:
        """Give out all that is left; what is still in flight counts as unknown."""
        if self._origin_ns is None:
            return
        del self._operation[len(self._sent) :], self._outcome[len(self._sent) :]  # laid out, never reached
        del self._people[len(self._sent) :]
        del self._intended[len(self._sent) :], self._done[len(self._sent) :]
        end_ns = 1 + max(now_ns - self._origin_ns, self._intended[-1] if self._intended else 0)
        for work in (self._time_out(end_ns), self._count_by_clock(), self._count_rows(end_ns)):
            for _ in work:
                pass
        last = max((index for index, _ in self._bins), default=0)
        for _ in self._give_out(max(last, self._index(end_ns)) + 1):
            pass

    def _time_out(self, intended_before_ns: int) -> Iterator[None]:
        while self._overdue < len(self._sent) and self._intended[self._overdue] < intended_before_ns:
            end = min(self._overdue + PIECE, len(self._sent))
            intended = np.frombuffer(self._intended[self._overdue : end], dtype=np.int64)
            end = self._overdue + int(np.searchsorted(intended, intended_before_ns))
            outcome = np.frombuffer(self._outcome[self._overdue : end], dtype=np.uint8)
            silent = np.flatnonzero(outcome == FLYING)
            for row in (silent + self._overdue).tolist():
                self._outcome[row] = UNKNOWN
                self._totals["unknown"] += self._operation[row] in MESSAGES
            self.in_flight -= len(silent)
            self._late += len(silent)
            self._overdue = end
            yield

    def _count_by_clock(self) -> Iterator[None]:
        """Departures, answers and deliveries since the last time, each into the bin in which it happened."""
        answers, deliveries = len(self._answers), len(self._delivery_at)
        departed = len(self._sent)
        while self._departed < departed:
            self._count_departures(min(self._departed + PIECE, departed))
            yield
        while answers > 0:
            self._count_answers(min(answers, PIECE))
            answers -= PIECE
            yield
        while deliveries > 0:
            self._count_deliveries(min(deliveries, PIECE))
            deliveries -= PIECE
            yield
        late, self._late_answers = self._late_answers, []
        for at_ns, number, ok in late:
            at = self._bin(self._index(at_ns), number)
            at.add("answers", 1)
            at.add("acknowledged_in_bin", ok)
            self._freshen(number, 1, not ok, _NOTHING)
            if number in MESSAGES:
                self._totals["acknowledged" if ok else "failed"] += 1

    def _count_departures(self, end: int) -> None:
        sent_ns = np.frombuffer(self._sent[self._departed : end], dtype=np.int64)
        operation = np.frombuffer(self._operation[self._departed : end], dtype=np.uint8)
        self._departed = end
        left = sent_ns >= 0
        for index, number, count in self._tally(sent_ns[left], operation[left]):
            self._bin(index, number).add("attempts", count)
        for number in MESSAGES:
            offered = operation == number
            self._totals["offered"] += int(np.count_nonzero(offered))
            self._totals["shed"] += int(np.count_nonzero(offered & ~left))

    def _count_answers(self, many: int) -> None:
        row = np.frombuffer(self._answers[:many], dtype=np.int64) - self._first
        del self._answers[:many]
        low, high = int(row.min()), int(row.max()) + 1
        row -= low
        done_ns = np.frombuffer(self._done[low:high], dtype=np.int64)[row]
        intended_ns = np.frombuffer(self._intended[low:high], dtype=np.int64)[row]
        operation = np.frombuffer(self._operation[low:high], dtype=np.uint8)[row]
        ok = np.frombuffer(self._outcome[low:high], dtype=np.uint8)[row] == OK
        for index, code, count in self._tally(done_ns, operation << 1 | ok):
            number, well = code >> 1, code & 1
            at = self._bin(index, number)
            at.add("answers", count)
            at.add("acknowledged_in_bin", count * well)
            if number in MESSAGES:
                self._totals["acknowledged" if well else "failed"] += count
        took_us = np.maximum((done_ns - intended_ns) // 1000, LOWEST_LATENCY_US)
        for number in np.flatnonzero(np.bincount(operation)).tolist():
            own = operation == number
            self._freshen(number, int(own.sum()), int(np.count_nonzero(own & ~ok)), took_us[own])

    def _count_deliveries(self, many: int) -> None:
        at_ns = np.frombuffer(self._delivery_at[:many], dtype=np.int64)
        took_us = self._us(np.frombuffer(self._delivery_ns[:many], dtype=np.int64))
        kind = np.frombuffer(self._delivery_kind[:many], dtype=np.uint8)
        del self._delivery_at[:many], self._delivery_ns[:many], self._delivery_kind[:many]
        self._totals["delivered"] += many
        index_of = at_ns // self._width_ns
        for index, number, count in self._tally(at_ns, kind):
            at = self._bin(index, number)
            at.add("delivered_in_bin", count)
            at.count_in(("ok", "delivery"), took_us[(index_of == index) & (kind == number)])

    def _count_rows(self, intended_before_ns: int) -> Iterator[None]:
        """The rows of bins that have settled, by their fate; then let them go."""
        while self._counted < self._overdue and self._intended[self._counted] < intended_before_ns:
            end = min(self._counted + PIECE, self._overdue)
            intended_ns = np.frombuffer(self._intended[self._counted : end], dtype=np.int64)
            index = self._index(int(intended_ns[0]))
            many = int(np.searchsorted(intended_ns, min((index + 1) * self._width_ns, intended_before_ns)))
            rows = slice(self._counted, self._counted + many)
            self._count_piece(self._open_index(index), rows, intended_ns[:many])
            self._counted += many
            yield
        done = min(self._counted, self._departed)
        if done:
            outcome = np.frombuffer(self._outcome[:done], dtype=np.uint8)
            for row in np.flatnonzero(outcome == UNKNOWN).tolist():
                self._late_operation[self._first + row] = self._operation[row]
            del self._operation[:done], self._people[:done], self._outcome[:done]
            del self._intended[:done], self._sent[:done], self._done[:done]
            self._first += done
            self._counted -= done
            self._departed -= done
            self._overdue -= done

    def _count_piece(self, index: int, rows: slice, intended_ns: Longs) -> None:
        operation = np.frombuffer(self._operation[rows], dtype=np.uint8)
        outcome = np.frombuffer(self._outcome[rows], dtype=np.uint8)
        sent_ns = np.frombuffer(self._sent[rows], dtype=np.int64)
        done_ns = np.frombuffer(self._done[rows], dtype=np.int64)
        answered = (outcome == OK) | (outcome == FAILED)
        response_us = self._us_where(done_ns - intended_ns, answered)
        service_us = self._us_where(done_ns - sent_ns, answered)
        lag_us = self._us_where(sent_ns - intended_ns, outcome != SHED)
        missed = (outcome != OK) | (done_ns - intended_ns > self._slo_ns)
        for number in np.flatnonzero(np.bincount(operation)).tolist():
            at = self._bin(index, number)
            own = operation == number
            fates = np.bincount(outcome[own], minlength=SHED + 1).tolist()
            at.add("offered", sum(fates))
            at.add("sent", sum(fates) - fates[SHED])
            at.add("shed", fates[SHED])
            at.add("ok", fates[OK])
            at.add("failed", fates[FAILED])
            at.add("unknown", fates[UNKNOWN])
            at.add("on_time", int(np.count_nonzero(own & ~missed)))
            for row in np.flatnonzero(own & missed).tolist():
                at.touched.add(self._people[rows.start + row])
            for code, name in ((OK, "ok"), (FAILED, "failed"), (UNKNOWN, "unknown")):
                if not fates[code]:
                    continue
                chosen = own & (outcome == code)
                key = cast(Outcome, name)
                at.count_in((key, "lag"), lag_us[chosen])
                if code != UNKNOWN:
                    at.count_in((key, "response"), response_us[chosen])
                    at.count_in((key, "service"), service_us[chosen])

    def _give_out(self, horizon: int) -> Iterator[None]:
        """The bins before `horizon`, those of one moment at a time."""
        keys = sorted(key for key in self._bins if key[0] < horizon)
        for index, of_index in itertools.groupby(keys, key=operator.itemgetter(0)):
            settled_until = self._settle_until(index + 1)
            given = []
            for key in of_index:
                at = self._bins.pop(key)
                latencies = {tag: Histogram.of_counts(counts) for tag, counts in at.latencies.items()}
                touched = np.array(sorted(at.touched), dtype=np.int64)
                given.append(SettledBin(index, OPERATIONS[key[1]], Counts(*at.counts), latencies, touched))
            self._give(given, settled_until)
            yield
        self._give((), self._settle_until(horizon))

    def _settle_until(self, index: int) -> int:
        self._settled_until = max(index, index if self._settled_until is None else self._settled_until)
        return self._settled_until

    def _freshen(self, operation: int, answered: int, failed: int, response_us: Longs) -> None:
        fresh = self._fresh[operation]
        fresh[0] += answered
        fresh[1] += failed
        fresh[2].append(response_us)

    def _tally(self, at_ns: Longs, kind: npt.NDArray[np.uint8]) -> Iterator[tuple[int, int, int]]:
        """How many there are for each bin index and kind."""
        if not len(at_ns):
            return
        keys = (at_ns // self._width_ns) * 256 + kind
        lowest = int(keys.min())
        counts = np.bincount(keys - lowest)
        for above in np.flatnonzero(counts).tolist():
            yield (lowest + above) >> 8, (lowest + above) & 255, int(counts[above])

    def _index(self, t_ns: int) -> int:
        return t_ns // self._width_ns

    def _open_index(self, index: int) -> int:
        """The bin, or the first that is still open where it has settled: counted, if a bin late."""
        return index if self._settled_until is None else max(index, self._settled_until)

    def _bin(self, index: int, operation: int) -> _Bin:
        key = self._open_index(index), operation
        at = self._bins.get(key)
        if at is None:
            at = self._bins[key] = _Bin()
        return at

    def _us(self, delta_ns: Longs) -> Longs:
        """The deltas in µs within the histogram's range; negative ones are counted and taken for 1 µs."""
        self.negative += int(np.count_nonzero(delta_ns < 0))
        return np.clip(delta_ns // 1000, LOWEST_LATENCY_US, HIGHEST_LATENCY_US)

    def _us_where(self, delta_ns: Longs, real: npt.NDArray[np.bool_]) -> Longs:
        """As `_us`, of the deltas that are `real`; what stands in the places of the others means nothing."""
        return self._us(np.where(real, delta_ns, 0))

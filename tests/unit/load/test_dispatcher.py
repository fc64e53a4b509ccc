"""When the dispatcher asks, looks and rests, on a clock that stands still but while it rests."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from bench.load.clients import Request
from bench.load.clients.arrivals import MOST
from bench.load.clients.client import Client
from bench.load.dispatcher import BURST, HOLD_NS, SLACK_NS, Dispatcher
from bench.load.ledger import Ledger
from bench.load.population import Body, Draws
from bench.load.recorder import SEND, Recorder
from tests.unit.load.stages import stage

ORIGIN_NS = 5_000_000_000
MS = 1_000_000


class Bench:
    """A dispatcher with one person, and what it did: moments in ns from the origin."""

    number = 0
    online = True

    def __init__(self, found: Sequence[int] = ()) -> None:
        """`found`: of how many connections each look finds something; then of none."""
        self.now_ns = ORIGIN_NS
        self.asked: list[int] = []
        self.looked: list[int] = []
        self.rested: list[tuple[int, int]] = []
        self._found = list(found)
        recorder = Recorder(lambda *_: None, bin_width_s=1, timeout_s=5, slo_ms=500)
        recorder.begin(ORIGIN_NS)
        self.dispatcher = Dispatcher(
            cast(Sequence[Client], [self]),
            0,
            [Body("hello", 1)],
            [stage("steady", "steady", 0, 10)],
            recorder,
            Ledger(1, 1),
            max_in_flight=1_000_000,
            clock_ns=lambda: self.now_ns,
            look=self._look,
        )

    def send(self, _: Request) -> None:
        self.asked.append(self.now_ns - ORIGIN_NS)

    def _look(self) -> int:
        self.looked.append(self.now_ns - ORIGIN_NS)
        return self._found.pop(0) if self._found else 0

    def offer(self, times_ns: Sequence[int], late_ns: int = 0) -> None:
        """Each rest ends so much later than it was to."""

        def schedule() -> Iterator[npt.NDArray[np.int64]]:
            yield np.array(times_ns, dtype=np.int64)

        def draws() -> Iterator[Draws]:
            many = len(times_ns)
            yield Draws([SEND] * many, [0] * many, [0] * many, [0] * many)

        for until_ns in self.dispatcher.offer(schedule(), draws()):
            self.rested.append((self.now_ns - ORIGIN_NS, until_ns - ORIGIN_NS))
            self.now_ns = max(self.now_ns, until_ns + late_ns)


def test_each_is_asked_for_when_it_is_due() -> None:
    bench = Bench()
    bench.offer([1 * MS, 3 * MS, 8 * MS])
    assert bench.asked == [1 * MS, 3 * MS, 8 * MS]


def test_what_is_due_almost_together_leaves_together_and_none_before_its_time() -> None:
    bench = Bench()
    times_ns = [number * SLACK_NS // 4 for number in range(1, 41)]
    bench.offer(times_ns)
    assert all(asked >= due for asked, due in zip(bench.asked, times_ns, strict=True))
    assert max(asked - due for asked, due in zip(bench.asked, times_ns, strict=True)) <= SLACK_NS
    assert len(set(bench.asked)) <= 10


def test_it_looks_before_each_rest_and_rests_no_longer_than_is_held() -> None:
    bench = Bench()
    bench.offer([5 * HOLD_NS + MS])
    assert bench.asked == [5 * HOLD_NS + MS]
    assert bench.looked == [number * HOLD_NS for number in range(6)]
    assert all(until - since <= HOLD_NS for since, until in bench.rested)


def test_where_there_is_more_to_read_than_one_look_takes_others_run_and_it_looks_again() -> None:
    bench = Bench(found=[MOST, MOST, 3])
    bench.offer([2 * MS])
    assert bench.looked == [0, 0, 0]
    assert bench.rested == [(0, 0), (0, 0), (0, 2 * MS)]


def test_overdue_ones_leave_in_bursts_between_which_others_run_and_what_arrived_is_read() -> None:
    bench = Bench()
    bench.now_ns += 10 * MS
    bench.offer([MS] * (2 * BURST + 1))
    assert bench.asked == [10 * MS] * (2 * BURST + 1)
    assert len(bench.looked) == len(bench.rested) == 2


def test_a_rest_that_lasted_too_long_moves_nothing_in_the_schedule() -> None:
    bench = Bench()
    bench.offer([MS, 2 * MS, 40 * MS], late_ns=5 * MS)
    assert bench.asked[:2] == [6 * MS, 6 * MS]
    assert bench.asked[2] == 45 * MS

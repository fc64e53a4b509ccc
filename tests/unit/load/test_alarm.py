import time
from collections.abc import Iterator

import gevent
import pytest

from bench.load.alarm import Alarm


@pytest.fixture(autouse=True)
def _watchdog() -> Iterator[None]:
    with gevent.Timeout(20):
        yield


def test_work_goes_on_at_its_moments_and_never_before() -> None:
    early_ns: list[int] = []

    def work() -> Iterator[int]:
        for wait_ns in (50_000, 1_000_000, 30_000_000):
            t_ns = time.monotonic_ns() + wait_ns
            yield t_ns
            early_ns.append(t_ns - time.monotonic_ns())

    with Alarm() as alarm:
        alarm.run(work())
    assert len(early_ns) == 3
    assert max(early_ns) <= 0


def test_others_run_before_what_is_past_goes_on() -> None:
    turns: list[str] = []

    def work() -> Iterator[int]:
        gevent.spawn(turns.append, "other")
        yield time.monotonic_ns() - 1
        turns.append("late")

    with Alarm() as alarm:
        alarm.run(work())
    assert turns == ["other", "late"]


def test_it_can_be_told_to_go_on_earlier_but_not_later() -> None:
    with Alarm() as alarm:
        began_ns = time.monotonic_ns()

        def work() -> Iterator[int]:
            gevent.spawn(alarm.no_later_than, began_ns + 20_000_000)
            gevent.spawn(alarm.no_later_than, began_ns + 15_000_000_000)
            yield began_ns + 15_000_000_000

        alarm.run(work())
        assert 20_000_000 <= time.monotonic_ns() - began_ns < 15_000_000_000


def test_what_the_work_raises_is_raised_to_whoever_waits_and_the_next_work_runs() -> None:
    def broken() -> Iterator[int]:
        yield time.monotonic_ns() + 1_000_000
        raise LookupError("no more draws")

    def whole() -> Iterator[int]:
        yield time.monotonic_ns() + 1_000_000
        turns.append("whole")

    turns: list[str] = []
    with Alarm() as alarm:
        with pytest.raises(LookupError, match="no more draws"):
            alarm.run(broken())
        alarm.run(whole())
    assert turns == ["whole"]


def test_the_work_of_whoever_is_killed_meanwhile_does_not_go_on() -> None:
    turns: list[int] = []

    def work() -> Iterator[int]:
        while True:
            turns.append(len(turns))
            yield time.monotonic_ns() + 1_000_000

    with Alarm() as alarm:
        running = gevent.spawn(alarm.run, work())
        while len(turns) < 3:
            gevent.sleep(0.001)
        running.kill()
        seen = len(turns)
        gevent.sleep(0.02)
    assert len(turns) == seen

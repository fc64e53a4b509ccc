import time
from collections.abc import Iterator

import gevent
import pytest

from bench.load.alarm import Alarm


@pytest.fixture(autouse=True)
def _watchdog() -> Iterator[None]:
    with gevent.Timeout(20):
        yield


def test_it_returns_at_the_moment_and_never_before() -> None:
    with Alarm() as alarm:
        for wait_ns in (50_000, 1_000_000, 30_000_000):
            t_ns = time.monotonic_ns() + wait_ns
            alarm.wait_until(t_ns)
            assert time.monotonic_ns() >= t_ns


def test_what_is_past_lets_the_others_run_first() -> None:
    turns: list[str] = []
    with Alarm() as alarm:
        gevent.spawn(turns.append, "other")
        alarm.wait_until(time.monotonic_ns() - 1)
        turns.append("late")
    assert turns == ["other", "late"]


def test_it_can_be_told_to_return_earlier_but_not_later() -> None:
    with Alarm() as alarm:
        began_ns = time.monotonic_ns()
        gevent.spawn(alarm.no_later_than, began_ns + 20_000_000)
        gevent.spawn(alarm.no_later_than, began_ns + 15_000_000_000)
        alarm.wait_until(began_ns + 15_000_000_000)
        assert 20_000_000 <= time.monotonic_ns() - began_ns < 15_000_000_000

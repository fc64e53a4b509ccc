"""A Locust user is one person online: its greenlet logs in and sleeps; the dispatcher does the asking.

So Locust's user count is people online and its spawn rate is logins a second. Locust's statistics are
fed once a second with merged entries, not with an event a request: its page shows the same counts.
Importing this module imports Locust, which patches the standard library for gevent.
"""

import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from locust import User, constant, task
from locust.exception import StopUser
from locust.stats import RequestStats, StatsEntry, bucket_response_time

from bench.load.recorder import Recorder
from bench.records import OPERATIONS

METHOD = "threegen"


def person_user(live: Callable[[], None]) -> type[User]:
    """The user class of one process's people, each of whom is `live`."""

    class PersonOnline(User):
        """One person of the crowd."""

        wait_time = constant(0)

        @task
        def live(self) -> None:
            live()
            raise StopUser

    return PersonOnline


def feed(stats: RequestStats, recorder: Recorder) -> None:
    """Merge what the recorder has counted since the last call into Locust's statistics."""
    for number, operation in enumerate(OPERATIONS):
        second = recorder.take_second(number)
        if not second.answered:
            continue
        now = time.time()
        fresh = StatsEntry(stats, operation, METHOD)
        fresh.num_requests = second.answered
        fresh.num_failures = second.failed
        fresh.last_request_timestamp = now
        fresh.num_reqs_per_sec = defaultdict(int, {int(now): second.answered})
        fresh.num_fail_per_sec = defaultdict(int, {int(now): second.failed} if second.failed else {})
        response_ms = second.response_us // 1000
        if len(response_ms):
            fresh.total_response_time = int(response_ms.sum())
            fresh.min_response_time = int(response_ms.min())
            fresh.max_response_time = int(response_ms.max())
        # Answers that came too late to be timed are requests without a time, as Locust has it.
        fresh.num_none_requests = second.answered - len(response_ms)
        for value, count in zip(*np.unique(response_ms, return_counts=True), strict=True):
            rounded = bucket_response_time(int(value))
            fresh.response_times[rounded] = fresh.response_times.get(rounded, 0) + int(count)
        stats.get(operation, METHOD).extend(fresh)
        stats.total.extend(fresh)

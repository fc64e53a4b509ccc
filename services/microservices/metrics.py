"""The metrics every service of this generation has, by operation: rate, errors, duration, saturation."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Timing:
    """One operation under way; set `outcome` to anything but `ok` where it went otherwise."""

    __slots__ = ("outcome",)

    def __init__(self) -> None:
        self.outcome = "ok"


class Operations:
    """Counts and times operations; one batch counts as one request, its messages are counted apart."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter("requests", "Requests ended", ["operation", "outcome"], registry=registry)
        self._seconds = Histogram(
            "request_seconds", "Duration of requests", ["operation"], buckets=_BUCKETS_S, registry=registry
        )
        self._in_flight = Gauge("requests_in_flight", "Requests under way", ["operation"], registry=registry)
        self._retries = Counter("retries", "Calls made again", ["operation"], registry=registry)
        self._messages = Counter("messages", "Messages handled", ["operation"], registry=registry)

    @contextmanager
    def timed(self, operation: str) -> Iterator[Timing]:
        """Count and time what happens within; an exception counts as `error` and goes on."""
        timing = Timing()
        in_flight = self._in_flight.labels(operation)
        in_flight.inc()
        began = time.perf_counter()
        try:
            yield timing
        except BaseException:
            timing.outcome = "error"
            raise
        finally:
            in_flight.dec()
            self._seconds.labels(operation).observe(time.perf_counter() - began)
            self._requests.labels(operation, timing.outcome).inc()

    def retried(self, operation: str) -> None:
        """Count one call made again."""
        self._retries.labels(operation).inc()

    def count(self, operation: str, messages: int) -> None:
        """Count messages handled."""
        self._messages.labels(operation).inc(messages)

"""What the services of this generation count; what means the same has the same name in all generations."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

Outcome = Literal["ok", "failed", "unknown"]
"""Done; refused; or not known, for want of an answer in time or by a mistake of ours."""
_OUTCOMES: tuple[Outcome, ...] = ("ok", "failed", "unknown")


class Timing:
    """One operation under way; set `outcome` to anything but `ok` where it went otherwise."""

    __slots__ = ("outcome",)

    def __init__(self) -> None:
        self.outcome: Outcome = "ok"


class Operations:
    """Counts and times a service's operations: rate, errors, duration, saturation; a batch is one request.

    `timed` names them, `retried` those that call another service, and call again without an answer. All
    are at zero from the start; any other name is a KeyError.
    """

    def __init__(
        self, registry: CollectorRegistry, *, timed: Iterable[str], retried: Iterable[str] = ()
    ) -> None:
        requests = Counter(
            "threegen_requests", "Requests answered.", ["operation", "outcome"], registry=registry
        )
        seconds = Histogram(
            "threegen_request_seconds",
            "Duration of requests.",
            ["operation"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        in_flight = Gauge(
            "threegen_requests_in_flight", "Requests under way.", ["operation"], registry=registry
        )
        self._operations = {
            name: (
                {outcome: requests.labels(name, outcome) for outcome in _OUTCOMES},
                seconds.labels(name),
                in_flight.labels(name),
            )
            for name in timed
        }
        retries = Counter(
            "threegen_microservices_retries", "Calls made again.", ["operation"], registry=registry
        )
        self._retries = {name: retries.labels(name) for name in retried}

    @contextmanager
    def timed(self, operation: str) -> Iterator[Timing]:
        """Count and time what happens within; an exception counts as `unknown` and goes on."""
        timing = Timing()
        requests, seconds, in_flight = self._operations[operation]
        in_flight.inc()
        began = time.perf_counter()
        try:
            yield timing
        except BaseException:
            timing.outcome = "unknown"
            raise
        finally:
            in_flight.dec()
            seconds.observe(time.perf_counter() - began)
            requests[timing.outcome].inc()

    def retried(self, operation: str) -> None:
        """Count one call made again."""
        self._retries[operation].inc()


def entries_fetched(registry: CollectorRegistry) -> Callable[[], None]:
    """The counter of those who follow the log."""
    return Counter(
        "threegen_microservices_log_entries_fetched", "Entries read from the log.", registry=registry
    ).inc


class Messages:
    """What becomes of people's messages, syncs and presences at a gateway; each method takes how many."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.acknowledged = Counter(
            "threegen_messages_acknowledged",
            "Sends acknowledged, those of messages sent again among them.",
            registry=registry,
        ).inc
        self.group_sends = Counter(
            "threegen_group_sends",
            "Messages to groups acknowledged, those sent again among them.",
            registry=registry,
        ).inc
        self.syncs = Counter(
            "threegen_syncs", "Mailboxes read by people who are online.", registry=registry
        ).inc
        self.presence_changes = Counter(
            "threegen_presence_changes", "Presences changed by people who are online.", registry=registry
        ).inc
        self.refused = Counter(
            "threegen_messages_refused", "Sends answered with an error.", registry=registry
        ).inc
        self.unanswered = Counter(
            "threegen_messages_unanswered",
            "Sends given up on, which may be stored or not.",
            registry=registry,
        ).inc
        self.delivered = Counter(
            "threegen_messages_delivered", "Messages handed to their addressees.", registry=registry
        ).inc

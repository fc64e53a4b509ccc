"""What a load process knows of one operation in one bin of time once nothing in it can change any more.

The one form in which measurements leave a load process: the recorder makes them, `Gathering` joins
those of all processes and writes them down. A worker sends them to the master as plain lists.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from bench.histograms import Histogram, merge
from bench.records import Measure, Outcome
from bench.spans import Numbers


def _nobody() -> Numbers:
    return np.zeros(0, dtype=np.int64)


class Counts(NamedTuple):
    """Of one operation in one bin; see TimelineRow. `attempts` and `answers` go by the clock."""

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


@dataclass(frozen=True, slots=True)
class SettledBin:
    """Bin `index` (from the trial's origin, may be negative) of `operation`; latencies are in µs.

    `touched` are the numbers, rising, of those who did not get what they asked for; see TouchedRow.
    """

    index: int
    operation: str
    counts: Counts
    latencies: Mapping[tuple[Outcome, Measure], Histogram]
    touched: Numbers = field(default_factory=_nobody)

    def to_lists(self) -> list[Any]:
        """As lists, numbers, text and bytes (little-endian int64), for a message to another process."""
        latencies = [
            [*key, histogram.index.astype("<i8").tobytes(), histogram.count.astype("<i8").tobytes()]
            for key, histogram in self.latencies.items()
        ]
        touched = self.touched.astype("<i8").tobytes()
        return [self.index, self.operation, list(self.counts), latencies, touched]

    @classmethod
    def from_lists(cls, raw: list[Any]) -> "SettledBin":
        """What to_lists made."""
        index, operation, counts, latencies, touched = raw
        return cls(
            index,
            operation,
            Counts(*counts),
            {
                (outcome, measure): Histogram(
                    np.frombuffer(at, dtype="<i8"), np.frombuffer(many, dtype="<i8")
                )
                for outcome, measure, at, many in latencies
            },
            np.frombuffer(touched, dtype="<i8"),
        )


def join(parts: Iterable[SettledBin]) -> SettledBin:
    """The same bin of the same operation of several load processes as one; there must be at least one."""
    first, *others = parts
    if not others:
        return first
    every = [first, *others]
    keys = dict.fromkeys(key for part in every for key in part.latencies)
    return SettledBin(
        first.index,
        first.operation,
        Counts(*map(sum, zip(*(part.counts for part in every), strict=True))),
        {key: merge(part.latencies[key] for part in every if key in part.latencies) for key in keys},
        np.unique(np.concatenate([part.touched for part in every])),
    )

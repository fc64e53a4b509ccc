"""What a load process is told about its trial, and the words it exchanges with the conductor.

Told on the command line: the plan's file and an `Assignment`. Then one line each way at a time:
commands on standard input (`begin ORIGIN_NS`, `reconnect`, `stop`), reports on standard output as JSON
objects with an `event`: `listening` (with workers: the port they are to come to), `progress`, `online`,
`dropped` (the answer to `reconnect`, with how many `connections`), `drained`, `finished`, `failed`.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Self

from bench.records import Endpoint


@dataclass(frozen=True, slots=True)
class Assignment:
    """One trial: of which generation, in which protocol, against what, under which run number."""

    generation: str
    client: str
    trial: int
    seed: int
    run: int
    endpoints: tuple[Endpoint, ...]

    @property
    def delivers(self) -> bool:
        """Whether messages come to anybody: a plain web server only answers."""
        return self.client != "request"

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What to_json wrote."""
        raw = json.loads(text)
        raw["endpoints"] = tuple(Endpoint(**endpoint) for endpoint in raw["endpoints"])
        return cls(**raw)


@dataclass(frozen=True, slots=True)
class State:
    """How far one load process is. Counts are of messages; `failures` are sentences.

    `over` is whether all of the load was asked; `missing` what a drain still waits for, empty when
    nothing; `offline` how many people are not online. `last_arrival_ns` is on the conductor's clock, 0
    before the first.
    """

    online: int = 0
    offline: int = 0
    over: bool = False
    missing: str = ""
    last_arrival_ns: int = 0
    negative_deltas: int = 0
    offered: int = 0
    acknowledged: int = 0
    failed: int = 0
    unknown: int = 0
    shed: int = 0
    delivered: int = 0
    in_flight: int = 0
    failures: tuple[str, ...] = ()

    @classmethod
    def joined(cls, states: "list[State]") -> "State":
        """Those of several processes as one."""
        counts = (
            "online",
            "offline",
            "negative_deltas",
            "offered",
            "acknowledged",
            "failed",
            "unknown",
            "shed",
        )
        return cls(
            **{name: sum(getattr(state, name) for state in states) for name in counts},
            delivered=sum(state.delivered for state in states),
            in_flight=sum(state.in_flight for state in states),
            over=all(state.over for state in states),
            missing="; ".join(state.missing for state in states if state.missing),
            last_arrival_ns=max((state.last_arrival_ns for state in states), default=0),
            failures=tuple(failure for state in states for failure in state.failures),
        )

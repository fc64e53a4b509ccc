"""What the load process is told about its trial, and the words it exchanges with the conductor.

Told on the command line: the plan's file and an `Assignment`. Then one line each way at a time:
commands on standard input (`begin ORIGIN_NS`, `stop`), reports on standard output as JSON objects
with an `event`: `progress`, `online`, `drained`, `finished`, `failed`.
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

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What to_json wrote."""
        raw = json.loads(text)
        raw["endpoints"] = tuple(Endpoint(**endpoint) for endpoint in raw["endpoints"])
        return cls(**raw)

"""A plan: a profile fully resolved. Every default is filled in, every offset absolute, every seed drawn.

What is not in the plan does not influence the load. planning.py makes it out of a profile; whoever only
carries it out, such as a load process, need not know what a profile is.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from bench.generations import GENERATIONS, ClientKind, FaultKind
from bench.records import Link

PASSWORD = "correct horse battery staple"
PROBES = 2
"""People beyond the plan's clients, between whom the readiness message passes."""
START_ESTIMATE_S = {"monolith": 2.0, "sharded": 9.0, "microservices": 9.0}
STOP_ESTIMATE_S = 2.0
QUIET_ESTIMATE_S = 10.0


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stretch of offered load on the trial's clock.

    `knots` are (time in s, rate per second), the first at `start_s`, the last at `end_s`, times never
    falling: the rate runs straight from each to the next, and jumps where two are at one time. In a
    closed loop, which has no rates, they are 0.
    """

    name: str
    kind: str
    start_s: float
    end_s: float
    knots: tuple[tuple[float, float], ...]

    @property
    def rate_per_s(self) -> float:
        """The rate at its beginning."""
        return self.knots[0][1]

    @property
    def end_rate_per_s(self) -> float:
        """The rate at its end."""
        return self.knots[-1][1]

    @property
    def peak_per_s(self) -> float:
        """The highest rate in it."""
        return max(rate_per_s for _, rate_per_s in self.knots)

    @property
    def arrivals(self) -> float:
        """How many arrivals are expected in it."""
        return sum(
            (later_s - t_s) * (rate_per_s + later_per_s) / 2
            for (t_s, rate_per_s), (later_s, later_per_s) in pairwise(self.knots)
        )


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault of one trial of one generation; `fault` numbers a trial's faults from 1 as they strike.

    `nodes` are struck and healed together; none where the fault is aimed at none. `heal_s` is None where
    there is nothing to heal, or the generation heals it by itself; `human_s` is the part of the time until
    then in which the operator noticed and decided. `link` is that of a slow network, `jump_s` how far a
    clock jumps.
    """

    generation: str
    trial: int
    fault: int
    kind: FaultKind
    nodes: tuple[str, ...]
    inject_s: float
    heal_s: float | None
    human_s: float = 0.0
    link: Link | None = None
    jump_s: float | None = None

    @property
    def node_names(self) -> str:
        """The nodes' names as rows and people are told them: joined by `+`."""
        return "+".join(self.nodes)


@dataclass(frozen=True, slots=True)
class PlannedSlo:
    """On time means acknowledged within `response_ms`; `share` of the offered messages should be."""

    response_ms: float
    share: float


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One repetition of one generation, with its own seed."""

    generation: str
    trial: int
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run does. Times are seconds on each trial's own clock; `trials` is in running order.

    `contacts` is the mean number of strong ties a person has, `groups_each` how many groups everybody is
    in, where any are founded. `mix` is the share of each operation that is asked for; they sum to 1.
    `drain_quiet_s` is None where the wait after the load goes by the audit's rule (bench/load/drain.py).
    `loop` is `open` or `closed`; in a closed one people think for `think_s` in the mean, and neither
    `arrivals` nor the stages' rates mean anything.
    """

    name: str
    description: str
    seed: int
    deployment: str
    generations: tuple[str, ...]
    trials: tuple[PlannedTrial, ...]
    clients: int
    contacts: float
    groups_each: int
    largest_group: int
    login_rate_per_s: float
    password: str
    loop: str
    think_s: float | None
    arrivals: str
    timeout_s: float
    max_in_flight: int
    body_median_bytes: int
    body_p99_bytes: int
    mix: Mapping[str, float]
    stages: tuple[PlannedStage, ...]
    slo: PlannedSlo
    faults: tuple[PlannedFault, ...]
    operator_notice_s: float
    operator_decide_s: float
    drain_quiet_s: float | None
    drain_limit_s: float
    bin_width_s: float

    @property
    def load_s(self) -> float:
        """How long one trial's stages last."""
        return self.stages[-1].end_s

    def faults_of(self, generation: str, trial: int) -> Sequence[PlannedFault]:
        """The faults of one planned trial in the order they strike."""
        return [fault for fault in self.faults if (fault.generation, fault.trial) == (generation, trial)]

    def trial_estimate_s(self, generation: str) -> float:
        """Roughly how long one trial takes, from the first process to the last."""
        logins_s = self.clients / self.login_rate_per_s
        around_s = START_ESTIMATE_S.get(generation, 2.0) + STOP_ESTIMATE_S
        return around_s + logins_s + self.load_s + (self.drain_quiet_s or QUIET_ESTIMATE_S)

    @property
    def estimate_s(self) -> float:
        """Roughly how long the whole run takes."""
        return sum(self.trial_estimate_s(trial.generation) for trial in self.trials)

    def to_json(self) -> str:
        """Canonical: sorted keys, so that equal plans are equal bytes."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, indent=1)

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The plan that to_json wrote, now or before; raises ValueError, KeyError or TypeError for others."""
        raw: dict[str, Any] = json.loads(text)
        trials = tuple(PlannedTrial(**trial) for trial in raw["trials"])
        return cls(
            **{
                "operator_notice_s": 0.0,
                "operator_decide_s": 0.0,
                **raw,
                "generations": tuple(raw["generations"]),
                "trials": trials,
                "stages": tuple(
                    PlannedStage(**{**stage, "knots": tuple((t_s, rate) for t_s, rate in stage["knots"])})
                    for stage in raw["stages"]
                ),
                "faults": tuple(one for fault in raw["faults"] for one in _faults_of_json(fault, trials)),
                "slo": PlannedSlo(**raw["slo"]),
            }
        )


def client_kind(generation: str) -> ClientKind:
    """Which protocol the people of `generation` speak."""
    return GENERATIONS[generation].client


def _faults_of_json(raw: Mapping[str, Any], trials: Sequence[PlannedTrial]) -> list[PlannedFault]:
    """A fault as to_json wrote it; one of an older plan strikes one node, in each of `trials` alike."""
    if "node" in raw:
        rest = {key: value for key, value in raw.items() if key != "node"}
        struck = [one.trial for one in trials if one.generation == raw["generation"]]
        return [PlannedFault(**rest, trial=trial, nodes=(raw["node"],)) for trial in struck]
    link = raw["link"] and Link(**raw["link"])
    return [PlannedFault(**{**raw, "nodes": tuple(raw["nodes"]), "link": link})]

"""A plan: a profile fully resolved. Every default is filled in, every offset absolute, every seed drawn.

Pure: the same profile gives the same plan and the same digest. What is not in the plan does not
influence the load.
"""

import dataclasses
import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from bench.generations import GENERATIONS, ClientKind, FaultKind
from bench.profile import Profile

FAULT_BIN_WIDTH_S = 0.1
PLAIN_BIN_WIDTH_S = 1.0
PASSWORD = "correct horse battery staple"
PROBES = 2
"""People beyond the plan's clients, between whom the readiness message passes."""
START_ESTIMATE_S = {"monolith": 2.0, "sharded": 9.0, "microservices": 9.0}
STOP_ESTIMATE_S = 2.0


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stretch of offered load on the trial's clock; the rate runs straight from one end to the other."""

    name: str
    kind: str
    start_s: float
    end_s: float
    rate_per_s: float
    end_rate_per_s: float

    @property
    def arrivals(self) -> float:
        """How many arrivals are expected in it."""
        return (self.end_s - self.start_s) * (self.rate_per_s + self.end_rate_per_s) / 2


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault of one generation. `heal_s` is None where the generation heals it by itself."""

    generation: str
    fault: int
    kind: FaultKind
    node: str
    inject_s: float
    heal_s: float | None


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
    """Everything a run does. Times are seconds on each trial's own clock; `trials` is in running order."""

    name: str
    description: str
    seed: int
    deployment: str
    generations: tuple[str, ...]
    trials: tuple[PlannedTrial, ...]
    clients: int
    contacts: int
    login_rate_per_s: float
    password: str
    arrivals: str
    timeout_s: float
    max_in_flight: int
    body_median_bytes: int
    body_p99_bytes: int
    stages: tuple[PlannedStage, ...]
    slo: PlannedSlo
    faults: tuple[PlannedFault, ...]
    drain_quiet_s: float
    drain_limit_s: float
    bin_width_s: float

    @property
    def load_s(self) -> float:
        """How long one trial's stages last."""
        return self.stages[-1].end_s

    def faults_of(self, generation: str) -> Sequence[PlannedFault]:
        """The generation's faults in the order they strike."""
        return [fault for fault in self.faults if fault.generation == generation]

    def trial_estimate_s(self, generation: str) -> float:
        """Roughly how long one trial takes, from the first process to the last."""
        logins_s = self.clients / self.login_rate_per_s
        around_s = START_ESTIMATE_S.get(generation, 2.0) + STOP_ESTIMATE_S
        return around_s + logins_s + self.load_s + self.drain_quiet_s

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
        """The plan that to_json wrote; raises ValueError, KeyError or TypeError for anything else."""
        raw: dict[str, Any] = json.loads(text)
        return cls(
            **{
                **raw,
                "generations": tuple(raw["generations"]),
                "trials": tuple(PlannedTrial(**trial) for trial in raw["trials"]),
                "stages": tuple(PlannedStage(**stage) for stage in raw["stages"]),
                "faults": tuple(PlannedFault(**fault) for fault in raw["faults"]),
                "slo": PlannedSlo(**raw["slo"]),
            }
        )


def client_kind(generation: str) -> ClientKind:
    """Which protocol the people of `generation` speak."""
    return GENERATIONS[generation].client


def make_plan(profile: Profile) -> Plan:
    """Resolve a checked profile."""
    stages = []
    clock_s = 0.0
    for stage in profile.load.stages:
        end_rate = stage.rate if stage.ramp_to is None else stage.ramp_to
        stages.append(
            PlannedStage(stage.name, stage.kind, clock_s, clock_s + stage.duration, stage.rate, end_rate)
        )
        clock_s += stage.duration
    peak_per_s = max(max(stage.rate_per_s, stage.end_rate_per_s) for stage in stages)
    return Plan(
        name=profile.name,
        description=profile.description,
        seed=profile.seed,
        deployment=profile.deployment,
        generations=tuple(profile.generations),
        trials=_order(profile),
        clients=profile.population.clients,
        contacts=min(profile.population.contacts, profile.population.clients - 1),
        login_rate_per_s=profile.population.login_rate,
        password=PASSWORD,
        arrivals=profile.load.arrivals,
        timeout_s=profile.load.timeout,
        max_in_flight=max(1, round(peak_per_s * profile.load.timeout)),
        body_median_bytes=profile.load.body.median,
        body_p99_bytes=profile.load.body.p99,
        stages=tuple(stages),
        slo=PlannedSlo(profile.slo.response * 1000, profile.slo.share),
        faults=tuple(_faults(profile)),
        drain_quiet_s=profile.drain.quiet,
        drain_limit_s=profile.drain.limit,
        bin_width_s=FAULT_BIN_WIDTH_S if profile.faults else PLAIN_BIN_WIDTH_S,
    )


def single(generation: str, clients: int) -> Plan:
    """A plan with accounts and no load, for a generation that is only to be up."""
    return make_plan(
        Profile.model_validate(
            {
                "name": "up",
                "generations": [generation],
                "population": {"clients": clients},
                "load": {"stages": [{"name": "none", "kind": "steady", "duration": "1s", "rate": "0/s"}]},
            }
        )
    )


def _order(profile: Profile) -> tuple[PlannedTrial, ...]:
    """Blocks of one trial a generation; from the second on each is shuffled, so that drift hits all alike."""
    source = random.Random(profile.seed)
    order = []
    for number in range(1, profile.trials + 1):
        block = list(profile.generations)
        if number > 1:
            source.shuffle(block)
        # One seed a block: within it all generations get the same people and the same messages.
        seed = source.getrandbits(32)
        order += [PlannedTrial(name, number, seed) for name in block]
    return tuple(order)


def _faults(profile: Profile) -> list[PlannedFault]:
    source = random.Random(f"faults {profile.seed}")
    planned = []
    for name in profile.generations:
        chosen = [f for f in profile.faults if f.generations is None or name in f.generations]
        for number, fault in enumerate(sorted(chosen, key=lambda fault: fault.at), start=1):
            able = [n for n in GENERATIONS[name].targets(fault.target) if fault.kind in n.faults]
            node = able[0] if len(able) == 1 else source.choice(able)
            if fault.kind == "pause":
                assert fault.duration is not None
                heal_s: float | None = fault.at + fault.duration
            elif node.restart_after_s is None:
                heal_s = None
            else:
                wait_s = node.restart_after_s if fault.restart_after is None else fault.restart_after
                heal_s = fault.at + wait_s
            planned.append(PlannedFault(name, number, fault.kind, node.name, fault.at, heal_s))
    return planned

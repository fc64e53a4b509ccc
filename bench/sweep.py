"""A sweep: a profile's trials, each with a history of another size or other people online. Pure.

The data volume is varied with the fewest people, the people with the least data: one at a time, so that a
slope against one is not mixed with the other. The settings of a repetition are shuffled, so that what drifts
does not pass for growth.
"""

import dataclasses
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.load.population.bodies import bodies
from bench.plan import Plan
from bench.planning import make_plan
from bench.profile import Profile

PRELOADED_PER_S = 20_000
"""Roughly, for the estimate of how long a sweep takes."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What messages of a history take up: `copies` × (`per_body` × the body + `around_bytes`) on disk.

    In memory `held_bytes` each and once the body, where the generation keeps them there. Seen, not derived.
    """

    copies: int
    per_body: int
    around_bytes: int
    held_bytes: int | None = None

    def disk_bytes(self, messages: int, body_bytes: float) -> float:
        """On the disk, all copies."""
        return messages * self.copies * (self.per_body * body_bytes + self.around_bytes)

    def memory_bytes(self, messages: int, body_bytes: float) -> float:
        """In the memory of the node that needs most."""
        return 0.0 if self.held_bytes is None else messages * (body_bytes + self.held_bytes)


FOOTPRINTS: Mapping[str, Footprint] = {
    "monolith": Footprint(copies=1, per_body=1, around_bytes=250, held_bytes=250),
    "sharded": Footprint(copies=2, per_body=1, around_bytes=420),
    "microservices": Footprint(copies=3, per_body=2, around_bytes=80, held_bytes=300),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What one planned trial has: `messages` of history and `clients` people, by their factors."""

    generation: str
    trial: int
    data_factor: float
    users_factor: float
    messages: int
    clients: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """All trials of a sweep. `plan` has them in running order; `plans` are those of so many clients."""

    plan: Plan
    settings: tuple[Setting, ...]
    plans: Mapping[int, Plan]

    def of(self, generation: str, trial: int) -> Setting:
        """The setting of one planned trial."""
        return next(s for s in self.settings if (s.generation, s.trial) == (generation, trial))

    def to_json(self) -> str:
        """What plan.json holds of a sweep: the plan, and the settings as `sweep`."""
        settings = [dataclasses.asdict(setting) for setting in self.settings]
        return json.dumps({**dataclasses.asdict(self.plan), "sweep": settings}, sort_keys=True, indent=1)

    @property
    def estimate_s(self) -> float:
        """Roughly how long all of it takes."""
        return sum(
            self.plans[setting.clients].trial_estimate_s(setting.generation)
            + setting.messages / PRELOADED_PER_S
            for setting in self.settings
        )

    @property
    def largest(self) -> Sequence[Setting]:
        """Each generation's setting with most messages."""
        names = dict.fromkeys(setting.generation for setting in self.settings)
        return [
            max((s for s in self.settings if s.generation == name), key=lambda s: s.messages)
            for name in names
        ]

    @property
    def body_bytes(self) -> float:
        """The mean size of a body."""
        return float(np.mean([len(body.text) for body in bodies(self.plan, self.plan.seed)]))


def profiles_of(profile: Profile, data: Sequence[float], users: Sequence[float]) -> Mapping[float, Profile]:
    """The profile with as many trials as the sweep has, by the factor of its people."""
    trials = profile.trials * len(_pairs(data, users))
    return {factor: _peopled(profile.model_copy(update={"trials": trials}), factor) for factor in users}


def make_sweep(profile: Profile, data: Sequence[float], users: Sequence[float]) -> Sweep:
    """The sweep of a sound profile; `data` and `users` are rising factors above 0.

    Each setting is tried as often as the profile has trials.
    """
    plans = {factor: make_plan(one) for factor, one in profiles_of(profile, data, users).items()}
    order: list[tuple[float, float]] = []
    pairs = _pairs(data, users)
    source = random.Random(f"sweep {profile.seed}")
    for _ in range(profile.trials):
        order += source.sample(pairs, len(pairs))
    plan = plans[users[0]]
    settings = []
    for planned in plan.trials:
        of_data, of_users = order[planned.trial - 1]
        settings.append(
            Setting(
                planned.generation,
                planned.trial,
                data_factor=of_data,
                users_factor=of_users,
                messages=max(1, round(profile.history.messages * of_data)),
                clients=plans[of_users].clients,
            )
        )
    return Sweep(plan, tuple(settings), {one.clients: one for one in plans.values()})


def _pairs(data: Sequence[float], users: Sequence[float]) -> list[tuple[float, float]]:
    return [(factor, users[0]) for factor in data] + [(data[0], factor) for factor in users[1:]]


def _peopled(profile: Profile, factor: float) -> Profile:
    clients = max(2, round(profile.population.clients * factor))
    population = profile.population.model_copy(update={"clients": clients})
    return profile.model_copy(update={"population": population})

"""Making a plan out of a profile. Pure: the same profile gives the same plan and the same digest."""

import random

from bench import shapes
from bench.plan import PASSWORD, Plan, PlannedFault, PlannedSlo, PlannedStage, PlannedTrial
from bench.profile import Fault, Injection, Profile, injections
from bench.records import OPERATIONS, Link
from bench.scale import FEWEST_CONTACTS, contacts_of, largest_group_of

FAULT_BIN_WIDTH_S = 0.1
PLAIN_BIN_WIDTH_S = 1.0


def make_plan(profile: Profile) -> Plan:
    """Resolve a checked profile."""
    stages = _stages(profile)
    closed = profile.load.loop == "closed"
    people = profile.population.clients
    asked = profile.population.contacts
    contacts = contacts_of(people) if asked is None else float(min(asked, people - 1))
    peak_per_s = max(stage.peak_per_s for stage in stages)
    return Plan(
        name=profile.name,
        description=profile.description,
        seed=profile.seed,
        deployment=profile.deployment,
        generations=tuple(profile.generations),
        trials=_order(profile),
        clients=people,
        contacts=contacts,
        groups_each=profile.population.groups,
        largest_group=largest_group_of(people),
        login_rate_per_s=profile.population.login_rate,
        password=PASSWORD,
        loop=profile.load.loop,
        think_s=profile.load.think_time if closed else None,
        arrivals=profile.load.arrivals,
        timeout_s=profile.load.timeout,
        max_in_flight=people if closed else max(1, round(peak_per_s * profile.load.timeout)),
        body_median_bytes=profile.load.body.median,
        body_p99_bytes=profile.load.body.p99,
        mix={name: ratio for name in OPERATIONS if (ratio := getattr(profile.load.mix, name))},
        stages=stages,
        slo=PlannedSlo(profile.slo.response * 1000, profile.slo.share),
        faults=tuple(_faults(profile)),
        operator_notice_s=profile.operator.notice,
        operator_decide_s=profile.operator.decide,
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
                "population": {"clients": clients, "contacts": FEWEST_CONTACTS},
                "load": {"stages": [{"name": "none", "kind": "steady", "duration": "1s", "rate": "0/s"}]},
            }
        )
    )


def _stages(profile: Profile) -> tuple[PlannedStage, ...]:
    """One after the other from 0 on, without a gap."""
    closed = profile.load.loop == "closed"
    planned = []
    start_s = 0.0
    for stage in profile.load.stages:
        end_s = start_s + stage.duration
        shape = shapes.line(stage.duration, 0.0, 0.0) if closed else stage.knots()
        knots = [(start_s + t_s, rate_per_s) for t_s, rate_per_s in shape]
        knots[-1] = (end_s, knots[-1][1])
        planned.append(PlannedStage(stage.name, stage.kind, start_s, end_s, tuple(knots)))
        start_s = end_s
    return tuple(planned)


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
    return [
        _fault(profile.faults[one.entry], one, name, trial, number)
        for name in profile.generations
        for trial in range(1, profile.trials + 1)
        for number, one in enumerate(injections(profile, name, trial), start=1)
    ]


def _fault(fault: Fault, one: Injection, generation: str, trial: int, number: int) -> PlannedFault:
    slow = fault.kind == "slow"
    return PlannedFault(
        generation=generation,
        trial=trial,
        fault=number,
        kind=one.kind,
        nodes=one.nodes,
        inject_s=one.inject_s,
        heal_s=one.heal_s,
        human_s=one.human_s,
        link=Link(fault.latency or 0.0, fault.loss or 0.0, fault.bandwidth) if slow else None,
        jump_s=fault.by,
    )

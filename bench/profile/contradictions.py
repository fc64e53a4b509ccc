"""Defects of a profile that one key alone does not show: things that must not be said together."""

from bench import shapes
from bench.generations import GENERATIONS
from bench.profile.fault_defects import Defect, fault_defects
from bench.profile.model import Load, Profile, Stage
from bench.scale import contacts_of

HIGHEST_PEAK_OF_DAY = 20.0
"""In means; beyond it the curve of a day is a spike."""

MOST_TIES = 40_000_000
"""Of all people together; they are held in memory, at 40 bytes each while they are made."""
MOST_MEMBERSHIPS = 5_000_000


def contradictions(profile: Profile) -> list[Defect]:
    """All of them, none of a sound profile; only that one has a plan."""
    found: list[Defect] = []
    stages = profile.load.stages
    names = [stage.name for stage in stages]
    for i, stage in enumerate(stages):
        if stage.name in names[:i]:
            found.append((("load", "stages", i, "name"), f"{stage.name!r} names an earlier stage too"))
        if stage.name in {"login", "drain", "all"}:
            found.append((("load", "stages", i, "name"), f"{stage.name!r} is a phase of every trial"))
        if stage.kind == "warmup" and any(s.kind != "warmup" for s in stages[:i]):
            found.append((("load", "stages", i, "kind"), "a warm-up after the measuring has begun"))
        defects = _rate_defects(stage) if profile.load.loop == "open" else _closed_defects(stage)
        found += [(("load", "stages", i, *key), what) for key, what in defects]
    found += [(("load", key), what) for key, what in _loop_defects(profile.load)]
    found += [(("population", key), what) for key, what in _population_defects(profile)]
    if (
        profile.load.loop == "open"
        and not found
        and not any(rate > 0 for stage in stages for _, rate in stage.knots())
    ):
        found.append((("load", "stages"), "no stage offers any load; give at least one a rate above 0/s"))
    if profile.load.body.p99 < profile.load.body.median:
        found.append((("load", "body", "p99"), f"below the median, {profile.load.body.median}B"))
    total = sum(profile.load.mix.model_dump().values())
    if abs(total - 1) > 1e-9:
        found.append((("load", "mix"), f"the shares sum to {total * 100:.10g}%; expected 100%"))
    found += [(("capacity", key), what) for key, what in _capacity_defects(profile)]
    if len(set(profile.generations)) < len(profile.generations):
        found.append((("generations",), "names a generation twice"))
    found += fault_defects(profile)
    return found


def _population_defects(profile: Profile) -> list[tuple[str, str]]:
    """Circles of people that no machine here would hold."""
    found = []
    people, groups = profile.population.clients, profile.population.groups
    contacts = profile.population.contacts or contacts_of(people)
    if people * contacts > MOST_TIES:
        what = (
            f"{people:,} people with {contacts:g} contacts each; at most {MOST_TIES // people:,} for so many"
        )
        found.append(("contacts", what))
    if profile.load.mix.group_send and people * groups > MOST_MEMBERSHIPS:
        most = MOST_MEMBERSHIPS // people
        what = f"{people:,} people in {groups} groups each; at most {most:,} for so many"
        found.append(("groups", what))
    return found


def _loop_defects(load: Load) -> list[tuple[str, str]]:
    """What contradicts the kind of loop, beside the stages."""
    if load.loop == "open":
        if load.think_time is None:
            return []
        return [("think_time", "in an open loop nobody waits to think; give loop: closed, or leave it out")]
    if load.think_time is None:
        return [("think_time", "required in a closed loop: how long a person thinks in the mean, such as 5s")]
    if "arrivals" in load.model_fields_set:
        return [("arrivals", "a closed loop has no schedule of arrivals; leave it out, or give loop: open")]
    return []


def _closed_defects(stage: Stage) -> list[Defect]:
    """What contradicts a closed loop in a stage."""
    given = [key for key in ("rate", "ramp_to", "shape") if getattr(stage, key) is not None]
    what = "in a closed loop the answers set the rate; give the stage no more than a duration"
    return [((key,), what) for key in given[:1]]


def _rate_defects(stage: Stage) -> list[Defect]:
    """What contradicts itself in how much load a stage offers."""
    if stage.shape is None:
        if stage.rate is None:
            return [((), "how much load? give a rate, such as 100/s, or a shape")]
        return []
    if stage.rate is not None:
        return [(("rate",), "the shape says the rate already; give one of the two")]
    if stage.ramp_to is not None:
        return [(("ramp_to",), "the shape says the rate already; ramp_to goes with a rate")]
    names = list(stage.shape.given)
    if len(names) != 1:
        got = " and ".join(names) or "none"
        return [(("shape",), f"{got}; expected exactly one of steps, burst and diurnal")]
    found: list[Defect] = []
    burst, day = stage.shape.burst, stage.shape.diurnal
    if burst is not None:
        if burst.peak <= burst.plateau:
            what = f"{burst.peak:g}/s is not above the plateau, {burst.plateau:g}/s"
            found.append((("shape", "burst", "peak"), what))
        if burst.at >= stage.duration:
            what = f"{burst.at:g}s is after the end of the stage, which lasts {stage.duration:g}s"
            found.append((("shape", "burst", "at"), what))
    if day is not None:
        if not day.mean < day.peak_rate <= HIGHEST_PEAK_OF_DAY * day.mean:
            most = HIGHEST_PEAK_OF_DAY
            what = f"{day.peak_rate:g}/s; expected above the mean, {day.mean:g}/s, and at most {most:g} × it"
            found.append((("shape", "diurnal", "peak"), what))
        if day.peak_at >= shapes.DAY_S:
            found.append((("shape", "diurnal", "peak_at"), "expected a time of day before 24h, such as 21h"))
    return found


def _capacity_defects(profile: Profile) -> list[tuple[str, str]]:
    capacity = profile.capacity
    found = []
    for name in profile.generations if capacity.down is not None else ():
        generation = GENERATIONS[name]
        if generation.first_that_can("stop", capacity.down or "") is None:
            can = [f"{node.name} ({node.role})" for node in generation.nodes if "stop" in node.faults]
            what = f"no node or role {capacity.down!r} in {name} that can be stopped; {', '.join(can)} can"
            found.append(("down", what))
        elif len(generation.nodes) == 1:
            found.append(("down", f"{name} has one node alone, and no capacity without it; leave {name} out"))
    if capacity.highest <= capacity.lowest:
        found.append(("highest", f"not above the lowest, {capacity.lowest:g}/s"))
    if capacity.total < capacity.trial:
        found.append(("total", f"below one trial's {capacity.trial:g}s"))
    if len(set(capacity.goals)) < len(capacity.goals):
        found.append(("goals", "names a goal twice"))
    return found

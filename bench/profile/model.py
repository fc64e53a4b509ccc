"""What a profile may say, key by key: `Profile` is what the YAML is checked against."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bench import shapes
from bench.capabilities import DeploymentName
from bench.generations import FaultKind, Role
from bench.quantities import (
    bandwidth_bytes_per_s,
    count,
    duration_s,
    rate_per_s,
    share_ratio,
    signed_duration_s,
    size_bytes,
)

PEAK_OF_DAY = 3.0

Seconds = Annotated[float, BeforeValidator(duration_s)]
PerSecond = Annotated[float, BeforeValidator(rate_per_s)]
Bytes = Annotated[int, BeforeValidator(size_bytes)]
Ratio = Annotated[float, BeforeValidator(share_ratio)]
Count = Annotated[int, BeforeValidator(count)]
SignedSeconds = Annotated[float, BeforeValidator(signed_duration_s)]
BytesPerSecond = Annotated[float, BeforeValidator(bandwidth_bytes_per_s)]
Positive = Field(gt=0)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Population(_Part):
    """Who is online.

    `contacts` is the mean number of strong ties of a person (that of bench/scale.py when not given),
    `groups` how many groups everybody is in.
    """

    clients: int = Field(ge=2, le=1_000_000, strict=True)
    login_rate: Annotated[PerSecond, Positive] = 50.0
    contacts: int | None = Field(default=None, ge=1, strict=True)
    groups: int = Field(default=4, ge=1, le=100, strict=True)


class BodySize(_Part):
    """Sizes of message bodies: lognormal, from its median and 99th percentile."""

    median: Annotated[Bytes, Positive] = 60
    p99: Annotated[Bytes, Positive] = 2_000


class Mix(_Part):
    """The share of each operation in what is asked for; what is not named is not asked for."""

    login: Ratio = 0.0
    send: Ratio = 0.0
    group_send: Ratio = 0.0
    sync: Ratio = 0.0
    presence: Ratio = 0.0


class Steps(_Part):
    """Constant rates of the same length, in `count` equal steps from `from` to `to`."""

    from_: PerSecond = Field(alias="from")
    to: PerSecond
    count: int = Field(ge=2, le=1_000, strict=True)

    def knots(self, duration_s: float) -> shapes.Knots:
        """See shapes.steps."""
        return shapes.steps(duration_s, self.from_, self.to, self.count)


class Burst(_Part):
    """A plateau; at `at` after the stage's beginning a jump to `peak`, which decays back with `tau`."""

    plateau: PerSecond
    peak: PerSecond
    at: Seconds
    tau: Annotated[Seconds, Positive]

    def knots(self, duration_s: float) -> shapes.Knots:
        """See shapes.burst."""
        return shapes.burst(duration_s, self.plateau, self.peak, self.at, self.tau)


class Diurnal(_Part):
    """A day compressed into the stage. `peak` is 3 × the mean when not given; `peak_at` a time of day."""

    mean: Annotated[PerSecond, Positive]
    peak: PerSecond | None = None
    peak_at: Seconds = 21 * 3_600.0

    @property
    def peak_rate(self) -> float:
        """The highest rate, per second."""
        return PEAK_OF_DAY * self.mean if self.peak is None else self.peak

    def knots(self, duration_s: float) -> shapes.Knots:
        """See shapes.diurnal."""
        return shapes.diurnal(duration_s, self.mean, self.peak_rate, self.peak_at)


class Shape(_Part):
    """How the rate goes in a stage where it is no straight line: exactly one of these."""

    steps: Steps | None = None
    burst: Burst | None = None
    diurnal: Diurnal | None = None

    @property
    def given(self) -> dict[str, Steps | Burst | Diurnal]:
        """Those that are given, by name."""
        every = {"steps": self.steps, "burst": self.burst, "diurnal": self.diurnal}
        return {name: shape for name, shape in every.items() if shape is not None}


class Stage(_Part):
    """One stretch of offered load: a constant rate, a straight line from `rate` to `ramp_to`, or a shape."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    kind: Literal["warmup", "steady", "fault"]
    duration: Annotated[Seconds, Positive]
    rate: PerSecond | None = None
    ramp_to: PerSecond | None = None
    shape: Shape | None = None

    def knots(self) -> shapes.Knots:
        """Its rates from its beginning on, of a stage without contradictions; 0 where it has no rate."""
        if self.shape is not None:
            (shape,) = self.shape.given.values()
            return shape.knots(self.duration)
        rate_per_s = self.rate or 0.0
        return shapes.line(self.duration, rate_per_s, rate_per_s if self.ramp_to is None else self.ramp_to)


class Load(_Part):
    """What is offered. `open`: by an absolute schedule, whatever becomes of it.

    `closed`: each person thinks for `think_time` in the mean (exponential), asks, waits for the answer or
    the timeout, and thinks again. Then the system's own speed sets the rate, and stages only have lengths.
    """

    loop: Literal["open", "closed"] = "open"
    think_time: Seconds | None = None
    arrivals: Literal["poisson", "uniform"] = "poisson"
    timeout: Annotated[Seconds, Positive] = 10.0
    body: BodySize = BodySize()
    mix: Mix = Mix.model_construct(send=1.0)
    stages: list[Stage] = Field(min_length=1)


class Slo(_Part):
    """What counts as on time, and which share of the offered messages must be."""

    response: Annotated[Seconds, Positive] = 0.3
    share: Ratio = 0.99


class Fault(_Part):
    """One thing that goes wrong, once or `repeat` times, `every` so long.

    It strikes at a random moment between `at` and `within` later, from the start of the first stage.
    `target` is a node's name, or a role, or `random` (any that can suffer it, drawn anew each time); `core`
    is each generation's core node; `all` is a role, all nodes of which are struck at once. What was killed
    or stopped is started again after `restart_after` where nobody else does (the generation's own value
    when not given); what lasts is healed after `duration`. `latency`, `loss` and `bandwidth` are those of a
    slow network, `by` is how far a clock jumps.
    """

    kind: FaultKind
    target: str | None = None
    all_: Role | None = Field(default=None, alias="all")
    at: Seconds
    within: Seconds = 0.0
    repeat: int = Field(default=1, ge=1, le=1_000, strict=True)
    every: Annotated[Seconds, Positive] | None = None
    duration: Annotated[Seconds, Positive] | None = None
    restart_after: Seconds | None = None
    latency: Annotated[Seconds, Positive] | None = None
    loss: Annotated[Ratio, Positive] | None = None
    bandwidth: Annotated[BytesPerSecond, Positive] | None = None
    by: SignedSeconds | None = None
    generations: list[Literal["monolith", "sharded", "microservices"]] | None = Field(
        default=None, min_length=1
    )


class Operator(_Part):
    """The human who starts again what nobody else does, played by the harness: how long they take.

    `notice` until they know, `decide` until they act; both on top of a fault's `restart_after`.
    """

    notice: Seconds = 0.0
    decide: Seconds = 0.0


class Drain(_Part):
    """After the load: wait until nothing has arrived for `quiet`, but no longer than `limit`.

    Without `quiet` it is max(10 s, 3 × the 99.9th percentile of response and delivery times).
    """

    quiet: Annotated[Seconds, Positive] | None = None
    limit: Annotated[Seconds, Positive] = 60.0


class Capacity(_Part):
    """How `bench capacity` searches: for the highest rate at which p99 stays within each of `goals`.

    Each trial offers a rate between `lowest` and `highest` for `trial`, after `warmup`; short ones, which
    find the neighbourhood, for half of it. A rate is judged by trials of `total` together, and the search
    ends when each goal's bounds are within `width` of each other. With `down`, a node's name or a role, the
    first such node of each generation is stopped before the trials.
    """

    goals: list[Annotated[Seconds, Positive]] = Field(default=[0.15, 0.3, 0.8], min_length=1)
    lowest: Annotated[PerSecond, Positive] = 50.0
    highest: Annotated[PerSecond, Positive] = 20_000.0
    warmup: Annotated[Seconds, Positive] = 1.0
    trial: Annotated[Seconds, Positive] = 4.0
    total: Annotated[Seconds, Positive] = 12.0
    width: Annotated[Ratio, Field(gt=0, lt=1)] = 0.1
    down: str | None = None


class History(_Part):
    """What people wrote before, where `bench recovery` varies it: so many messages for one unit of data."""

    messages: Annotated[Count, Positive] = 100_000


class Profile(_Part):
    """A whole profile."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    description: str = ""
    generations: list[Literal["monolith", "sharded", "microservices"]] = Field(
        default=["monolith", "sharded", "microservices"], min_length=1
    )
    trials: int = Field(default=1, ge=1, le=100, strict=True)
    seed: int = Field(default=1, ge=0, strict=True)
    deployment: DeploymentName = "local"
    population: Population
    load: Load
    slo: Slo = Slo()
    faults: list[Fault] = []
    operator: Operator = Operator()
    drain: Drain = Drain()
    capacity: Capacity = Capacity()
    history: History = History()

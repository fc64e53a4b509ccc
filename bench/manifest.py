"""What manifest.json says of a run: which plan, which machine, which versions, and how far it came.

The manifest is the run folder's commit record: rows of a trial count once the manifest names the trial,
so a run that dies between two trials keeps the whole earlier ones and nothing of the half one.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bench.records import SCHEMA_VERSION

Status = Literal["planned", "measured", "analysed"]
Kind = Literal["run", "capacity", "recovery"]
Ended = Literal["running", "complete", "interrupted", "failed"]
TrialStatus = Literal["complete", "interrupted", "failed", "void"]
TrialVerdict = Literal["sut_bound", "generator_bound", "noisy"]


@dataclass(frozen=True, slots=True)
class Host:
    """The machine. `fingerprint` is equal for two runs whose figures may be set side by side."""

    fingerprint: str
    cpu_model: str
    cores: int
    memory_bytes: int
    kernel: str
    os: str


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of a trial, in seconds from the trial's origin; named as the plan's stage is."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One repetition of one generation. `origin_ns` is CLOCK_MONOTONIC at 0 s of its rows' times.

    `detail` says why it is not complete. A `void` trial is kept and never believed: a worker of its load
    was lost, or its `verdict` is not `sut_bound`. `verdict` is None where none was given: in a trial that
    was cut short, and in runs of schema version 1. `retry_of` is the void trial that it repeats.
    """

    generation: str
    trial: int
    status: TrialStatus
    origin_ns: int
    phases: tuple[Phase, ...] = ()
    detail: str = ""
    sut_cores: tuple[int, ...] = ()
    generator_cores: tuple[int, ...] = ()
    verdict: TrialVerdict | None = None
    verdict_reason: str = ""
    retry_of: int | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """manifest.json. `reached` is a sentence: how far the run came. `created_utc` is ISO 8601.

    `versions` names everything whose version may change a figure: python, threegen, git (the commit,
    with `+dirty` where the tree had changes), locust, mariadbd, nats-server. `ceilings_per_s` are the
    generator's own by protocol, as far as it had been calibrated here. A folder of `kind` capacity is of a
    search: its trials differ in their rates, and its figures stand in capacity.csv. One of `recovery` is of a
    sweep: its trials differ in their history and people, as plan.json says, and its figures stand in
    recovery_data.csv and recovery_fit.csv.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    run: str
    created_utc: str
    profile: str
    plan_digest: str
    host: Host
    versions: Mapping[str, str]
    status: Status = "planned"
    ended: Ended = "running"
    reached: str = ""
    error: str | None = None
    trials: tuple[Trial, ...] = ()
    ceilings_per_s: Mapping[str, float] = field(default_factory=dict)
    kind: Kind = "run"
    schema_version: int = SCHEMA_VERSION

    def with_trial(self, trial: Trial) -> Self:
        """The same manifest with one trial more, last."""
        return replace(self, trials=(*self.trials, trial))

    def to_json(self) -> str:
        """As the file holds it: readable, in the order of the fields."""
        fields: dict[str, Any] = asdict(self)
        ordered = {"schema_version": fields.pop("schema_version"), **fields}
        return json.dumps(ordered, indent=1, ensure_ascii=False, default=dict) + "\n"

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """What to_json wrote; raises ValueError with one line: which key, what was got and expected."""
        try:
            raw = json.loads(data)
        except ValueError as error:  # not JSON, cut off, or not UTF-8
            raise ValueError(f"not JSON: {error}") from error
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if not isinstance(version, int):
            raise ValueError(
                f"schema_version: expected an integer from 1 to {SCHEMA_VERSION}, got {version!r}"
            )
        if not 1 <= version <= SCHEMA_VERSION:
            raise ValueError(
                f"schema_version: expected 1 to {SCHEMA_VERSION}, got {version}: "
                "a newer threegen wrote this run; read it with that one"
            )
        try:
            return _ADAPTER.validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "the file"
            raise ValueError(f"{key}: {first['msg']}, got {str(first['input'])[:60]!r}") from error


_ADAPTER: TypeAdapter[Manifest] = TypeAdapter(Manifest)

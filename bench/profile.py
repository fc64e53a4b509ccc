"""A profile: the YAML a user writes, read into a checked value, or refused in one line.

Every defect is a ProfileError that names the file, the line, the key, the value, and what is allowed.
docs/profiles.md explains the keys to users; `Profile` below is what they are checked against.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bench.errors import ProfileError
from bench.generations import GENERATIONS, FaultKind
from bench.quantities import duration_s, rate_per_s, share_ratio, size_bytes

LONGEST_FILE_BYTES = 1_000_000

Seconds = Annotated[float, BeforeValidator(duration_s)]
PerSecond = Annotated[float, BeforeValidator(rate_per_s)]
Bytes = Annotated[int, BeforeValidator(size_bytes)]
Ratio = Annotated[float, BeforeValidator(share_ratio)]
Positive = Field(gt=0)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Population(_Part):
    """Who is online. `contacts` is the mean number of people a person writes to."""

    clients: int = Field(ge=2, le=1_000_000, strict=True)
    login_rate: Annotated[PerSecond, Positive] = 50.0
    contacts: int = Field(default=8, ge=1, strict=True)


class BodySize(_Part):
    """Sizes of message bodies: lognormal, from its median and 99th percentile."""

    median: Annotated[Bytes, Positive] = 60
    p99: Annotated[Bytes, Positive] = 2_000


class Stage(_Part):
    """One stretch of offered load: a constant rate, or a straight line from `rate` to `ramp_to`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    kind: Literal["warmup", "steady", "fault"]
    duration: Annotated[Seconds, Positive]
    rate: PerSecond
    ramp_to: PerSecond | None = None


class Load(_Part):
    """What is offered: open loop, sends by an absolute schedule."""

    arrivals: Literal["poisson", "uniform"] = "poisson"
    timeout: Annotated[Seconds, Positive] = 10.0
    body: BodySize = BodySize()
    stages: list[Stage] = Field(min_length=1)


class Slo(_Part):
    """What counts as on time, and which share of the offered messages must be."""

    response: Annotated[Seconds, Positive] = 0.3
    share: Ratio = 0.99


class Fault(_Part):
    """One thing that goes wrong. `at` counts from the start of the first stage.

    `target` is a node's name, or a role; `core` is each generation's core node. A killed node is
    started again after `restart_after` where nobody else does (the generation's own value when not
    given); a paused one goes on after `duration`.
    """

    kind: FaultKind
    target: str
    at: Seconds
    duration: Annotated[Seconds, Positive] | None = None
    restart_after: Seconds | None = None
    generations: list[Literal["monolith", "sharded", "microservices"]] | None = None


class Drain(_Part):
    """After the load: wait until nothing has arrived for `quiet`, but no longer than `limit`."""

    quiet: Annotated[Seconds, Positive] = 10.0
    limit: Annotated[Seconds, Positive] = 60.0


class Profile(_Part):
    """A whole profile."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    description: str = ""
    generations: list[Literal["monolith", "sharded", "microservices"]] = Field(
        default=["monolith", "sharded", "microservices"], min_length=1
    )
    trials: int = Field(default=1, ge=1, le=100, strict=True)
    seed: int = Field(default=1, ge=0, strict=True)
    deployment: Literal["local"] = "local"
    population: Population
    load: Load
    slo: Slo = Slo()
    faults: list[Fault] = []
    drain: Drain = Drain()


def load_profile(path: Path) -> Profile:
    """Read and check the profile at `path`; raises ProfileError with one line for any defect."""
    document = _read(path)
    try:
        profile = Profile.model_validate(document)
    except ValidationError as error:
        raise ProfileError(_explain(path, document, error)) from error
    for loc, what in _contradictions(profile):
        raise ProfileError(_line(path, document, loc, what))
    return profile


def _read(path: Path) -> CommentedMap:
    if path.is_dir():
        profiles = ", ".join(sorted(p.name for p in path.glob("*.yaml")))
        hint = f"; it holds {profiles}" if profiles else ""
        raise ProfileError(f"{path}: is a directory; name a profile file{hint}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProfileError(
            f"{path}: {error.strerror or error}; `bench list` shows the profiles there are"
        ) from error
    if len(data) > LONGEST_FILE_BYTES:
        raise ProfileError(f"{path}: {len(data):,} bytes; a profile is a YAML file of a few hundred")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ProfileError(
            f"{path}:{line}: not UTF-8 text (byte {error.start}); expected a YAML profile"
        ) from error
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}" if mark else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise ProfileError(f"{path}{where}: not YAML: {problem}") from error
    except (YAMLError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ProfileError(f"{path}: not YAML: {problem}") from error
    if document is None:
        raise ProfileError(f"{path}: empty; expected a profile (see profiles/quick.yaml)")
    if not isinstance(document, CommentedMap):
        raise ProfileError(
            f"{path}:1: a {_kind(document)}; expected keys such as name, population and load "
            "(see profiles/quick.yaml)"
        )
    return document


def _contradictions(profile: Profile) -> list[tuple[tuple[str | int, ...], str]]:
    """Defects that one key alone does not show: (where, what)."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    stages = profile.load.stages
    names = [stage.name for stage in stages]
    for i, stage in enumerate(stages):
        if stage.name in names[:i]:
            found.append((("load", "stages", i, "name"), f"{stage.name!r} names an earlier stage too"))
        if stage.name in {"login", "drain", "all"}:
            found.append((("load", "stages", i, "name"), f"{stage.name!r} is a phase of every trial"))
        if stage.kind == "warmup" and any(s.kind != "warmup" for s in stages[:i]):
            found.append((("load", "stages", i, "kind"), "a warm-up after the measuring has begun"))
    if all(stage.rate == 0 and not stage.ramp_to for stage in stages):
        found.append((("load", "stages"), "no stage offers any load; give at least one a rate above 0/s"))
    if profile.load.body.p99 < profile.load.body.median:
        found.append((("load", "body", "p99"), f"below the median, {profile.load.body.median}B"))
    if len(set(profile.generations)) < len(profile.generations):
        found.append((("generations",), "names a generation twice"))
    if profile.faults and not any(stage.kind == "steady" for stage in stages):
        found.append((("faults",), "no baseline to recover to; add a stage of kind steady before the fault"))
    length_s = sum(stage.duration for stage in stages)
    steady_from_s = 0.0
    for stage in stages:
        if stage.kind == "steady":
            break
        steady_from_s += stage.duration
    for i, fault in enumerate(profile.faults):
        found += [
            (("faults", i, key), what)
            for key, what in _fault_defects(profile, fault, length_s, steady_from_s)
        ]
    return found


def _fault_defects(
    profile: Profile, fault: Fault, length_s: float, steady_from_s: float
) -> list[tuple[str, str]]:
    found = []
    if fault.at >= length_s:
        found.append(("at", f"{fault.at:g}s is outside the run, whose stages last {length_s:g}s"))
    elif fault.at <= steady_from_s:
        found.append(
            ("at", f"{fault.at:g}s is before the steady stage (from {steady_from_s:g}s), the baseline")
        )
    if fault.kind == "pause" and fault.duration is None:
        found.append(("duration", "required for a pause: how long until it goes on, such as 3s"))
    if fault.kind == "pause" and fault.restart_after is not None:
        found.append(("restart_after", "a paused node is not restarted; give its duration instead"))
    if fault.kind == "kill" and fault.duration is not None:
        found.append(("duration", "a kill has none; restart_after says when the node is started again"))
    for name in fault.generations or profile.generations:
        generation = GENERATIONS[name]
        if name not in profile.generations:
            found.append(("generations", f"{name} is not among the profile's generations"))
            continue
        nodes = generation.targets(fault.target)
        if not nodes:
            known = ", ".join(f"{node.name} ({node.role})" for node in generation.nodes)
            found.append(("target", f"no node or role {fault.target!r} in {name}; it has {known}"))
        elif not any(fault.kind in node.faults for node in nodes):
            able = ", ".join(node.name for node in generation.nodes if fault.kind in node.faults)
            found.append(("target", f"{fault.target!r} cannot suffer a {fault.kind} in {name}; {able} can"))
    return found


def _explain(path: Path, document: CommentedMap, error: ValidationError) -> str:
    defects = error.errors()
    # The user's own words are mended first: a misspelt key also makes the right one "missing".
    first = min(defects, key=lambda defect: defect["type"] == "missing")
    loc = first["loc"]
    match first["type"]:
        case "extra_forbidden":
            allowed = sorted(_keys_at(loc[:-1]))
            close = difflib.get_close_matches(str(loc[-1]), allowed, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            what = f"unknown key; {hint}allowed here: {', '.join(allowed)}"
        case "missing":
            what = "missing; it must be given"
        case "value_error":
            what = f"{_shown(first['input'])}: {first['ctx']['error']}"
        case _:
            message = first["msg"].removeprefix("Input should be ")
            what = f"{_shown(first['input'])}: expected {message}"
    more = f" (and {len(defects) - 1} more)" if len(defects) > 1 else ""
    return _line(path, document, loc, what) + more


def _line(path: Path, document: Any, loc: Sequence[str | int], what: str) -> str:
    """`file:line: key: what`, with the line of the deepest part of `loc` that the file has."""
    line, here = 1, document
    for part in loc:
        try:
            if isinstance(here, CommentedMap) and part in here:
                line = here.lc.key(part)[0] + 1
            elif isinstance(here, CommentedSeq) and isinstance(part, int):
                line = here.lc.item(part)[0] + 1
            else:
                break
            here = here[part]
        except (KeyError, IndexError, AttributeError, TypeError):
            break
    key = "".join(f"[{p + 1}]" if isinstance(p, int) else f".{p}" for p in loc).lstrip(".")
    return f"{path}:{line}: {key}: {what}"


def _keys_at(loc: Sequence[str | int]) -> list[str]:
    """The keys allowed at `loc`, found by walking the models."""
    model: Any = Profile
    for part in loc:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        inner = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type)]
        model = next(a for a in inner if issubclass(a, BaseModel))
    return list(model.model_fields)


def _shown(value: object) -> str:
    text = _kind(value) if isinstance(value, dict | list) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "mapping"
    return "list" if isinstance(value, list) else type(value).__name__

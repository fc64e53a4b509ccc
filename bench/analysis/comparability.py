"""Whether two runs may be set side by side: what differs between them besides their figures.

Each difference is of one dimension: `plan` (all that plan.json says, but its words and how many trials it
asks for), `version` (of the system, its parts, and what measures), `deployment`, `host`. One that is what
a comparison is about is named, and then is no hindrance. Where a side has no manifest, nothing can differ
that is known of, and `lacking` says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bench.analysis.subject import Recorded

Dimension = Literal["plan", "version", "deployment", "host"]
DIMENSIONS: Sequence[Dimension] = get_args(Dimension)
WORDS_OF_A_PLAN = frozenset({"name", "description"})
"""Keys that influence nothing."""
MOST_KEYS = 6


@dataclass(frozen=True, slots=True)
class Difference:
    """One key whose value differs; values as text, `none` for a key that a side does not have."""

    dimension: Dimension
    key: str
    baseline: str
    contender: str

    def __str__(self) -> str:
        return f"{self.key}: {self.baseline} v {self.contender}"


def differences(baseline: Recorded, contender: Recorded) -> tuple[Difference, ...]:
    """What differs, by dimension and then key; nothing where a side does not say."""
    if baseline.manifest is None or contender.manifest is None:
        return ()
    found = [*_of_plans(baseline, contender)]
    one, other = baseline.manifest, contender.manifest
    for name in sorted(one.versions.keys() | other.versions.keys()):
        pair = one.versions.get(name, "none"), other.versions.get(name, "none")
        if pair[0] != pair[1]:
            found.append(Difference("version", f"version of {name}", *pair))
    if one.host.fingerprint != other.host.fingerprint:
        found.append(Difference("host", "host", _host(baseline), _host(contender)))
    return tuple(sorted(found, key=lambda one: DIMENSIONS.index(one.dimension)))


def without_trials(plan: Mapping[str, Any]) -> dict[str, Any]:
    """All of a plan that makes two runs different systems, loads or faults."""
    return {key: value for key, value in plan.items() if key not in WORDS_OF_A_PLAN | {"trials"}}


def _host(recorded: Recorded) -> str:
    assert recorded.manifest is not None
    host = recorded.manifest.host
    return f"{host.fingerprint} ({host.cpu_model}, {host.cores} cores)"


def _of_plans(baseline: Recorded, contender: Recorded) -> Iterator[Difference]:
    one, other = baseline.plan or {}, contender.plan or {}
    deployments = tuple(str(plan.get("deployment", "none")) for plan in (one, other))
    if deployments[0] != deployments[1]:
        yield Difference("deployment", "deployment", *deployments)
    assert baseline.manifest is not None
    assert contender.manifest is not None
    digests = baseline.manifest.plan_digest[:12], contender.manifest.plan_digest[:12]
    if digests[0] == digests[1]:
        return
    one, other = without_trials(one), without_trials(other)
    keys = [key for key in sorted(one.keys() | other.keys()) if key != "deployment"]
    leaves = [leaf for key in keys for leaf in _leaves(key, one.get(key), other.get(key))]
    for key, left, right in leaves[:MOST_KEYS]:
        yield Difference("plan", f"plan: {key}", left, right)
    if len(leaves) > MOST_KEYS:
        yield Difference("plan", f"plan: {len(leaves) - MOST_KEYS} more keys", *digests)
    seeds = _seeds(baseline.plan or {}), _seeds(contender.plan or {})
    if not leaves and seeds[0][: len(seeds[1])] != seeds[1][: len(seeds[0])]:
        yield Difference("plan", "plan: seeds of the trials", *digests)


def _seeds(plan: Mapping[str, Any]) -> list[tuple[Any, Any, Any]]:
    """Number, generation and seed of each trial: a longer run of the same plan begins with the same."""
    trials = plan.get("trials")
    rows = trials if isinstance(trials, list) else []
    return sorted((t.get("trial"), t.get("generation"), t.get("seed")) for t in rows if isinstance(t, dict))


def _leaves(key: str, one: Any, other: Any) -> Iterator[tuple[str, str, str]]:
    """The paths under `key` at which two values of JSON differ, with both, as text."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys(), key=str):
            yield from _leaves(f"{key}.{name}", one.get(name), other.get(name))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for position, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _leaves(f"{key}.{position}", left, right)
    elif one != other:
        yield key, _short(one), _short(other)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} of them"
    text = "none" if value is None else str(value)
    return text if len(text) <= 30 else f"{text[:29]}…"

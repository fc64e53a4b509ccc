"""The generator's own ceiling on this machine: what it reaches against a target that does nothing.

`seek` climbs geometrically until the generator gives out, and then narrows the gap; it is given what
measures one rate. Where foreign processes have a part of the machine, the generator's lag is theirs as
much as its own: there its CPU alone counts, and the answer says so. The answer is kept in
`results/calibration/<host>-<protocol>.json`, and holds only for the machine, the versions and the source
of the generator that it was measured with.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.errors import RunFolderError
from bench.generations import ClientKind

FOLDER = "calibration"
PROTOCOLS: tuple[ClientKind, ...] = ("xmpp", "http", "websocket")
FIRST_RATE_PER_S = 500.0
STEP = 2.0
NARROW = 1.15
"""The ceiling is known when the rate that failed is at most so many times the one that held."""
LAG_LIMIT_MS = 7.5
"""5 % of the tightest goal in the published table, 150 ms."""
ACHIEVED_LIMIT = 0.99
CPU_LIMIT = 0.80
FOREIGN_LIMIT = 0.10
TRIES = 3
"""How often a rate is tried before it counts as failed: a machine that hiccuped is no ceiling."""
MOST_RATE_PER_S = 1e6
_SOURCES = ("bench/load", "services/noop")


@dataclass(frozen=True, slots=True)
class Rung:
    """One rate that was tried; `why` is empty where the generator held.

    CPU ratios are of one core, the foreign one of all cores together.
    """

    rate_per_s: float
    achieved_ratio: float
    lag_p99_ms: float | None
    generator_cpu_ratio: float | None
    target_cpu_ratio: float | None
    foreign_cpu_ratio: float | None = None
    why: str = ""

    @property
    def held(self) -> bool:
        """Whether the generator kept to its schedule and everything was acknowledged."""
        return not self.why

    @property
    def disturbed(self) -> bool:
        """Whether foreign processes had a part of the machine, so that lag says nothing of the generator."""
        return self.foreign_cpu_ratio is not None and self.foreign_cpu_ratio > FOREIGN_LIMIT

    @classmethod
    def judged(
        cls,
        rate_per_s: float,
        achieved_ratio: float,
        lag_p99_ms: float | None,
        generator_cpu_ratio: float | None,
        target_cpu_ratio: float | None,
        foreign_cpu_ratio: float | None = None,
    ) -> Self:
        """With the first limit that was broken, if any, in words; of the lag only on a quiet machine."""
        quiet = foreign_cpu_ratio is None or foreign_cpu_ratio <= FOREIGN_LIMIT
        why = ""
        if generator_cpu_ratio is not None and generator_cpu_ratio > CPU_LIMIT:
            why = f"generator CPU {generator_cpu_ratio * 100:.0f} %"
        elif quiet and lag_p99_ms is not None and lag_p99_ms > LAG_LIMIT_MS:
            why = f"lag p99 {lag_p99_ms:.1f} ms"
        elif achieved_ratio < ACHIEVED_LIMIT:
            why = f"{achieved_ratio * 100:.1f} % acknowledged in time"
        return cls(
            rate_per_s,
            achieved_ratio,
            lag_p99_ms,
            generator_cpu_ratio,
            target_cpu_ratio,
            foreign_cpu_ratio,
            why,
        )


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the generator reaches in one protocol. `ceiling_per_s` held, `failed_per_s` did not.

    `failed_per_s` is None where everything that was tried held. `held` and `failed` are their rungs.
    """

    client: ClientKind
    host: str
    versions: Mapping[str, str]
    created_utc: str
    ceiling_per_s: float
    failed_per_s: float | None
    held: Rung | None
    failed: Rung | None

    def to_json(self) -> str:
        """As its file holds it."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What to_json wrote; raises ValueError, KeyError or TypeError for anything else."""
        raw = json.loads(text)
        for name in ("held", "failed"):
            raw[name] = None if raw[name] is None else Rung(**raw[name])
        return cls(**raw)


async def seek(
    measure: Callable[[float], Awaitable[Rung]], *, first_per_s: float = FIRST_RATE_PER_S
) -> tuple[Rung | None, Rung | None]:
    """The highest rung that held and the lowest above it that did not, at most NARROW apart.

    A rate is tried TRIES times before it counts as failed, twice where the machine was quiet. The first
    is None where even a 64th of `first_per_s` failed, the second where MOST_RATE_PER_S held.
    """

    async def insist(rate_per_s: float) -> Rung:
        for left in reversed(range(TRIES)):
            rung = await measure(rate_per_s)
            if rung.held or left == 0 or (left == 1 and not rung.disturbed):
                break
        return rung

    held: Rung | None = None
    failed: Rung | None = None
    rate_per_s = first_per_s
    while True:
        rung = await insist(rate_per_s)
        held, failed = (rung, failed) if rung.held else (held, rung)
        if held is None:
            rate_per_s /= STEP
            if rate_per_s < first_per_s / 64:
                return None, failed
        elif failed is None:
            rate_per_s *= STEP
            if rate_per_s > MOST_RATE_PER_S:
                return held, None
        elif failed.rate_per_s <= held.rate_per_s * NARROW:
            return held, failed
        else:
            rate_per_s = round(math.sqrt(held.rate_per_s * failed.rate_per_s))


def source_digest(project: Path) -> str:
    """Changes with the generator's source and the target's."""
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((project / folder).rglob("*.py")):
            digest.update(path.relative_to(project).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def save(results: Path, calibration: Calibration) -> Path:
    """Keep it for later runs of this results folder; its file."""
    path = _path(results, calibration.host, calibration.client)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(calibration.to_json())
    temporary.replace(path)
    return path


def load(results: Path, client: ClientKind, host: str, versions: Mapping[str, str]) -> Calibration | None:
    """What is known of this machine, with these versions; None where nothing is, or only of others.

    Raises RunFolderError where the file is not one of ours.
    """
    path = _path(results, host, client)
    try:
        found = Calibration.from_json(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(
            f"{path}: {error}: expected a calibration; remove it, or `bench calibrate --again`"
        ) from error
    return found if dict(found.versions) == dict(versions) else None


def _path(results: Path, host: str, client: ClientKind) -> Path:
    return results / FOLDER / f"{host}-{client}.json"

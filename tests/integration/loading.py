"""A load process driven from a test, against whatever answers at its endpoints."""

import asyncio
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.generations import ClientKind
from bench.load.driver import Crew, LoadDriver, Measured
from bench.load.trial import Assignment
from bench.plan import Plan
from bench.records import Endpoint


@dataclass
class Heard:
    """What became of a load process: its reports, its closing one, and what it wrote."""

    reports: list[Mapping[str, Any]] = field(default_factory=list)
    closing: Mapping[str, Any] = field(default_factory=dict)
    measured: Measured | None = None
    origin_ns: int = 0

    def sum_of(self, name: str) -> int:
        assert self.measured is not None
        rows = [row for row in self.measured.timeline if row.operation == "send"]
        return sum(int(getattr(row, name)) for row in rows)


def written(the_plan: Plan, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    plan_file = folder / "plan.json"
    plan_file.write_text(the_plan.to_json())
    return plan_file


async def offer(
    the_plan: Plan,
    endpoints: tuple[Endpoint, ...],
    folder: Path,
    crew: Crew,
    *,
    client: ClientKind = "xmpp",
    during: Callable[[LoadDriver, Heard], Any] | None = None,
    patience_s: float = 60,
) -> Heard:
    heard = Heard()
    plan_file = written(the_plan, folder)
    run = zlib.crc32(str(folder).encode())
    assignment = Assignment("noop", client, 1, 7, run, endpoints)
    listening = asyncio.Event()

    def keep(report: Mapping[str, Any]) -> None:
        heard.reports.append(report)
        if report["event"] == "listening":
            listening.set()

    load = LoadDriver(
        plan_file, assignment, folder / "out", folder / "load.log", cores=None, progress=keep, crew=crew
    )
    joining: asyncio.Task[Any] | None = None
    async with load:
        if during is not None:
            joining = asyncio.create_task(during(load, heard))
        await load.online(patience_s)
        heard.origin_ns = time.monotonic_ns() + 200_000_000
        await load.begin(heard.origin_ns)
        heard.closing = await load.finished()
    if joining is not None:
        await joining
    heard.measured = load.measured()
    return heard

"""The conductor's end of a load process: starts it, speaks its lines, and gets back what it wrote.

Runs in the harness, on asyncio; the load process itself is __main__.py, on gevent.
"""

import asyncio
import contextlib
import csv
import json
import sys
import typing
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from bench.children import end, last_line, run_to_end, spawn
from bench.errors import DeploymentError, LoadError
from bench.load.trial import Assignment
from bench.records import AuditFindingRow, AuditRow, Endpoint, TimelineRow, TouchedRow

STOP_GRACE_S = 4.0
WAIT_FOR_WORKERS_S = 120.0
DROP_LIMIT_S = 10.0
Progress = Callable[[Mapping[str, Any]], None]
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a load process left behind: whole where it finished, as far as it came where it did not."""

    timeline: Sequence[TimelineRow]
    audit: Sequence[AuditRow]
    touched: Sequence[TouchedRow]
    hlog_text: str
    findings: Sequence[AuditFindingRow] = ()


@dataclass(frozen=True, slots=True)
class Crew:
    """How many processes make the load: `workers` on this host, `join` more that come from elsewhere.

    None of either: the load process makes it itself. Workers come to `host` and `port`, 0 for a free
    one; those from elsewhere are waited for `WAIT_FOR_WORKERS_S`.
    """

    workers: int = 0
    join: int = 0
    host: str = "127.0.0.1"
    port: int = 0

    @property
    def wait_s(self) -> float:
        """How much longer than the logins take it may be until everybody is online."""
        return WAIT_FOR_WORKERS_S if self.join else 5.0 * self.workers


ALONE = Crew()
"""The load process makes the load itself."""


class LoadDriver:
    """One trial's load, as `async with`. Leaving stops it; `measured` can be read from then on.

    With `positions`, a file, people go on receiving from where the load process before this one stopped.
    """

    def __init__(
        self,
        plan_file: Path,
        assignment: Assignment,
        out: Path,
        log: Path,
        *,
        cores: frozenset[int] | None,
        progress: Progress,
        crew: Crew = ALONE,
        positions: Path | None = None,
    ) -> None:
        self._command: tuple[str, ...] = (
            *(sys.executable, "-m", "bench.load", "--plan", str(plan_file)),
            *("--assignment", assignment.to_json(), "--out", str(out)),
            *("--workers", str(crew.workers + crew.join), "--listen", f"{crew.host}:{crew.port}"),
        )
        if positions is not None:
            self._command += ("--positions", str(positions))
        self._crew = crew
        self._workers: list[asyncio.subprocess.Process] = []
        self._out = out
        self._log = log
        self._cores = cores
        self._progress = progress
        self._child: asyncio.subprocess.Process | None = None
        self._finished = False
        self._dropping: deque[asyncio.Future[int]] = deque()

    @property
    def pid(self) -> int | None:
        """The load process's id while it runs."""
        child = self._child
        return child.pid if child is not None and child.returncode is None else None

    @property
    def pids(self) -> Mapping[str, int | None]:
        """Process ids by subject: `generator`, and `generator-worker-1`, … where there are workers here."""
        workers = {f"generator-worker-{n}": w for n, w in enumerate(self._workers, start=1)}
        ids = {name: w.pid if w.returncode is None else None for name, w in workers.items()}
        return {"generator": self.pid, **ids}

    async def __aenter__(self) -> Self:
        self._out.mkdir(parents=True)
        self._child = await spawn(self._command, self._log, cores=self._cores, talk=True)
        return self

    async def _start_workers(self, port: int) -> None:
        command = (sys.executable, "-m", "bench.load.worker", "--master", f"{self._crew.host}:{port}")
        for number in range(1, self._crew.workers + 1):
            log = self._log.with_name(f"{self._log.stem}-worker-{number}.log")
            self._workers.append(await spawn(command, log, cores=self._cores))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child is not None
        try:
            if not self._finished:  # it was cut short: let it write what it knows
                with contextlib.suppress(ConnectionError):  # it may just be leaving
                    await self._say("stop")
                await asyncio.wait_for(self._until("finished"), STOP_GRACE_S)
            await asyncio.wait_for(self._child.wait(), STOP_GRACE_S)
        except (TimeoutError, LoadError):
            pass  # it is beyond talking to, and whoever needed its answer has been told already
        finally:
            await end(self._child, grace_s=0.5)
            await asyncio.gather(*(end(worker, grace_s=0.5) for worker in self._workers))

    async def online(self, timeout_s: float) -> None:
        """Return once everybody is online; raises LoadError where somebody is refused or late."""
        try:
            await asyncio.wait_for(self._until("online"), timeout_s)
        except TimeoutError as error:
            raise LoadError(f"not everybody was online within {timeout_s:g} s; see {self._log}") from error

    async def begin(self, origin_ns: int) -> None:
        """Let the first stage begin at this CLOCK_MONOTONIC moment."""
        await self._say(f"begin {origin_ns}")

    async def drop_connections(self) -> int:
        """Let everybody's connection end at once; how many had one.

        The answer is heard by who waits for `finished` meanwhile. Raises LoadError where it does not come.
        """
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._dropping.append(answer)
        await self._say("reconnect")
        try:
            return await asyncio.wait_for(answer, DROP_LIMIT_S)
        except TimeoutError as error:
            what = f"connections were not dropped within {DROP_LIMIT_S:g} s; see {self._log}"
            raise LoadError(what) from error

    async def finished(self) -> Mapping[str, Any]:
        """Return the closing report once the load is drained and written; raises LoadError where it broke."""
        return await self._until("finished")

    def measured(self) -> Measured:
        """What it wrote; call after leaving."""
        return read_measured(self._out)

    async def _say(self, line: str) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(line.encode() + b"\n")
        await self._child.stdin.drain()

    async def _until(self, wanted: str) -> Mapping[str, Any]:
        """Pass on progress until the load process says `wanted`; that report."""
        assert self._child is not None
        assert self._child.stdout is not None
        while line := await self._child.stdout.readline():
            try:
                report = json.loads(line)
            except ValueError:
                continue  # a stray print of a library
            self._progress(report)
            if report["event"] == "finished":
                self._finished = True
            if report["event"] == "dropped":  # answers come in the order of the questions
                answer = self._dropping.popleft()
                if not answer.done():
                    answer.set_result(int(report["connections"]))
            if report["event"] == "listening":
                await self._start_workers(report["port"])
            if report["event"] == wanted:
                return typing.cast(Mapping[str, Any], report)
            if report["event"] == "failed":
                raise LoadError(report["error"])
            if report["event"] == "finished":
                raise LoadError(report["detail"])
        code = await self._child.wait()
        raise LoadError(
            f"the load process ended with {code}: {last_line(self._log)} (all of it: {self._log})"
        )


async def prove(client: str, endpoints: Sequence[Endpoint], people: int, password: str, log: Path) -> None:
    """Pass a real message between the last two of `people`; raises DeploymentError where none arrives."""
    assignment = Assignment("probe", client, 0, 0, 0, tuple(endpoints))
    command = (
        *(sys.executable, "-m", "bench.load.probe", "--assignment", assignment.to_json()),
        *("--people", str(people), "--password", password),
    )
    try:
        await run_to_end(command, log, timeout_s=45)
    except DeploymentError as error:
        raise DeploymentError(f"no message came through: {error}") from error


def read_measured(out: Path) -> Measured:
    """What a load process left in its folder `out`."""
    timeline = _whole_rows(TimelineRow, out / "timeline.csv")
    touched = _whole_rows(TouchedRow, out / "touched.csv")
    try:
        raw = json.loads((out / "audit.json").read_text())
    except (OSError, ValueError):
        raw = {"rows": (), "findings": ()}
    try:
        hlog_text = (out / "histograms.hlog").read_text()
    except OSError:
        hlog_text = ""
    whole = hlog_text[: hlog_text.rfind("\n") + 1]  # a killed process may leave half a line
    return Measured(
        timeline,
        [AuditRow(**row) for row in raw["rows"]],
        touched,
        whole,
        [AuditFindingRow(**row) for row in raw["findings"]],
    )


def _whole_rows(row_class: type[_Row], path: Path) -> list[_Row]:
    """The whole rows of one of the load process's own tables; a last line cut short is dropped."""
    try:
        text = path.read_text()
    except OSError:
        return []
    kinds = list(typing.get_type_hints(row_class).values())
    reader = csv.reader(text[: text.rfind("\n") + 1].splitlines())
    next(reader, None)
    return [row_class(*(_cell(*part) for part in zip(kinds, row, strict=True))) for row in reader]


def _cell(kind: Any, text: str) -> Any:
    if kind in (str, int, float):
        return kind(text)
    return float(text) if text else None

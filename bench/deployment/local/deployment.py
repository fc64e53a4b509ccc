"""The `local` deployment: every node of a generation as a process of this host.

Entering prepares data folders, starts the processes in order, waits until each says it is ready, and
leaves nothing half started behind when one does not. Leaving ends them in reverse order and removes
their data; every step is attempted and the first error is the one that is raised.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from bench.children import end, last_line, run_to_end, spawn
from bench.deployment import Prove
from bench.deployment.local.filling import NODE as HISTORY
from bench.deployment.local.filling import run_fill
from bench.deployment.local.topology import Process, Site, Topology
from bench.deployment.readiness import wait_ready
from bench.errors import DeploymentError
from bench.records import Endpoint, NodeView

START_TIMEOUT_S = 60.0
STOP_GRACE_S = 3.0
STOP_PATIENCE_S = 20.0
"""How long a node that is stopped as a fault may take to end in its own way, or its owner to start it."""
SLOWEST_REPLAY_PER_S = 20_000
"""Messages of a history that a start may take longer for."""
POLL_S = 0.05


class LocalDeployment:
    """One generation on this host. Use as `async with`; faults are asked for by node name."""

    def __init__(
        self,
        topology: Topology,
        site: Site,
        logs: Path,
        *,
        cores: frozenset[int] | None = None,
        prove: Prove | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.topology = topology
        self._site = site
        self._logs = logs
        self._cores = cores
        self._prove = prove
        self._say = say
        self._children: dict[str, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._start_all()
        except BaseException:
            with contextlib.suppress(DeploymentError):
                await self._stop_all(grace_s=0)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop_all(grace_s=STOP_GRACE_S)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where people connect."""
        return self.topology.endpoints

    def nodes(self) -> dict[str, int | None]:
        """Process id by node name; None for a node that is down at this moment."""
        return {process.name: self.pid(process.name) for process in self.topology.processes}

    def views(self) -> list[NodeView]:
        """Every node as a user may look at it, in start order."""
        return [NodeView(p.name, self.pid(p.name), p.admin_url) for p in self.topology.processes]

    def pid(self, node: str) -> int | None:
        """The node's process id, or None where it is not running."""
        process = self._process(node)
        if process.owner is None:
            child = self._children.get(node)
            return child.pid if child is not None and child.returncode is None else None
        assert process.pid_file is not None
        try:
            pid = int(process.pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if _alive(pid) else None

    async def kill(self, node: str) -> None:
        """SIGKILL the node's process; returns once it is reaped (or, where another node owns it, gone)."""
        pid = self._running(node)
        os.kill(pid, signal.SIGKILL)
        child = self._children.get(node)
        if child is not None:
            await child.wait()
        while _alive(pid):
            await asyncio.sleep(0.001)

    async def stop(self, node: str) -> None:
        """SIGTERM the node's process; returns once it is reaped (or, where another node owns it, gone).

        It stays down until `restart`, whoever owns it.
        """
        pid = self._running(node)
        process = self._process(node)
        if process.down_file is not None:
            process.down_file.touch()
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_PATIENCE_S
        # An owner takes the pid file away when it has seen that the node it is to keep down has ended.
        while _alive(pid) or (process.pid_file is not None and process.pid_file.exists()):
            if time.monotonic() > deadline:
                raise DeploymentError(f"{node} had not ended {STOP_PATIENCE_S:g} s after SIGTERM")
            await asyncio.sleep(0.001)
        child = self._children.get(node)
        if child is not None:
            await child.wait()

    async def pause(self, node: str) -> None:
        """SIGSTOP the node's process; returns once the kernel says that it is stopped."""
        pid = self._running(node)
        os.kill(pid, signal.SIGSTOP)
        while _state(pid) not in {"T", None}:
            await asyncio.sleep(0.001)

    async def resume(self, node: str) -> None:
        """SIGCONT the node's process, if it has one; one that is not paused is left alone."""
        pid = self.pid(node)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def restart(self, node: str) -> None:
        """Start a node that has died, with the same command and data. One that runs is left alone.

        One that another node owns is let be started by its owner, who does it if it was killed anyway.
        """
        process = self._process(node)
        if process.down_file is None:
            if self.pid(node) is None:
                await self._start(process)
            return
        if not process.down_file.exists():
            return
        process.down_file.unlink()
        deadline = time.monotonic() + STOP_PATIENCE_S
        while self.pid(node) is None:
            if time.monotonic() > deadline:
                raise DeploymentError(f"{process.owner} did not start {node} within {STOP_PATIENCE_S:g} s")
            await asyncio.sleep(POLL_S)

    async def _start_all(self) -> None:
        (self._site.folder / "pids").mkdir(parents=True, exist_ok=True)
        steps = [p for p in self.topology.processes if p.prepare is not None]
        if steps:
            self._say(f"preparing {', '.join(p.name for p in steps)}")
        for process in steps:
            assert process.prepare is not None
            await run_to_end(
                process.prepare,
                self._log(process.name),
                timeout_s=START_TIMEOUT_S,
                cores=self._cores,
            )
        await self._fill("before")
        for process in self.topology.processes:
            if process.owner is None:
                await self._start(process)
        fill = self.topology.fill
        await wait_ready(
            {process.name: process.ready_url for process in self.topology.processes if process.ready_url},
            timeout_s=START_TIMEOUT_S + (fill.messages / SLOWEST_REPLAY_PER_S if fill is not None else 0.0),
            refuse_dead=self._refuse_dead,
            log_of=self._log,
            say=self._say,
        )
        await self._fill("ready")
        if self._prove is not None:
            self._say("passing a message through")
            await self._prove(self.endpoints)

    async def _fill(self, moment: Literal["before", "ready"]) -> None:
        """Put the history in, where there is one and this is its moment."""
        fill = self.topology.fill
        if fill is not None and fill.moment == moment:
            await run_fill(fill, self._log(HISTORY), cores=self._cores, say=self._say)

    async def _start(self, process: Process) -> None:
        child = await spawn(process.command, self._log(process.name), cores=self._cores)
        self._children[process.name] = child

    async def _refuse_dead(self) -> None:
        for name, child in self._children.items():
            if child.returncode is not None:
                log = self._log(name)
                raise DeploymentError(
                    f"{name} ended with {child.returncode} while starting: {last_line(log)} "
                    f"(all of it: {log})"
                )

    async def _stop_all(self, *, grace_s: float) -> None:
        errors: list[Exception] = []
        # All at once: the grace is then for the whole generation, not for each node. A node that
        # another one owns is ended by its owner, and by the kernel when the owner is killed.
        results = await asyncio.gather(
            *(end(child, grace_s=grace_s) for child in reversed(self._children.values())),
            return_exceptions=True,
        )
        errors += [result for result in results if isinstance(result, Exception)]
        try:
            await self._wait_gone()
            shutil.rmtree(self._site.folder, ignore_errors=False)
        except FileNotFoundError:
            pass
        except Exception as error:  # teardown attempts every step
            errors.append(error)
        if errors:
            raise DeploymentError(f"stopping: {errors[0]}") from errors[0]

    async def _wait_gone(self) -> None:
        """Wait for nodes that others own: they die with their owner, a moment later."""
        owned = [p.name for p in self.topology.processes if p.owner is not None]
        deadline = time.monotonic() + 5
        while any(self.pid(name) is not None for name in owned) and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)

    def _running(self, node: str) -> int:
        pid = self.pid(node)
        if pid is None:
            raise DeploymentError(f"{node} is not running")
        return pid

    def _process(self, node: str) -> Process:
        for process in self.topology.processes:
            if process.name == node:
                return process
        raise DeploymentError(f"no node {node!r} here; there are {', '.join(self._names())}")

    def _names(self) -> Sequence[str]:
        return [process.name for process in self.topology.processes]

    def _log(self, node: str) -> Path:
        return self._logs / f"{node}.log"


def _alive(pid: int) -> bool:
    """Whether `pid` runs; a zombie that nobody has reaped yet is dead."""
    return _state(pid) not in {"Z", "X", None}


def _state(pid: int) -> str | None:
    """The process's state letter (proc(5), stat), None where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[0]

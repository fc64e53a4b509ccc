"""`supervisor`: starts the nodes, notices a death or a long silence, and starts the node again.

It does here what a container engine's agent does. Each line of its log says what it saw and did, with the
time of the event itself; `target` is the node it is about:

    detected    a node died (`exit_code`), or gave no good answer for so long (`silent_s`)
    stopped     a node ended that is to be down (`exit_code`)
    decided     it is to be started again, in `wait_s`
    restarted   it was started again (`pid`, `attempt`)
    restored    it says that it is ready again

The nodes write into the supervisor's own output. All are started at once: each waits by itself for what it
needs. A node that is alive and gives no good answer for `unresponsive_s` is killed and started again; a
shorter pause is left to heal by itself. A node whose `down_file` is there is kept down, as an engine keeps
down a container that was stopped by hand, and started as soon as the file is gone; that it knows of the stop
shows in the node's `pid_file`, which it takes away.
"""

import asyncio
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from prometheus_client import Counter, Gauge
from pydantic import BaseModel, ConfigDict, Field

from services.microservices import child
from services.microservices.backoff import Backoff
from services.runtime import Node, NodeConfig

READY_POLL_S = 0.05
DOWN_POLL_S = 0.02
PROBE_TIMEOUT_S = 2.0
STOP_S = 2.5
GRACE_SHARE = 0.8
TAIL_LINES = 20


class Owned(BaseModel):
    """One node as the supervisor's configuration names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    command: tuple[str, ...] = Field(min_length=1)
    environment: Mapping[str, str] = {}
    pid_file: Path
    ready_url: str
    """Answers 200 when the node is ready."""
    health_url: str
    """Answers below 500 while the node lives, and can do what it is there for."""
    down_file: Path | None = None
    """While it exists, the node is to be down."""
    log_file: Path | None = None
    """Where a node that does not log to its output logs; its last lines are shown when it dies."""


class Config(NodeConfig):
    """Keys of a `supervisor` node."""

    nodes: tuple[Owned, ...]
    probe_every_s: float = Field(default=1.0, gt=0)
    unresponsive_s: float = Field(default=10.0, gt=0)


async def serve(node: Node, config: Config) -> None:
    """Keep all nodes running until told to stop, then end them, last started first."""
    timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        kept = [Keeper(node, owned, config, http) for owned in config.nodes]

        async def all_ready() -> str | None:
            waiting = [keeper.owned.name for keeper in kept if not keeper.ready]
            return f"waiting for {', '.join(waiting)}" if waiting else None

        restarts = Counter(
            "threegen_microservices_restarts",
            "Times a node was started again.",
            ["target"],
            registry=node.registry,
        )
        running = Gauge("threegen_microservices_nodes_running", "Nodes that run.", registry=node.registry)
        running.set_function(lambda: sum(keeper.running for keeper in kept))
        node.check("nodes", all_ready)
        async with asyncio.TaskGroup() as tasks:
            keeping = [tasks.create_task(keeper.keep(restarts.labels(keeper.owned.name))) for keeper in kept]
            node.ready()
            await node.stopping.wait()
            for keeper in reversed(kept):
                keeper.terminate()
            _, late = await asyncio.wait(keeping, timeout=STOP_S * GRACE_SHARE)
            if late:
                node.log("killed", targets=[k.owned.name for k in kept if k.running])
                for keeper in kept:
                    keeper.kill()


class Keeper:
    """Keeps one node running."""

    def __init__(self, node: Node, owned: Owned, config: Config, http: aiohttp.ClientSession) -> None:
        self.owned = owned
        self.ready = False
        self._node = node
        self._config = config
        self._http = http
        self._child: child.Child | None = None
        self._silenced = False
        self._backoff = Backoff()

    @property
    def running(self) -> bool:
        """Whether the node's process lives."""
        return self._child is not None

    def terminate(self) -> None:
        """Ask the node to end."""
        if self._child is not None:
            self._child.send(signal.SIGTERM)

    def kill(self) -> None:
        """End the node, now."""
        if self._child is not None:
            self._child.send(signal.SIGKILL)

    async def keep(self, restarts: Counter) -> None:
        """Start the node, and again whenever it has ended, until the supervisor is told to stop."""
        attempt = 0
        while not self._node.stopping.is_set():
            if self._unwanted:
                await self._pause(DOWN_POLL_S)
                continue
            started_s = time.monotonic()
            process = self._child = child.start(self.owned.command, environment=self.owned.environment)
            child.write_pid(self.owned.pid_file, process.pid)
            if attempt:
                restarts.inc()
                self._node.log("restarted", target=self.owned.name, pid=process.pid, attempt=attempt)
            watching = asyncio.create_task(self._watch(restored=attempt > 0))
            try:
                code = await process.wait()
            finally:
                watching.cancel()
                await asyncio.wait({watching})
            self._child, self.ready = None, False
            if self._node.stopping.is_set():
                return
            attempt += 1
            if self._unwanted:
                self._silenced = False
                self._node.log("stopped", target=self.owned.name, exit_code=code)
                self.owned.pid_file.unlink(missing_ok=True)
                continue
            if self._silenced:  # that was what was detected
                self._silenced = False
            else:
                self._node.log("detected", target=self.owned.name, exit_code=code, tail=self._tail())
            wait_s = self._backoff.died(time.monotonic() - started_s)
            self._node.log("decided", target=self.owned.name, wait_s=round(wait_s, 3))
            await self._pause(wait_s)

    @property
    def _unwanted(self) -> bool:
        """Whether the node is to be down."""
        return self.owned.down_file is not None and self.owned.down_file.exists()

    async def _watch(self, *, restored: bool) -> None:
        """Wait until the node is ready, then probe it; kill it when it has been silent for too long."""
        while not await self._answers(self.owned.ready_url, below=300):
            await asyncio.sleep(READY_POLL_S)
        self.ready = True
        if restored:
            self._node.log("restored", target=self.owned.name)
        answered_s = time.monotonic()
        while True:
            await asyncio.sleep(self._config.probe_every_s)
            if await self._answers(self.owned.health_url, below=500):
                answered_s = time.monotonic()
                continue
            if self._unwanted or self._node.stopping.is_set():
                return  # it was asked to end: its silence says nothing
            silent_s = time.monotonic() - answered_s
            if silent_s >= self._config.unresponsive_s:
                self._silenced = True
                self._node.log("detected", target=self.owned.name, silent_s=round(silent_s, 3))
                self.kill()
                return

    async def _answers(self, url: str, *, below: int) -> bool:
        """Whether it gives any answer with a status below `below`."""
        try:
            async with self._http.get(url) as response:
                return response.status < below
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def _pause(self, pause_s: float) -> None:
        try:
            await asyncio.wait_for(self._node.stopping.wait(), pause_s)
        except TimeoutError:
            return

    def _tail(self) -> list[str]:
        if self.owned.log_file is None:
            return []
        try:
            return self.owned.log_file.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        except OSError:
            return []

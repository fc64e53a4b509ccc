"""What every node of every generation shares: configuration, health, metrics, log, graceful stop.

A node's life: read its configuration, answer on the admin port (`/healthz` at once, `/readyz` when
its checks pass, `/metrics` in Prometheus' text format), serve, and on SIGTERM or SIGINT stop
accepting, finish what it holds and leave with 0.

The log is one JSON object a line on standard output: `t_ns` (CLOCK_MONOTONIC, shared by all
processes of a host), `node`, `event`, and the event's own fields. Events are part of the contract
with whoever watches: `started`, `ready`, `stopping`, and what each generation says of its recovery.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import uvloop
from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector
from pydantic import BaseModel, ConfigDict, Field, ValidationError

READINESS_TIMEOUT_S = 2.0

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each, that nobody asks for


class ConfigError(Exception):
    """The node's configuration file cannot be used; one line says which key and why."""


class People(BaseModel):
    """The accounts that exist: persons `u0` … `u{count-1}`, one password, who knows whom.

    `contacts_file`, when given, is a JSON list: entry i holds the indices of person i's contacts.
    Without one every person knows the next and the previous person. `groups_file`, when given, is a JSON
    list: entry g holds the indices of the members of group `g{g}`. Without one there are no groups.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(gt=0)
    password: str = "correct horse"
    contacts_file: Path | None = None
    groups_file: Path | None = None

    def name(self, index: int) -> str:
        """The account name of person `index`."""
        return f"u{index}"

    def index(self, name: str) -> int | None:
        """The person's index, or None where no such account exists."""
        digits = name[1:]
        if not name.startswith("u") or not digits.isascii() or not digits.isdecimal():
            return None
        index = int(digits)
        return index if index < self.count and name == f"u{index}" else None

    def contacts(self) -> list[list[int]]:
        """Contact indices by person; symmetric when the file is. Raises ConfigError for an unsound file."""
        if self.contacts_file is not None:
            loaded = _index_lists(self.contacts_file)
            if len(loaded) != self.count:
                raise ConfigError(f"{self.contacts_file}: {len(loaded)} people, expected {self.count}")
            return loaded
        return [sorted({(i - 1) % self.count, (i + 1) % self.count} - {i}) for i in range(self.count)]

    def groups(self) -> list[list[int]]:
        """Member indices by group; none without a file. Raises ConfigError for an unsound file."""
        if self.groups_file is None:
            return []
        loaded = _index_lists(self.groups_file)
        for number, members in enumerate(loaded):
            if any(not 0 <= member < self.count for member in members):
                raise ConfigError(f"{self.groups_file}: group {number}: expected members below {self.count}")
        return loaded

    def group_index(self, name: str) -> int | None:
        """The number in `g17`, or None where the name is of another form; whether it exists `groups` says."""
        digits = name[1:]
        if not name.startswith("g") or not digits.isascii() or not digits.isdecimal():
            return None
        return int(digits) if name == f"g{int(digits)}" else None


def _index_lists(path: Path) -> list[list[int]]:
    try:
        loaded: list[list[int]] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return loaded


class NodeConfig(BaseModel):
    """What every node's configuration file holds; each kind adds its own keys. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: str
    """This node's own name, such as `api-1`."""
    host: str = "127.0.0.1"
    """Address to listen on; loopback unless told otherwise."""
    port: int = Field(default=0, ge=0, le=65535)
    """Port of the node's protocol; 0 where it has none or any free one will do."""
    admin_port: int = Field(default=0, ge=0, le=65535)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Load and check `path`; raises ConfigError with one line."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "the file"
            raise ConfigError(f"{path}: {key}: {first['msg']}") from error


class Node:
    """One running node: its metrics registry, its log, its readiness, and the wish to stop."""

    def __init__(self, config: NodeConfig) -> None:
        self.name = config.node
        self.host = config.host
        self.admin_port = config.admin_port
        self.registry = CollectorRegistry()
        self.stopping = asyncio.Event()
        self._checks: dict[str, Callable[[], Awaitable[str | None]]] = {}
        self._serving = False
        ProcessCollector(registry=self.registry)

    def log(self, event: str, **fields: Any) -> None:
        """Write one structured line; `event` is a past participle or noun, fields are JSON values."""
        line = {"t_ns": time.monotonic_ns(), "node": self.name, "event": event, **fields}
        sys.stdout.write(json.dumps(line, default=str) + "\n")
        sys.stdout.flush()

    def check(self, name: str, probe: Callable[[], Awaitable[str | None]]) -> None:
        """Add a readiness check: `probe` answers None when well, else the reason in a few words."""
        self._checks[name] = probe

    def ready(self) -> None:
        """Say that the node serves; `/readyz` answers 200 from now on while its checks pass."""
        self._serving = True
        self.log("ready")

    async def unready_reasons(self) -> dict[str, str]:
        """Reasons by check name; empty when the node is ready."""
        if self.stopping.is_set():
            return {"node": "stopping"}
        if not self._serving:
            return {"node": "starting"}
        reasons = {}
        for name, probe in self._checks.items():
            try:
                reason = await asyncio.wait_for(probe(), READINESS_TIMEOUT_S)
            except TimeoutError:
                reason = f"no answer within {READINESS_TIMEOUT_S:g} s"
            except Exception as error:  # a check that breaks is a reason, not a crash
                reason = f"{type(error).__name__}: {error}"
            if reason is not None:
                reasons[name] = reason
        return reasons

    @contextlib.asynccontextmanager
    async def admin(self) -> AsyncIterator[None]:
        """Serve `/healthz`, `/readyz` and `/metrics` for the duration."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self.host, self.admin_port, reuse_address=True)
            await site.start()
            self.admin_port = runner.addresses[0][1]
            self.log("started", pid=os.getpid(), admin_port=self.admin_port)
            yield
        finally:
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"node": self.name, "status": "alive"})

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = await self.unready_reasons()
        body = {"node": self.name, "status": "unready" if reasons else "ready", "reasons": reasons}
        return web.json_response(body, status=503 if reasons else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


C = TypeVar("C", bound=NodeConfig)
Serve = Callable[[Node, C], Awaitable[None]]
"""A node's own part: call `node.ready()` once serving, return soon after `node.stopping` is set."""


def run(serve: Serve[C], config: C) -> int:
    """Run one node to its end and give the exit code: 0 when asked to stop, 1 when it broke."""
    return uvloop.run(_live(serve, config))


async def _live(serve: Serve[C], config: C) -> int:
    node = Node(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stopping.set)
    try:
        async with node.admin():
            await serve(node, config)
    except Exception as error:  # the process's edge
        node.log(
            "broken",
            error=f"{type(error).__name__}: {error}",
            traceback=traceback.format_exc(),
        )
        return 1
    node.log("stopped")
    return 0

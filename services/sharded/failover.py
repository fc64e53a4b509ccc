"""The `failover` node: gives each database server its role, and takes it away when it must.

`GET /v1/shards?version=N&wait=S` on its port answers the shard map (routing.py) as soon as its version
is above N, at the latest after S seconds. The version is the sum of the epochs, so it needs no memory.

Events in its log, each with `shard` and `epoch`: `detected` (`target`, a primary or a replica, is gone),
`deciding` (mode manual), `decided` (`target` is to be primary), `replayed` (it has applied all that it was
sent), `promoted` (it takes writes, and the map says so), `not_promotable`, `fenced`, `rejoining`, `rebuilt`,
`replica_lost`, `alone`, `redundant` (two servers hold every acknowledged commit from now on, `target` as the
replica), `primary_restarted`.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import Counter, Gauge
from pydantic import Field

from services.runtime import Node, NodeConfig, People
from services.sharded.database import Contended, Unavailable
from services.sharded.routing import ShardMap
from services.sharded.server import Server
from services.sharded.shard import Shard, ShardConfig
from services.sharded.state import StateFile

START_RETRY_S = 0.05
LONGEST_WAIT_S = 30.0


class Config(NodeConfig, ShardConfig):
    """Keys of a failover node's file; `shard.ShardConfig` has those about how it decides."""

    people: People
    shards: list[tuple[Server, Server]] = Field(min_length=1)
    """Each shard's two servers; the first is the primary of a new generation."""
    state_file: Path


async def serve(node: Node, config: Config) -> None:
    """Bring all shards into service, then watch them until the node is to stop."""
    changed = asyncio.Event()
    promotions = Counter("threegen_sharded_failovers", "Promotions made.", ["shard"], registry=node.registry)

    def promoted(shard: int) -> None:
        promotions.labels(str(shard)).inc()
        changed.set()

    states = StateFile(config.state_file, len(config.shards))
    shards = [
        Shard(number, servers, config=config, states=states, node=node, promoted=promoted)
        for number, servers in enumerate(config.shards)
    ]
    for shard in shards:
        promotions.labels(str(shard.number))
    _measure(node, shards)
    node.check("primaries", functools.partial(_silent, shards))
    stop = asyncio.create_task(node.stopping.wait())
    tasks = [asyncio.create_task(_start(shard, config.people.count)) for shard in shards]
    try:
        async with _serve_map(node, config, shards, changed):
            started = asyncio.gather(*tasks)
            await _first(stop, started)
            if started.done():
                tasks = [asyncio.create_task(shard.run()) for shard in shards]
                node.ready()
                await _first(stop, *tasks)
            changed.set()  # lets those who wait for the map go
    finally:
        for task in (stop, *tasks):
            task.cancel()
        await asyncio.gather(stop, *tasks, return_exceptions=True)


async def _silent(shards: list[Shard]) -> str | None:
    silent = [str(shard.number) for shard in shards if not shard.answers]
    return f"no answer from the primary of shard {', '.join(silent)}" if silent else None


async def _start(shard: Shard, people: int) -> None:
    while True:
        try:
            return await shard.start(people)
        except (Unavailable, Contended):
            await asyncio.sleep(START_RETRY_S)


async def _first(*awaited: asyncio.Future[Any]) -> None:
    """Wait until one of them ends; raises what it raised."""
    done, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    for one in done:
        one.result()


@contextlib.asynccontextmanager
async def _serve_map(
    node: Node, config: Config, shards: list[Shard], changed: asyncio.Event
) -> AsyncIterator[None]:
    def current() -> ShardMap:
        primaries = tuple(shard.primary for shard in shards)
        return ShardMap(version=sum(primary.epoch for primary in primaries), shards=primaries)

    async def answer(request: web.Request) -> web.Response:
        try:
            version = int(request.query.get("version", "0"))
            wait_s = min(LONGEST_WAIT_S, float(request.query.get("wait", "0")))
        except ValueError:
            return web.json_response({"error": "version and wait are numbers"}, status=400)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while current().version <= version and not node.stopping.is_set():
                    changed.clear()
                    await changed.wait()
        return web.Response(text=current().model_dump_json(), content_type="application/json")

    app = web.Application()
    app.router.add_get("/v1/shards", answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port, reuse_address=True).start()
        yield
    finally:
        await runner.cleanup()


def _measure(node: Node, shards: list[Shard]) -> None:
    def gauge(name: str, text: str, read: Callable[[Shard], float]) -> None:
        metric = Gauge(f"threegen_sharded_{name}", text, ["shard"], registry=node.registry)
        for shard in shards:
            metric.labels(str(shard.number)).set_function(functools.partial(read, shard))

    gauge("epoch", "Epoch of the shard's primary.", lambda shard: shard.state.epoch)
    gauge("replication_lag_commits", "Commits the replica has not applied.", lambda shard: shard.lag)
    gauge("unreplicated", "1 while no replica is in sync.", lambda shard: not shard.redundant)
    gauge("acknowledging_alone", "1 while commits wait for no replica.", lambda shard: shard.state.alone)

"""The `api` node: the stateless application tier. What it answers stands in routes.py."""

import asyncio
import functools
from collections.abc import Sequence

from prometheus_client import Gauge
from pydantic import Field

from services.runtime import Node, NodeConfig, People
from services.sharded import shard_map
from services.sharded.accounts import Accounts
from services.sharded.batch import Entry, Letter, Post
from services.sharded.groups import Groups
from services.sharded.hints import Peer
from services.sharded.http import HttpServer
from services.sharded.metrics import Metrics
from services.sharded.outbox import Outbox
from services.sharded.reader import Reader
from services.sharded.routes import Api
from services.sharded.routing import Account, Address, ShardMap
from services.sharded.writer import Answer, Writer

FINISH_S = 2.0


class Config(NodeConfig):
    """Keys of an api node's file."""

    people: People
    secret: str = Field(min_length=16)
    """Signs tokens; the same for all api nodes."""
    application: Account
    """The database account."""
    failover: Address
    peers: tuple[Address, ...] = ()
    """The other api nodes."""
    hold_s: float = Field(default=2.0, gt=0)
    """How long a send may wait for its shard before it is answered 503."""


async def serve(node: Node, config: Config) -> None:
    """Wait for the first shard map, serve, and at the end answer what is in line."""
    maps: asyncio.Queue[ShardMap] = asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(shard_map.follow(config.failover, maps.put_nowait))
        first = await _unless_stopped(node, maps)
        if first is not None:
            await _serve(node, config, first, maps)
        following.cancel()


async def _unless_stopped(node: Node, maps: "asyncio.Queue[ShardMap]") -> ShardMap | None:
    stop, got = asyncio.create_task(node.stopping.wait()), asyncio.create_task(maps.get())
    await asyncio.wait({stop, got}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if got.done():
        return got.result()
    got.cancel()
    return None


async def _serve(node: Node, config: Config, first: ShardMap, maps: "asyncio.Queue[ShardMap]") -> None:
    accounts = Accounts(config.people, config.secret, len(first.shards))
    groups = Groups(config.people, len(first.shards))
    metrics = Metrics(node)
    peers = [Peer(address, accounts.peer_token()) for address in config.peers]
    readers = [Reader(config.application, accounts.name, delivered=metrics.delivered) for _ in first.shards]

    def stored(shard: int, entries: Sequence[Entry]) -> None:
        people = [entry.person for entry in entries if isinstance(entry, Letter)]
        if people:
            readers[shard].word(people)
            for peer in peers:
                peer.word(people)
        for entry in entries:
            if isinstance(entry, Post):
                outboxes[shard].take(entry)

    def submit(letter: Letter, answer: Answer) -> None:
        writers[accounts.shard(letter.person)].submit(letter, answer)

    def troubled(shard: int, reason: str) -> None:
        node.log("primary_lost", shard=shard, reason=reason)

    writers = [
        Writer(
            config.application,
            hold_s=config.hold_s,
            stored=functools.partial(stored, shard),
            measured=metrics.committed,
            suppressed=metrics.duplicated,
            troubled=functools.partial(troubled, shard),
        )
        for shard in range(len(readers))
    ]
    outboxes = [Outbox(config.application, groups.others, submit) for _ in writers]

    def follow(latest: ShardMap) -> None:
        node.log("mapped", version=latest.version, primaries=[shard.node for shard in latest.shards])
        metrics.mapped(latest)
        for shard, primary in enumerate(latest.shards):
            writers[shard].follow(primary)
            readers[shard].follow(primary)
            outboxes[shard].follow(primary)

    async def follow_all() -> None:
        while True:
            follow(await maps.get())

    async def shards_reached() -> str | None:
        away = [str(i) for i, w in enumerate(writers) if not (w.connected and readers[i].connected)]
        return f"no connection to the primary of shard {', '.join(away)}" if away else None

    _gauge(node, "threegen_sends_waiting", "Sends that wait to be stored.", writers)
    _gauge(node, "threegen_sharded_people_waiting", "People in a long poll.", readers)
    _gauge(node, "threegen_sharded_outbox_waiting", "Messages to groups that this node is copying.", outboxes)
    node.check("shards", shards_reached)
    follow(first)
    server = HttpServer(Api(accounts, groups, writers, readers, metrics))
    async with asyncio.TaskGroup() as tasks:
        parts: list[Writer | Reader | Outbox | Peer] = [*writers, *readers, *outboxes, *peers]
        running = [tasks.create_task(part.run()) for part in parts]
        running.append(tasks.create_task(follow_all()))
        port = await server.start(config.host, config.port)
        node.log("listening", port=port)
        node.ready()
        await node.stopping.wait()
        server.stop_accepting()
        for reader in readers:
            reader.let_go()
        deadline = asyncio.get_running_loop().time() + FINISH_S
        while any(writer.waiting for writer in writers) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        server.close()
        for task in running:
            task.cancel()


def _gauge(node: Node, name: str, text: str, parts: Sequence[Writer | Reader | Outbox]) -> None:
    gauge = Gauge(name, text, registry=node.registry)
    gauge.set_function(lambda: sum(part.waiting for part in parts))

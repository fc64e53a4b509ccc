"""The `api` node: the stateless application tier. HTTP/1.1 and JSON on its port.

    POST /v1/login     {"user", "password"}       → 200 {"token", "lanes"}, 401
    POST /v1/messages  {"id", "to", "body"}       → 200 {} once durable, 400/404/413 refused, 503 not answered
    GET  /v1/sync?after=N&wait=S                  → 200 {"messages": [{"seq", "id", "from", "body"}], "next"}

All but login want `Authorization: Bearer TOKEN` (else 401); refusals are `{"error": reason}`. Requests of
one connection may be sent without waiting and are answered in order. A send that cannot be stored for now
holds up those behind it, so a client sends what is addressed to X on a connection of its own for each
*lane*: crc32(X) mod 1024 mod `lanes`. 503 says that a send may or may not be stored later:
send it again under the same id.

Every api node serves everybody. `after` is the `next` of the answer before, 0 the first time.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence

import orjson
from prometheus_client import Counter, Gauge, Histogram
from pydantic import Field

from services.runtime import Node, NodeConfig, People
from services.sharded import shard_map
from services.sharded.accounts import Accounts
from services.sharded.hints import Peer
from services.sharded.http import Exchange, HttpServer
from services.sharded.reader import Reader
from services.sharded.routing import Account, Address, ShardMap
from services.sharded.schema import LONGEST_MESSAGE_ID
from services.sharded.writer import Letter, Writer

LONGEST_BODY_BYTES = 65_536
LONGEST_WAIT_S = 60.0
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


class Metrics:
    """What an api node counts."""

    def __init__(self, node: Node) -> None:
        registry = node.registry
        requests = Counter(
            "threegen_requests", "Requests answered.", ["operation", "outcome"], registry=registry
        )
        self.login_ok = requests.labels("login", "ok").inc
        self.login_failed = requests.labels("login", "failed").inc
        self._send_ok = requests.labels("send", "ok").inc
        self._send_failed = requests.labels("send", "failed").inc
        self._send_unknown = requests.labels("send", "unknown").inc
        self.sync = requests.labels("sync", "ok").inc
        self.sync_failed = requests.labels("sync", "failed").inc
        self._acknowledged = Counter(
            "threegen_messages_acknowledged",
            "Sends acknowledged, those of messages sent again among them.",
            registry=registry,
        ).inc
        self._refused = Counter(
            "threegen_messages_refused", "Sends answered with an error.", registry=registry
        ).inc
        self._unanswered = Counter(
            "threegen_messages_unanswered",
            "Sends given up on, which may be stored or not; in sharded, answered 503.",
            registry=registry,
        ).inc
        self.duplicated = Counter(
            "threegen_messages_duplicated", "Messages sent again and suppressed.", registry=registry
        ).inc
        self.delivered = Counter(
            "threegen_messages_delivered", "Messages handed to their addressees.", registry=registry
        ).inc
        self._sizes = Histogram(
            "threegen_sharded_commit_messages",
            "Messages stored by one commit.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )
        self._seconds = Histogram(
            "threegen_sharded_commit_seconds",
            "Time of one commit, with its replica's acknowledgement.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
            registry=registry,
        )
        self._epoch = Gauge(
            "threegen_sharded_map_epoch",
            "The shard's epoch as this node knows it.",
            ["shard"],
            registry=registry,
        )

    def sent(self, status: int) -> None:
        """A send that had been in line was answered."""
        if status == 200:
            self._send_ok()
            self._acknowledged()
        else:
            self._send_unknown()
            self._unanswered()

    def refused(self) -> None:
        """A send was answered with an error, and not put in line."""
        self._send_failed()
        self._refused()

    def committed(self, messages: int, seconds: float) -> None:
        """One commit was made."""
        self._sizes.observe(messages)
        self._seconds.observe(seconds)

    def mapped(self, latest: ShardMap) -> None:
        """A new shard map came."""
        for shard, primary in enumerate(latest.shards):
            self._epoch.labels(str(shard)).set(primary.epoch)


def refuse(exchange: Exchange, status: int, reason: str) -> None:
    """Answer no."""
    exchange.answer(status, orjson.dumps({"error": reason}))


class Api:
    """What the requests mean. Made once the first shard map has come."""

    def __init__(
        self, accounts: Accounts, writers: Sequence[Writer], readers: Sequence[Reader], metrics: Metrics
    ):
        self._accounts = accounts
        self._writers = writers
        self._readers = readers
        self._metrics = metrics
        self._routes: dict[bytes, tuple[bytes, Callable[[Exchange, bytes], None]]] = {
            b"/v1/messages": (b"POST", self._send),
            b"/v1/sync": (b"GET", self._sync),
            b"/v1/login": (b"POST", self._login),
            b"/v1/hints": (b"POST", self._hint),
        }

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request, now or later."""
        path, _, parameters = exchange.target.partition(b"?")
        route = self._routes.get(path)
        if route is None:
            refuse(exchange, 404, "no such resource")
        elif exchange.method != route[0]:
            refuse(exchange, 405, f"use {route[0].decode()}")
        else:
            route[1](exchange, parameters)

    def _send(self, exchange: Exchange, _: bytes) -> None:
        sender = self._accounts.bearer(exchange.token)
        if sender is None:
            return self._refuse_send(exchange, 401, "bad token")
        try:
            sent = orjson.loads(exchange.body)
            message_id, to, body = sent["id"], sent["to"], sent["body"]
            size = len(body.encode())
            addressee = self._accounts.person(to)
            usable = message_id.isascii() and message_id.isprintable()
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._refuse_send(exchange, 400, "want id, to and body")
        if not usable or not 0 < len(message_id) <= LONGEST_MESSAGE_ID or message_id.endswith(" "):
            return self._refuse_send(exchange, 400, "bad id")
        if addressee is None:
            return self._refuse_send(exchange, 404, "no such addressee")
        if size > LONGEST_BODY_BYTES:
            return self._refuse_send(exchange, 413, "body too long")
        letter = Letter(addressee.number, sender.number, message_id, body)
        return self._writers[addressee.shard].submit(letter, exchange)

    def _refuse_send(self, exchange: Exchange, status: int, reason: str) -> None:
        self._metrics.refused()
        refuse(exchange, status, reason)

    def _sync(self, exchange: Exchange, parameters: bytes) -> None:
        person = self._accounts.bearer(exchange.token)
        if person is None:
            return self._refuse_sync(exchange, 401, "bad token")
        try:
            given = dict(part.split(b"=", 1) for part in parameters.split(b"&") if part)
            after, wait_s = int(given.get(b"after", b"0")), float(given.get(b"wait", b"0"))
        except ValueError:
            return self._refuse_sync(exchange, 400, "after and wait are numbers")
        if not 0 <= after < 1 << 63 or not 0 <= wait_s <= LONGEST_WAIT_S:
            return self._refuse_sync(exchange, 400, f"after from 0, wait from 0 to {LONGEST_WAIT_S:g}")
        self._metrics.sync()
        return self._readers[person.shard].poll(person.number, after, wait_s, exchange)

    def _refuse_sync(self, exchange: Exchange, status: int, reason: str) -> None:
        self._metrics.sync_failed()
        refuse(exchange, status, reason)

    def _login(self, exchange: Exchange, _: bytes) -> None:
        try:
            given = orjson.loads(exchange.body)
            token = self._accounts.login(str(given["user"]), str(given["password"]))
        except (ValueError, KeyError, TypeError):
            self._metrics.login_failed()
            return refuse(exchange, 400, "want user and password")
        if token is None:
            self._metrics.login_failed()
            return refuse(exchange, 401, "wrong name or password")
        self._metrics.login_ok()
        return exchange.answer(200, orjson.dumps({"token": token, "lanes": len(self._writers)}))

    def _hint(self, exchange: Exchange, _: bytes) -> None:
        if not self._accounts.is_peer(exchange.token):
            return refuse(exchange, 401, "bad token")
        people = orjson.loads(exchange.body)["people"]
        for reader in self._readers:  # a person waits with at most one of them
            if people is None:
                reader.sweep()
            else:
                reader.word(people)
        return exchange.answer(200, b"{}")


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
    metrics = Metrics(node)
    peers = [Peer(address, accounts.peer_token()) for address in config.peers]
    readers = [Reader(config.application, accounts.name, delivered=metrics.delivered) for _ in first.shards]

    def stored(reader: Reader, people: Sequence[int]) -> None:
        reader.word(people)
        for peer in peers:
            peer.word(people)

    def troubled(shard: int, reason: str) -> None:
        node.log("primary_lost", shard=shard, reason=reason)

    writers = [
        Writer(
            config.application,
            hold_s=config.hold_s,
            stored=functools.partial(stored, reader),
            measured=metrics.committed,
            suppressed=metrics.duplicated,
            answered=metrics.sent,
            troubled=functools.partial(troubled, shard),
        )
        for shard, reader in enumerate(readers)
    ]

    def follow(latest: ShardMap) -> None:
        node.log("mapped", version=latest.version, primaries=[shard.node for shard in latest.shards])
        metrics.mapped(latest)
        for primary, writer, reader in zip(latest.shards, writers, readers, strict=True):
            writer.follow(primary)
            reader.follow(primary)

    async def follow_all() -> None:
        while True:
            follow(await maps.get())

    async def shards_reached() -> str | None:
        away = [str(i) for i, w in enumerate(writers) if not (w.connected and readers[i].connected)]
        return f"no connection to the primary of shard {', '.join(away)}" if away else None

    _gauge(node, "threegen_sends_waiting", "Sends that wait to be stored.", writers)
    _gauge(node, "threegen_sharded_people_waiting", "People in a long poll.", readers)
    node.check("shards", shards_reached)
    follow(first)
    server = HttpServer(Api(accounts, writers, readers, metrics))
    async with asyncio.TaskGroup() as tasks:
        parts: list[Writer | Reader | Peer] = [*writers, *readers, *peers]
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


def _gauge(node: Node, name: str, text: str, parts: Sequence[Writer] | Sequence[Reader]) -> None:
    gauge = Gauge(name, text, registry=node.registry)
    gauge.set_function(lambda: sum(part.waiting for part in parts))

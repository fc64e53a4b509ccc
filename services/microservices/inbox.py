"""`inbox`: keeps everybody's mailbox, folded from the log, and feeds the gateways.

The log is the truth. Each partition's entries are applied in log order, none skipped (follower.py): those
that `message` and `group` tell of at once, all others as they are fetched. A restart folds the whole log
again before the node is ready; sends go on meanwhile, only deliveries and syncs wait.

This node also makes the streams, and looks after who leads them (leadership.py). It says `replayed` when it
has folded the log.
"""

import asyncio
import functools
import time

import orjson
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge
from pydantic import Field

from services.microservices import bus, log
from services.microservices.bus import Unavailable
from services.microservices.feed import Feeds
from services.microservices.follower import Follower
from services.microservices.leadership import Leadership
from services.microservices.mailbox import Item, Mailboxes
from services.microservices.metrics import Operations, entries_fetched
from services.runtime import Node


class Config(bus.BusConfig):
    """Keys of an `inbox` node."""

    log_servers: tuple[str, ...] = Field(min_length=1)
    """Names of the servers that hold the log; partition p's leader is preferably the p-th."""
    rebalance_after_s: float = Field(default=10.0, ge=0)
    """How long a preferred leader must have been up to date before it leads again."""


async def serve(node: Node, config: Config) -> None:
    """Fold the log, then feed the gateways until told to stop."""
    async with bus.connect(node, "inbox", config) as connection:
        inbox = Inbox(node, config, connection)
        began = time.monotonic()
        streams = {log.stream(p): log.subject(p) for p in range(log.PARTITIONS)}
        await log.create(connection, streams, replicas=log.replicas_among(config.log_servers))
        for reader in inbox.readers:
            await reader.open()
        async with asyncio.TaskGroup() as tasks:
            owned = [tasks.create_task(follower.run()) for follower in inbox.followers]
            owned.append(tasks.create_task(inbox.push()))
            stop = tasks.create_task(node.stopping.wait())
            placed = tasks.create_task(inbox.leadership.place())
            caught_up = tasks.create_task(inbox.caught_up())
            await asyncio.wait({stop, caught_up}, return_when=asyncio.FIRST_COMPLETED)
            if caught_up.done():
                node.log("replayed", seconds=round(time.monotonic() - began, 3), messages=inbox.messages)
                await connection.listen("inbox.stored", inbox.on_stored)
                await connection.listen("inbox.told", inbox.on_told)
                await connection.listen("inbox.read", inbox.on_read)
                await asyncio.wait({stop, placed}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.done():
                node.ready()
                owned.append(tasks.create_task(inbox.leadership.keep()))
                await stop
            for task in [*owned, placed, caught_up]:
                task.cancel()


class Inbox:
    """The mailboxes of all partitions, and the feeds."""

    def __init__(self, node: Node, config: Config, connection: bus.Bus) -> None:
        self._node = node
        self._bus = connection
        self.leadership = Leadership(node, connection, config.log_servers, after_s=config.rebalance_after_s)
        self._mailboxes = [Mailboxes() for _ in range(log.PARTITIONS)]
        self._feeds = Feeds(self)
        self._pushing = asyncio.Event()
        self._operations = Operations(
            node.registry, timed=["apply", "told", "sync"], retried=["fetch", "push"]
        )
        fetched = entries_fetched(node.registry)
        self._duplicated = Counter(
            "threegen_messages_duplicated",
            "Messages sent again and suppressed; those to groups once for each partition with members.",
            registry=node.registry,
        ).inc
        self.readers = [log.Reader(connection, log.stream(p)) for p in range(log.PARTITIONS)]
        self.followers = [
            Follower(
                reader,
                functools.partial(self._apply, partition),
                fetched=fetched,
                retried=functools.partial(self._operations.retried, "fetch"),
                hole=functools.partial(self._hole, partition),
            )
            for partition, reader in enumerate(self.readers)
        ]
        followed = Gauge(
            "threegen_microservices_followers", "Users whose messages are pushed.", registry=node.registry
        )
        followed.set_function(lambda: self._feeds.followers)
        self.messages = 0

    def after(self, user: str, position: int, *, most_items: int, most_bytes: int) -> tuple[list[Item], bool]:
        """As Mailboxes.after, of the user's partition."""
        mailboxes = self._mailboxes[log.partition_of(user)]
        return mailboxes.after(user, position, most_items=most_items, most_bytes=most_bytes)

    async def caught_up(self) -> None:
        """Return once everything that was in the log at some moment since the start is applied."""
        for follower in self.followers:
            await follower.caught_up.wait()

    async def on_stored(self, message: Msg) -> None:
        """Apply an entry that a `message` node has just stored, if it is the next one."""
        line, _, record = message.data.partition(b"\n")
        partition, sequence = (int(word) for word in line.split())
        with self._operations.timed("apply"):
            self.followers[partition].told(sequence, record)

    async def on_told(self, message: Msg) -> None:
        """Take what a gateway says about its feed."""
        with self._operations.timed("told"):
            self._feeds.told(*orjson.loads(message.data))
        self._pushing.set()

    async def on_read(self, message: Msg) -> None:
        """Answer a gateway's syncs (syncs.py): how far the mailboxes of those who ask reach."""
        with self._operations.timed("sync"):
            asked = orjson.loads(message.data)
            reached = [self._mailboxes[log.partition_of(user)].reach(user, after) for user, after in asked]
            await message.respond(orjson.dumps(reached))

    async def push(self) -> None:
        """Push what is due; the only task that does, so pushes leave in their order."""
        while True:
            await self._pushing.wait()
            self._pushing.clear()
            for gateway, payload in list(self._feeds.pushes()):
                try:
                    await self._bus.publish(f"push.{gateway}", payload)
                except Unavailable:
                    self._operations.retried("push")  # the gateway sees the gap and starts anew

    def _apply(self, partition: int, sequence: int, record: bytes) -> None:
        mailboxes = self._mailboxes[partition]
        before = mailboxes.duplicates
        items = mailboxes.apply(sequence, record)
        if mailboxes.duplicates > before and self.followers[partition].caught_up.is_set():
            # Not while the log is folded at the start: those were counted when they came.
            self._duplicated(mailboxes.duplicates - before)
        self.messages += len(items)
        self._feeds.arrived(items)
        self._pushing.set()

    def _hole(self, partition: int, after: int, to: int) -> None:
        self._node.log("hole in the log", partition=partition, after=after, to=to)

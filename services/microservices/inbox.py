"""`inbox`: keeps everybody's mailbox, folded from the log, and feeds the gateways.

The log is the truth. Each partition's entries are applied in log order, none skipped: those that a
`message` node tells of, when they are the next; all others are fetched from the log, at once where one is
missing and every half second in any case. A restart folds the whole log again before the node is ready;
sends go on meanwhile, only deliveries wait.

This node also makes the streams, and keeps each one's leadership with its preferred server, as Kafka's
preferred leader election does: after a fault it goes back once that server has been up to date for a while.
"""

import asyncio
import time

import orjson
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge
from pydantic import Field

from services.microservices import bus, log
from services.microservices.bus import Unavailable
from services.microservices.feed import Feeds
from services.microservices.mailbox import Item, Mailboxes
from services.microservices.metrics import Operations
from services.runtime import Node

FETCH_EVERY_S = 0.5
BALANCE_EVERY_S = 1.0
HOLE_AFTER_READS = 3


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
        await log.create(connection, replicas=min(3, len(config.log_servers)))
        async with asyncio.TaskGroup() as tasks:
            owned = [tasks.create_task(inbox.follow_log(p)) for p in range(log.PARTITIONS)]
            owned.append(tasks.create_task(inbox.push()))
            stop = tasks.create_task(node.stopping.wait())
            placed = tasks.create_task(inbox.place_leaders())
            caught_up = tasks.create_task(inbox.caught_up())
            await asyncio.wait({stop, caught_up}, return_when=asyncio.FIRST_COMPLETED)
            if caught_up.done():
                node.log("folded", seconds=round(time.monotonic() - began, 3), messages=inbox.messages)
                await connection.listen("inbox.stored", inbox.on_stored)
                await connection.listen("inbox.told", inbox.on_told)
                await asyncio.wait({stop, placed}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.done():
                node.ready()
                owned.append(tasks.create_task(inbox.keep_leaders()))
                await stop
            for task in [*owned, placed, caught_up]:
                task.cancel()


class Inbox:
    """The mailboxes of all partitions, and the feeds."""

    def __init__(self, node: Node, config: Config, connection: bus.Bus) -> None:
        self._node = node
        self._bus = connection
        self._leaders = log.preferred_leaders(config.log_servers)
        self._rebalance_after_s = config.rebalance_after_s
        self._mailboxes = [Mailboxes() for _ in range(log.PARTITIONS)]
        self._feeds = Feeds(self)
        self._fetch = [asyncio.Event() for _ in range(log.PARTITIONS)]
        self._folded = [asyncio.Event() for _ in range(log.PARTITIONS)]
        self._pushing = asyncio.Event()
        self._operations = Operations(node.registry, timed=["apply", "told"], retried=["fetch", "push"])
        self._fetched = Counter(
            "threegen_microservices_log_entries_fetched",
            "Entries read from the log.",
            registry=node.registry,
        ).inc
        self._duplicated = Counter(
            "threegen_messages_duplicated", "Messages sent again and suppressed.", registry=node.registry
        ).inc
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
        for folded in self._folded:
            await folded.wait()

    async def on_stored(self, message: Msg) -> None:
        """Apply an entry that a `message` node has just stored, if it is the next one."""
        line, _, record = message.data.partition(b"\n")
        partition, sequence = (int(word) for word in line.split())
        last = self._mailboxes[partition].last
        if sequence == last + 1 and record:
            with self._operations.timed("apply"):
                self._apply(partition, sequence, record)
        elif sequence > last:
            self._fetch[partition].set()

    async def on_told(self, message: Msg) -> None:
        """Take what a gateway says about its feed."""
        with self._operations.timed("told"):
            self._feeds.told(*orjson.loads(message.data))
        self._pushing.set()

    async def follow_log(self, partition: int) -> None:
        """Fetch what is missing of one partition, when it shows and every half second."""
        reader = log.Reader(self._bus, partition)
        await reader.open()
        wanted, mailboxes = self._fetch[partition], self._mailboxes[partition]
        holes = 0
        while True:
            wanted.clear()
            before = mailboxes.last
            try:
                entries, remaining = await reader.read(before)
            except Unavailable:
                self._operations.retried("fetch")
                await asyncio.sleep(log.RETRY_S)
                continue
            for sequence, record in entries:
                if sequence == mailboxes.last + 1 or (
                    sequence > mailboxes.last and holes >= HOLE_AFTER_READS
                ):
                    if sequence != mailboxes.last + 1:
                        self._node.log(
                            "hole in the log", partition=partition, after=mailboxes.last, to=sequence
                        )
                    holes = 0
                    self._fetched()
                    self._apply(partition, sequence, record)
            await asyncio.sleep(0)  # a long fold leaves the admin port and the bus their turns
            if entries and mailboxes.last == before:
                holes += 1
                continue
            if remaining:
                continue
            self._folded[partition].set()
            try:
                await asyncio.wait_for(wanted.wait(), FETCH_EVERY_S)
            except TimeoutError:
                continue

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

    async def place_leaders(self) -> None:
        """Ask each preferred leader to lead, and return when all do or ten seconds have passed."""
        for _ in range(100):
            try:
                placed = [
                    await log.lead_as_preferred(self._bus, name, server)
                    for name, server in self._leaders.items()
                ]
                if all(placed):
                    return
            except Unavailable:
                pass
            await asyncio.sleep(log.RETRY_S)

    async def keep_leaders(self) -> None:
        """Give leadership back to a preferred server that has been up to date for long enough."""
        seen_well: dict[str, float] = {}
        while True:
            await asyncio.sleep(BALANCE_EVERY_S)
            for name, server in self._leaders.items():
                try:
                    if await log.led_by(self._bus, name, server) is not False:
                        seen_well.pop(name, None)
                    elif (
                        time.monotonic() - seen_well.setdefault(name, time.monotonic())
                        >= self._rebalance_after_s
                    ):
                        await log.lead_as_preferred(self._bus, name, server)
                        self._node.log("leadership returned", stream=name, server=server)
                        seen_well.pop(name, None)
                except Unavailable:
                    seen_well.pop(name, None)

    def _apply(self, partition: int, sequence: int, record: bytes) -> None:
        mailboxes = self._mailboxes[partition]
        before = mailboxes.duplicates
        items = mailboxes.apply(sequence, record)
        if mailboxes.duplicates > before and self._folded[partition].is_set():
            # Not while the log is folded at the start: those were counted when they came.
            self._duplicated(mailboxes.duplicates - before)
        self.messages += len(items)
        self._feeds.arrived(items)
        self._pushing.set()

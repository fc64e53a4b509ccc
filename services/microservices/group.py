"""`group`: takes messages to groups, and copies each into the mailboxes of its members.

Asked on `group.send` as `message` is (message.py), but that an addressee is a group and the partition null.
A batch is appended to `groups` once, and then it is acknowledged: from there on nothing but time stands
between it and its addressees, whatever dies. The copying goes on behind (fan_out.py), in the log's order. How
far each partition has come is kept as one value in JetStream's key-value store, written once a second:
older than the truth, never newer.
"""

import asyncio
import contextlib
import functools
import secrets

import nats.errors
import nats.js.errors
import orjson
from nats.aio.msg import Msg
from nats.js.kv import KeyValue
from prometheus_client import Counter, Gauge
from pydantic import Field

from services.microservices import batches, bus, log
from services.microservices.fan_out import FanOut
from services.microservices.follower import Follower
from services.microservices.groups import Groups
from services.microservices.metrics import Operations, entries_fetched
from services.runtime import Node, People

CALL_TIMEOUT_S = 1.0
KEEP_EVERY_S = 1.0
KEY = "done"


class Config(bus.BusConfig):
    """Keys of a `group` node."""

    people: People
    log_servers: tuple[str, ...] = Field(min_length=1)
    """Names of the servers that hold the log."""
    longest_body: int = Field(default=65_536, gt=0)
    """Characters; a longer body is refused."""


async def serve(node: Node, config: Config) -> None:
    """Take batches and copy them until told to stop, then finish the batches under way."""
    groups = Groups(config.people)
    async with bus.connect(node, "group", config) as connection:
        replicas = min(3, len(config.log_servers))
        await log.create(connection, {log.GROUPS: log.GROUPS_SUBJECT}, replicas=replicas)
        store = await log.bucket(connection, log.FAN_OUT_BUCKET, replicas=replicas)
        service = GroupService(node, config, connection, groups, done=await kept(store))
        await service.reader.open()
        async with asyncio.TaskGroup() as tasks:

            async def on_send(message: Msg) -> None:
                tasks.create_task(service.send(message))

            owned = [tasks.create_task(fan_out.run()) for fan_out in service.fan_outs]
            owned.append(tasks.create_task(service.follower.run()))
            owned.append(tasks.create_task(service.keep(store)))
            subscription = await connection.listen("group.send", on_send, group="group")
            stop = tasks.create_task(node.stopping.wait())
            caught_up = tasks.create_task(service.follower.caught_up.wait())
            await asyncio.wait({stop, caught_up}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.done():
                node.ready()
                await stop
            with contextlib.suppress(nats.errors.Error):
                await subscription.drain()  # type: ignore[no-untyped-call]
            for task in [*owned, caught_up]:
                task.cancel()


class GroupService:
    """The batches under way, and what waits to be copied."""

    def __init__(
        self, node: Node, config: Config, connection: bus.Bus, groups: Groups, *, done: list[int]
    ) -> None:
        self._node = node
        self._config = config
        self._bus = connection
        self._groups = groups
        self._operations = Operations(
            node.registry, timed=["store_batch", "fan_out"], retried=["fan_out", "fetch"]
        )
        self._stored = Counter(
            "threegen_microservices_group_messages_stored",
            "Messages to groups appended to the log, those sent again among them.",
            registry=node.registry,
        ).inc
        copied = Counter(
            "threegen_microservices_group_copies_stored",
            "Messages to groups appended to the log for a member, those copied again among them.",
            registry=node.registry,
        ).inc
        incarnation = f"{node.name}-{secrets.token_hex(6)}"
        self.fan_outs = [
            FanOut(
                partition,
                incarnation,
                groups,
                done=done[partition],
                take_numbers=functools.partial(batches.take_numbers, connection, timeout_s=CALL_TIMEOUT_S),
                store=self._store,
                operations=self._operations,
                copied=copied,
            )
            for partition in range(log.PARTITIONS)
        ]
        waiting = Gauge(
            "threegen_microservices_fan_out_waiting",
            "Entries that some partition does not have yet, summed over the partitions.",
            registry=node.registry,
        )
        waiting.set_function(lambda: sum(fan_out.depth for fan_out in self.fan_outs))
        self.reader = log.Reader(connection, log.GROUPS)
        self.follower = Follower(
            self.reader,
            self._arrived,
            last=min(done),
            fetched=entries_fetched(node.registry),
            retried=functools.partial(self._operations.retried, "fetch"),
            hole=lambda after, to: node.log("hole in the log", after=after, to=to),
        )

    async def send(self, message: Msg) -> None:
        """Handle one batch and answer."""
        await batches.answer(self._node, self._bus, self._operations, message, self._send)

    async def keep(self, store: KeyValue) -> None:
        """Write down, for ever, how far each partition has come; what fails is made good by the next."""
        written: list[int] = []
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            done = [fan_out.done for fan_out in self.fan_outs]
            if done != written:
                with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                    await store.put(KEY, orjson.dumps(done))
                    written = done

    async def _send(self, request: bytes) -> batches.Refused:
        _, entry_id, timeout_ms, sends = orjson.loads(request)
        refused: batches.Refused = []
        taken = []
        for index, (sender, message_id, group, body) in enumerate(sends):
            reason = self._groups.refusal(sender, group)
            if reason is None and len(body) > self._config.longest_body:
                reason = "body too long"
            if reason is None:
                taken.append((sender, message_id, group, body))
            else:
                refused.append((index, reason))
        if taken:
            record = orjson.dumps(taken)
            stored = await log.append(
                self._bus, log.GROUPS_SUBJECT, record, entry_id=entry_id, timeout_s=timeout_ms / 1000
            )
            self.follower.told(stored.sequence, record)
            self._stored(len(taken))
        return refused

    def _arrived(self, sequence: int, record: bytes) -> None:
        for fan_out in self.fan_outs:
            fan_out.offer(sequence, record)

    async def _store(self, partition: int, entry_id: str, record: bytes) -> None:
        subject = log.subject(partition)
        stored = await log.append(self._bus, subject, record, entry_id=entry_id, timeout_s=CALL_TIMEOUT_S)
        with contextlib.suppress(bus.Unavailable):
            await batches.tell_stored(self._bus, partition, stored.sequence, record)


async def kept(store: KeyValue) -> list[int]:
    """How far each partition had come when that was last written down; waits until the log answers."""
    while True:
        try:
            entry = await store.get(KEY)
        except nats.js.errors.KeyNotFoundError:
            return [0] * log.PARTITIONS
        except (nats.errors.Error, OSError, TimeoutError):
            await asyncio.sleep(log.RETRY_S)
            continue
        done: list[int] = orjson.loads(entry.value or b"")
        return done

"""`message`: validates sends, numbers them, appends them to the log, and says so.

Asked on `message.send`, where any node answers, or `message.send.<node>`, with `[partition, entry id,
timeout in ms, sends]`, a send being `[sender, message id, addressee, body]`, all for one partition. Answers
`{"refused": [[index, reason] …]}`, which says that all others are stored, or `{"unavailable": reason}`: then
nothing is known, and the same batch under the same entry id is to be sent again, to whichever node answers.

What was stored is told to `inbox` at once on `inbox.stored`, in log order per partition as far as that
goes: `inbox` fetches what it missed from the log itself.
"""

import asyncio
import contextlib

import nats.errors
import orjson
from nats.aio.msg import Msg
from prometheus_client import Counter
from pydantic import Field

from services.microservices import batches, bus, log
from services.microservices.bus import Unavailable
from services.microservices.metrics import Operations
from services.microservices.peers import ANNOUNCE_S
from services.runtime import Node, People

NUMBERS_TIMEOUT_S = 0.5


class Config(bus.BusConfig):
    """Keys of a `message` node."""

    people: People
    longest_body: int = Field(default=65_536, gt=0)
    """Characters; a longer body is refused."""


async def serve(node: Node, config: Config) -> None:
    """Take batches until told to stop, then finish those under way."""
    async with bus.connect(node, "message", config) as connection, asyncio.TaskGroup() as tasks:
        service = MessageService(node, config, connection)

        async def on_send(message: Msg) -> None:
            tasks.create_task(service.send(message))

        subscriptions = [
            await connection.listen("message.send", on_send, group="message"),
            await connection.listen(f"message.send.{node.name}", on_send),
        ]
        announcing = tasks.create_task(service.announce())
        node.ready()
        await node.stopping.wait()
        announcing.cancel()
        with contextlib.suppress(nats.errors.Error):
            for subscription in subscriptions:
                await subscription.drain()  # type: ignore[no-untyped-call]


class MessageService:
    """Handles one batch at a time per task; holds no state between them."""

    def __init__(self, node: Node, config: Config, connection: bus.Bus) -> None:
        self._node = node
        self._config = config
        self._bus = connection
        self._operations = Operations(node.registry, timed=["store_batch"])
        self._stored = Counter(
            "threegen_microservices_messages_stored",
            "Messages appended to the log, those sent again among them.",
            registry=node.registry,
        ).inc

    async def announce(self) -> None:
        """Say, for ever, that this node lives."""
        while True:
            with contextlib.suppress(Unavailable):
                await self._bus.publish("message.alive", self._node.name.encode())
            await asyncio.sleep(ANNOUNCE_S)

    async def send(self, message: Msg) -> None:
        """Handle one batch and answer."""
        await batches.answer(self._node, self._bus, self._operations, message, self._send)

    async def _send(self, request: bytes) -> batches.Refused:
        partition, entry_id, timeout_ms, sends = orjson.loads(request)
        refused: batches.Refused = []
        taken = []
        for index, send in enumerate(sends):
            reason = self._refusal(send[2], send[3], partition)
            if reason is None:
                taken.append(send)
            else:
                refused.append((index, reason))
        if taken:
            await self._store(partition, entry_id, timeout_ms / 1000, taken)
        self._stored(len(taken))
        return refused

    async def _store(
        self, partition: int, entry_id: str, timeout_s: float, sends: list[tuple[str, str, str, str]]
    ) -> None:
        addressees = [addressee for _, _, addressee, _ in sends]
        numbers = await batches.take_numbers(self._bus, addressees, timeout_s=NUMBERS_TIMEOUT_S)
        record = orjson.dumps([[number, *send] for number, send in zip(numbers, sends, strict=True)])
        subject = log.subject(partition)
        stored = await log.append(self._bus, subject, record, entry_id=entry_id, timeout_s=timeout_s)
        # An entry stored before may hold other numbers than these: `inbox` is to read it in the log.
        told = b"" if stored.again else record
        await batches.tell_stored(self._bus, partition, stored.sequence, told)

    def _refusal(self, addressee: str, body: str, partition: int) -> str | None:
        if self._config.people.index(addressee) is None:
            return "unknown addressee"
        if len(body) > self._config.longest_body:
            return "body too long"
        if log.partition_of(addressee) != partition:
            raise ValueError(f"{addressee} is not of partition {partition}")
        return None

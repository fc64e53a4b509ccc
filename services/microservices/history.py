"""Fills the log of a generation that is up with history: numbered, appended and folded as any message is.

Each partition's messages are appended in large records, one after the other, so that numbers and positions
grow together; the partitions go on side by side. It ends once `inbox` has folded everything.
"""

import asyncio
import time
from collections.abc import Iterator

import orjson

from services.history import History, HistoryConfig, Message, Telling, write_positions
from services.microservices import batches, bus, log
from services.microservices.bus import Unavailable
from services.runtime import Node

RECORD_BYTES = 200_000
"""Roughly; with the longest body that is let through, still below what a server takes at once, 1 MiB."""
AROUND_BYTES = 100
"""What a message in a record takes beside its body."""
STORE_TIMEOUT_S = 5.0
RETRY_S = 0.05
PATIENCE_S = 60.0
"""So long the log, or the inbox, may stand still before this node gives up."""


class Config(HistoryConfig, bus.BusConfig):
    """Keys of a `microservices-history` node."""


async def serve(node: Node, config: Config) -> None:
    """Append everything and end; raises Unavailable where the log or the inbox stands still."""
    history = History(config)
    async with bus.connect(node, "history", config) as connection:
        filling = _Filling(node, config, connection, history)
        async with asyncio.TaskGroup() as tasks:
            for partition in range(log.PARTITIONS):
                tasks.create_task(filling.fill(partition))
        await filling.folded()
        sizes = [
            (await log.api(connection, f"STREAM.INFO.{log.stream(partition)}"))["state"]["bytes"]
            for partition in range(log.PARTITIONS)
        ]
        write_positions(config.positions_file, filling.positions)
        filling.telling.done(history.messages, sum(sizes))


class _Filling:
    """The work on one history; `positions` are where the last message of each person has come to stand."""

    def __init__(self, node: Node, config: Config, connection: bus.Bus, history: History) -> None:
        self.positions: dict[int, int] = {}
        self.telling = Telling(node)
        self._name = config.people.name
        self._run = config.run
        self._bus = connection
        self._history = history

    async def fill(self, partition: int) -> None:
        """Append all that the partition's people were sent."""
        for number, part in enumerate(self._parts(partition)):
            entry_id = f"history {self._run:x} {partition} {number}"
            sequence = await self._append(partition, part, entry_id)
            for index, message in enumerate(part):
                self.positions[message.addressee] = log.position_of(sequence, index)
            self.telling.stored(len(part))

    async def folded(self) -> None:
        """Return once the inbox has everybody's last message."""
        waiting = {self._name(person): position for person, position in self.positions.items()}
        deadline = time.monotonic() + PATIENCE_S
        while waiting:
            asked = [[user, 0] for user in waiting]
            try:
                answer = await self._bus.call("inbox.read", orjson.dumps(asked), timeout_s=STORE_TIMEOUT_S)
            except Unavailable:
                reached = [0] * len(asked)
            else:
                reached = orjson.loads(answer)
            left = {
                user: position
                for (user, position), at in zip(waiting.items(), reached, strict=True)
                if at < position
            }
            if len(left) < len(waiting):
                deadline = time.monotonic() + PATIENCE_S
            elif time.monotonic() > deadline:
                raise Unavailable(f"inbox has not folded the history of {len(left)} people")
            waiting = left
            await asyncio.sleep(RETRY_S)

    def _parts(self, partition: int) -> Iterator[list[Message]]:
        """The partition's messages, as many together as one record holds."""
        part: list[Message] = []
        size_bytes = 0
        for message in self._history.in_order():
            if log.partition_of(self._name(message.addressee)) != partition:
                continue
            part.append(message)
            size_bytes += len(message.body) + AROUND_BYTES
            if size_bytes >= RECORD_BYTES:
                yield part
                part, size_bytes = [], 0
        if part:
            yield part

    async def _append(self, partition: int, part: list[Message], entry_id: str) -> int:
        """Number and append one record, again under the same id where nothing is known; its sequence."""
        addressees = [self._name(message.addressee) for message in part]
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                numbers = await batches.take_numbers(self._bus, addressees, timeout_s=STORE_TIMEOUT_S)
                record = orjson.dumps(
                    [
                        [number, self._name(message.sender), message.message_id, addressee, message.body]
                        for number, message, addressee in zip(numbers, part, addressees, strict=True)
                    ]
                )
                stored = await log.append(
                    self._bus,
                    log.subject(partition),
                    record,
                    entry_id=entry_id,
                    timeout_s=STORE_TIMEOUT_S,
                )
                return stored.sequence
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(RETRY_S)

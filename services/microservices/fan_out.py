"""Copying messages to groups from `groups` into one partition of the log, for its members there.

Entries are copied in their order, and `done` moves past one only when all its copies are stored. Nothing
else is kept: where the node dies, the next one begins behind what was last known to be done and may copy
some of it again, under other entry ids; mailboxes leave out what they have (mailbox.py). What cannot be
copied now is tried until it can be, for it is acknowledged: the partitions do not wait for each other.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import orjson

from services.microservices.allocation import STEP
from services.microservices.bus import Unavailable
from services.microservices.groups import Groups
from services.microservices.log import RETRY_S
from services.microservices.metrics import Operations

GATHERED_ENTRIES = 16
PART_COPIES = STEP // 2
"""More numbers could not always be had in one call."""
PART_BYTES = 256 * 1024

T = TypeVar("T")
TakeNumbers = Callable[[list[str]], Awaitable[list[int]]]
"""The next number of each user named, in turn; raises Unavailable."""
Store = Callable[[int, str, bytes], Awaitable[None]]
"""Append a record to a partition under an entry id; may be called again; raises Unavailable."""


class Copies(NamedTuple):
    """One message and those of the partition to whom it goes; at least one."""

    sender: str
    message_id: str
    group: str
    body: str
    addressees: list[str]


class FanOut:
    """One partition's copying, from behind entry `done` of `groups` on."""

    def __init__(
        self,
        partition: int,
        name: str,
        groups: Groups,
        *,
        done: int,
        take_numbers: TakeNumbers,
        store: Store,
        operations: Operations,
        copied: Callable[[int], None],
    ) -> None:
        self.done = done
        """Sequence of the last entry that is in the partition wholly."""
        self._partition = partition
        self._name = name
        self._groups = groups
        self._take_numbers = take_numbers
        self._store = store
        self._operations = operations
        self._copied = copied
        self._parts = 0
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._wakeup = asyncio.Event()

    @property
    def depth(self) -> int:
        """How many entries wait to be copied."""
        return len(self._waiting)

    def offer(self, sequence: int, record: bytes) -> None:
        """Take the next entry of `groups`; one that is done already is let go."""
        if sequence > self.done:
            self._waiting.append((sequence, record))
            self._wakeup.set()

    async def run(self) -> None:
        """Copy for ever."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self._waiting:
                gathered = [self._waiting.popleft() for _ in range(min(GATHERED_ENTRIES, len(self._waiting)))]
                for part in parts(self._copies(record for _, record in gathered)):
                    with self._operations.timed("fan_out"):
                        await self._copy(part)
                self.done = gathered[-1][0]

    def _copies(self, records: Iterable[bytes]) -> Iterator[Copies]:
        for record in records:
            for sender, message_id, group, body in orjson.loads(record):
                addressees = self._groups.addressees(group, sender, self._partition)
                if addressees:
                    yield Copies(sender, message_id, group, body, addressees)

    async def _copy(self, part: list[Copies]) -> None:
        users = [user for copies in part for user in copies.addressees]
        numbers = iter(await self._insist(lambda: self._take_numbers(users)))
        record = orjson.dumps(
            [
                (
                    [next(numbers) for _ in one.addressees],
                    one.sender,
                    one.message_id,
                    one.addressees,
                    one.body,
                    one.group,
                )
                for one in part
            ]
        )
        self._parts += 1
        entry_id = f"{self._name}.{self._partition}.{self._parts}"
        await self._insist(lambda: self._store(self._partition, entry_id, record))
        self._copied(len(users))

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except Unavailable:
                self._operations.retried("fan_out")
                await asyncio.sleep(RETRY_S)


def parts(copies: Iterable[Copies]) -> Iterator[list[Copies]]:
    """The copies in turn, in parts that each fit into one record; a part has one message at least."""
    part: list[Copies] = []
    count = size = 0
    for one in copies:
        adds = len(one.body.encode())
        if part and (count + len(one.addressees) > PART_COPIES or size + adds > PART_BYTES):
            yield part
            part, count, size = [], 0, 0
        part.append(one)
        count += len(one.addressees)
        size += adds
    if part:
        yield part

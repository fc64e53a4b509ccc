"""Many sends, one commit: the writer of one shard on one api node.

Sends wait in the order they came; one transaction at a time takes as many as there are, so the more
there are the less each costs. A transaction is one round trip of four sentences:

  1. raise the sequence number of each addressee by as many as they get, in the order of their row
     numbers: the row locks, held to the end of the commit, order commits to one inbox by number, and
     the one order for all keeps two api nodes from locking each other out;
  2. insert the messages, leaving out those whose (addressee, sender, message id) is there already;
  3. commit: the primary waits for its replica (server.py);
  4. `DO 1`: only a connection that nobody has killed gets this far. A commit answered with success on a
     killed connection may be on one disk only; it counts as not answered.

When the outcome is not known the same sends are written again, to whoever is primary then: those that
are there already stay as they are, and their numbers stay gaps.

A send that waits longer than `hold_s` is answered 503 and stays in line all the same, so that a
conversation keeps its order when it is sent again.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from services.sharded.database import Contended, Database, Unavailable, quoted
from services.sharded.http import Exchange
from services.sharded.routing import Account, Primary
from services.sharded.schema import DATABASE, EPOCH_SHIFT

LARGEST_BATCH = 256
LARGEST_BATCH_BYTES = 4 << 20
LONGEST_LINE = 50_000
RETRY_S = 0.05
TICK_S = 0.1
OK = b"{}"
HELD = b'{"error":"no primary answers"}'


class Letter(NamedTuple):
    """A message as it is stored. Persons are row numbers."""

    person: int
    sender: int
    message_id: str
    body: str


Key = tuple[int, int, str]


class _Waiting:
    __slots__ = ("exchanges", "letter", "since")

    def __init__(self, letter: Letter, exchange: Exchange, now: float) -> None:
        self.letter = letter
        self.exchanges = [exchange]
        self.since = now


def transaction(letters: Sequence[Letter], epoch: int) -> str:
    """The sentences that store `letters` in order; numbers begin above epoch × 2^32."""
    left: dict[int, int] = {}
    for letter in letters:
        left[letter.person] = left.get(letter.person, 0) + 1
    bumps = ",".join(f"({person},{left[person]})" for person in sorted(left))
    rows = []
    for letter in letters:
        person = letter.person
        left[person] -= 1
        rows.append(
            f"({person},(SELECT last-{left[person]} FROM sequences WHERE person={person}),"
            f"{letter.sender},{quoted(letter.message_id)},{quoted(letter.body)})"
        )
    return (
        f"INSERT INTO sequences (person,last) VALUES {bumps}"
        f" ON DUPLICATE KEY UPDATE last=GREATEST(last,{epoch << EPOCH_SHIFT})+VALUES(last);"
        f"INSERT IGNORE INTO inbox (person,seq,sender,message_id,body) VALUES {','.join(rows)};"
        "COMMIT;DO 1"
    )


async def open_for_writing(primary: Primary, account: Account) -> Database:
    """A connection to `primary` with transactions, once it stands in its epoch; raises Unavailable."""
    database = await Database.connect(primary, account)
    try:
        results = await database.run(
            f"USE {DATABASE}; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET autocommit=0;"
            "SELECT epoch, @@read_only FROM term; COMMIT",
            timeout_s=2.0,
        )
        epoch, read_only = results[3].rows[0]
        if epoch != primary.epoch or read_only:
            raise Unavailable(f"{primary.node} is not yet, or no longer, primary in epoch {primary.epoch}")
    except BaseException:
        database.close()
        raise
    return database


class Writer:
    """The line of sends for one shard. Run `run`; `stored` gets the row numbers of whom each commit was for.

    `measured` gets each commit's size and seconds, `suppressed` how many messages turned out to be in line
    or stored already, `answered` each answer's status, and `troubled` the reason when a primary that was
    written to no longer takes it.
    """

    def __init__(
        self,
        account: Account,
        *,
        hold_s: float,
        stored: Callable[[Sequence[int]], None],
        measured: Callable[[int, float], None],
        suppressed: Callable[[int], None],
        answered: Callable[[int], None],
        troubled: Callable[[str], None],
    ) -> None:
        self._account = account
        self._hold_s = hold_s
        self._stored = stored
        self._measured = measured
        self._suppressed = suppressed
        self._answered = answered
        self._troubled = troubled
        self._line: dict[Key, _Waiting] = {}
        self._overdue = 0
        self._some = asyncio.Event()
        self._mapped = asyncio.Event()
        self._primary: Primary | None = None
        self._database: Database | None = None

    @property
    def waiting(self) -> int:
        """Sends in line."""
        return len(self._line)

    @property
    def connected(self) -> bool:
        """Whether it holds a connection that can write."""
        return self._database is not None

    def submit(self, letter: Letter, exchange: Exchange) -> None:
        """Put a send in line; `exchange` is answered 200 once it is stored, 503 when that takes too long."""
        key = (letter.person, letter.sender, letter.message_id)
        known = self._line.get(key)
        if known is not None:  # sent again while the first is still in line
            if not known.exchanges:
                known.since = time.monotonic()
            known.exchanges.append(exchange)
            self._suppressed(1)
        elif len(self._line) >= LONGEST_LINE:
            self._answer(exchange, 503, HELD)
        else:
            self._line[key] = _Waiting(letter, exchange, time.monotonic())
            self._some.set()

    def follow(self, primary: Primary) -> None:
        """Write to `primary` from now on; a transaction under way elsewhere is broken off and done again."""
        if primary != self._primary:
            self._primary = primary
            self._drop()
            self._mapped.set()

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write())
            tasks.create_task(self._hurry())

    async def _write(self) -> None:
        await self._mapped.wait()
        try:
            while True:
                try:
                    if self._database is None:
                        assert self._primary is not None
                        primary = self._primary
                        database = await open_for_writing(primary, self._account)
                        if primary != self._primary:
                            database.close()
                            continue
                        self._database, epoch = database, primary.epoch
                    if not self._line:
                        self._some.clear()
                        await self._some.wait()
                        continue
                    await self._commit(self._database, epoch)
                except Contended:
                    await self._rolled_back()
                except Unavailable as error:
                    if self._database is not None:  # the first of this trouble
                        self._troubled(str(error))
                    self._drop()
                    await asyncio.sleep(RETRY_S)
        finally:
            self._drop()

    async def _commit(self, database: Database, epoch: int) -> None:
        batch: list[Letter] = []
        size = 0
        for waiting in itertools.islice(self._line.values(), LARGEST_BATCH):
            size += len(waiting.letter.body)
            if batch and size > LARGEST_BATCH_BYTES:
                break
            batch.append(waiting.letter)
        began = time.monotonic()
        _, inserted, _, _ = await database.run(transaction(batch, epoch))
        self._measured(len(batch), time.monotonic() - began)
        if inserted.affected < len(batch):
            self._suppressed(len(batch) - inserted.affected)
        for letter in batch:
            waiting = self._line.pop((letter.person, letter.sender, letter.message_id))
            for exchange in waiting.exchanges:
                self._answer(exchange, 200, OK)
        self._stored([letter.person for letter in batch])

    async def _rolled_back(self) -> None:
        if self._database is not None:
            try:
                await self._database.run("ROLLBACK", timeout_s=1.0)
            except (Unavailable, Contended):
                self._drop()

    async def _hurry(self) -> None:
        """Answer 503 to those who have waited too long."""
        while True:
            await asyncio.sleep(TICK_S)
            oldest = time.monotonic() - self._hold_s
            for waiting in self._line.values():
                if waiting.exchanges and waiting.since <= oldest:
                    for exchange in waiting.exchanges:
                        self._answer(exchange, 503, HELD)
                    waiting.exchanges = []

    def _answer(self, exchange: Exchange, status: int, body: bytes) -> None:
        self._answered(status)
        exchange.answer(status, body)

    def _drop(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

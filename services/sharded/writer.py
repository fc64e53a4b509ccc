"""Many entries, one commit: the writer of one shard on one api node.

Entries wait in the order they came; one transaction at a time (batch.py) takes as many as there are, so
the more there are the less each costs.

When the outcome is not known the same entries are written again, to whoever is primary then: those that
are there already stay as they are, and their numbers stay gaps.

An entry that waits longer than `hold_s` is answered 503 and stays in line all the same, so that a
conversation keeps its order when it is sent again.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence

from services.sharded.batch import Entry, Key, transaction
from services.sharded.database import Contended, Database, Unavailable
from services.sharded.routing import Account, Primary
from services.sharded.schema import DATABASE

LARGEST_BATCH = 256
LARGEST_BATCH_BYTES = 4 << 20
LONGEST_LINE = 50_000
RETRY_S = 0.05
TICK_S = 0.1
OK = b"{}"
HELD = b'{"error":"no primary answers"}'


Answer = Callable[[int, bytes], None]
"""Takes an entry's status and JSON body, once: 200 stored, 503 not stored yet."""


class _Waiting:
    __slots__ = ("answers", "entry", "since")

    def __init__(self, entry: Entry, answer: Answer, now: float) -> None:
        self.entry = entry
        self.answers = [answer]
        self.since = now


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
    """The line of one shard. Run `run`; `stored` gets what each commit stored.

    `measured` gets each commit's size and seconds, `suppressed` how many messages turned out to be in line
    or stored already, and `troubled` the reason when a primary that was written to no longer takes it.
    """

    def __init__(
        self,
        account: Account,
        *,
        hold_s: float,
        stored: Callable[[Sequence[Entry]], None],
        measured: Callable[[int, float], None],
        suppressed: Callable[[int], None],
        troubled: Callable[[str], None],
    ) -> None:
        self._account = account
        self._hold_s = hold_s
        self._stored = stored
        self._measured = measured
        self._suppressed = suppressed
        self._troubled = troubled
        self._line: dict[Key, _Waiting] = {}
        self._overdue = 0
        self._some = asyncio.Event()
        self._mapped = asyncio.Event()
        self._primary: Primary | None = None
        self._database: Database | None = None

    @property
    def waiting(self) -> int:
        """Entries in line."""
        return len(self._line)

    @property
    def connected(self) -> bool:
        """Whether it holds a connection that can write."""
        return self._database is not None

    def submit(self, entry: Entry, answer: Answer) -> None:
        """Put an entry in line; answered 200 once it is stored, 503 when that takes too long."""
        key = entry.key
        known = self._line.get(key)
        if known is not None:  # sent again while the first is still in line
            if not known.answers:
                known.since = time.monotonic()
            known.answers.append(answer)
            self._suppressed(1)
        elif len(self._line) >= LONGEST_LINE:
            answer(503, HELD)
        else:
            self._line[key] = _Waiting(entry, answer, time.monotonic())
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
        batch: list[Entry] = []
        size = 0
        for waiting in itertools.islice(self._line.values(), LARGEST_BATCH):
            size += len(waiting.entry.body)
            if batch and size > LARGEST_BATCH_BYTES:
                break
            batch.append(waiting.entry)
        began = time.monotonic()
        storing = transaction(batch, epoch)
        results = await database.run(storing.sql)
        self._measured(len(batch), time.monotonic() - began)
        if suppressed := storing.suppressed(results):
            self._suppressed(suppressed)
        for entry in batch:
            for answer in self._line.pop(entry.key).answers:
                answer(200, OK)
        self._stored(batch)

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
                if waiting.answers and waiting.since <= oldest:
                    answers, waiting.answers = waiting.answers, []
                    for answer in answers:
                        answer(503, HELD)

    def _drop(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

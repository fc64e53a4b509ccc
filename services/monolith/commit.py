"""Group commit: whatever gathers while one flush runs shares the next.

One thread of its own writes and flushes; the event loop never waits for the disk. What is submitted
is reported as durable in the order of submission, a whole batch at a time.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from services.monolith.journal import Journal
from services.monolith.metrics import Metrics
from services.monolith.records import Delivered, Record, encode, encode_all
from services.monolith.state import State

NOTE_DELAY_S = 0.02

T = TypeVar("T")
Job = Callable[[], Callable[[], None]]
"""Runs in the writer's thread; what it returns runs on the event loop."""


class GroupCommit(Generic[T]):
    """The writing side of the journal. `entries` given to `submit` come back through `on_durable`.

    After a failed write or flush nothing is known of what reached the disk, so nothing is
    acknowledged any more: `failed` is done, and the node must end.
    """

    def __init__(
        self,
        journal: Journal,
        state: State,
        metrics: Metrics,
        *,
        snapshot_every_bytes: int,
        on_durable: Callable[[list[T]], None],
    ) -> None:
        self._journal = journal
        self._state = state
        self._metrics = metrics
        self._snapshot_every_bytes = snapshot_every_bytes
        self._on_durable = on_durable
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self._records: list[bytes] = []
        self._entries: list[T] = []
        self._delivered: list[int] = []
        self._note_timer: asyncio.TimerHandle | None = None
        self._scheduled = False
        self._busy = False
        self._snapshotting = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._snapshot_thread: threading.Thread | None = None
        self._thread = threading.Thread(target=self._write_jobs, name="journal", daemon=True)
        self._thread.start()

    def submit(self, entry: T, record: Record | None) -> None:
        """Have `entry` reported once `record`, and all submitted before it, is durable."""
        if record is not None:
            self._records.append(encode(record))
        self._entries.append(entry)
        self._idle.clear()
        if not self._busy and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._start)  # after the rest of what has arrived with it

    def note_delivered(self, number: int) -> None:
        """Write down, soon, that message `number` arrived; losing this only delivers it again."""
        self._state.undelivered.pop(number, None)
        self._delivered.append(number)
        self._set_note_timer()

    async def flushed(self) -> None:
        """Return once everything submitted so far was reported, or the disk failed."""
        idle = asyncio.create_task(self._idle.wait())
        waits: set[asyncio.Future[Any]] = {idle, self.failed}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()

    async def close(self) -> None:
        """Make everything submitted durable, report it, and close the journal."""
        await self.flushed()
        if self._note_timer is not None:
            self._note_timer.cancel()
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        if self._snapshot_thread is not None:
            await asyncio.to_thread(self._snapshot_thread.join)
        if not self.failed.done():
            await asyncio.to_thread(self._finish)

    def _finish(self) -> None:
        if self._delivered:
            self._journal.write(encode(Delivered(tuple(self._delivered))))
        self._journal.close()

    def _set_note_timer(self) -> None:
        if self._note_timer is None:
            self._note_timer = self._loop.call_later(NOTE_DELAY_S, self._write_notes)

    def _write_notes(self) -> None:
        self._note_timer = None
        if not self._delivered:  # they went with a batch
            return
        if self._busy:
            self._set_note_timer()
        else:
            self._start()

    def _start(self) -> None:
        self._scheduled = False
        if self._busy or self.failed.done():
            return
        entries, records = self._entries, self._records
        self._entries, self._records = [], []
        must_sync = bool(records)
        if self._delivered:
            records.append(encode(Delivered(tuple(self._delivered))))
            self._delivered = []
        self._busy = True
        self._idle.clear()
        if not records:
            self._done(entries)
            return
        data = b"".join(records)
        journal = self._journal

        def job() -> Callable[[], None]:
            begun = time.perf_counter()
            journal.write(data)
            if must_sync:
                journal.sync()
            took_s = time.perf_counter() - begun
            return lambda: self._written(entries, len(data), took_s if must_sync else None)

        self._jobs.put(job)

    def _written(self, entries: list[T], size_bytes: int, sync_s: float | None) -> None:
        self._metrics.journal_bytes += size_bytes
        if sync_s is not None:
            self._metrics.sync_seconds.observe(sync_s)
        self._done(entries)

    def _done(self, entries: list[T]) -> None:
        if entries:
            self._on_durable(entries)
        self._busy = False
        if 0 < self._snapshot_every_bytes <= self._journal.size_bytes and not self._snapshotting:
            self._begin_snapshot()
        elif self._entries:
            self._start()
        else:
            self._idle.set()

    def _begin_snapshot(self) -> None:
        """Go on in a new journal, then write what is known now beside it.

        Nothing is being written at this moment, and what is submitted but not written is in neither
        the state nor the old journal: it goes to the new one.
        """
        data = encode_all(self._state.records())
        journal = self._journal
        self._busy = self._snapshotting = True

        def rotate() -> Callable[[], None]:
            following = journal.rotate()
            return lambda: self._rotated(following, data)

        self._jobs.put(rotate)

    def _rotated(self, journal: Journal, snapshot: bytes) -> None:
        self._journal = journal
        self._snapshot_thread = threading.Thread(
            target=self._run, args=(lambda: self._keep(journal, snapshot),), name="snapshot", daemon=True
        )
        self._snapshot_thread.start()
        self._done([])

    def _keep(self, journal: Journal, snapshot: bytes) -> Callable[[], None]:
        journal.keep_snapshot(snapshot)
        return self._kept

    def _kept(self) -> None:
        self._snapshotting = False
        self._metrics.snapshots += 1

    def _write_jobs(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._run(job)

    def _run(self, job: Job) -> None:
        try:
            after = job()
        except OSError as error:
            broken = error
            after = lambda: self._fail(broken)  # noqa: E731
        self._loop.call_soon_threadsafe(after)

    def _fail(self, error: OSError) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

"""One section's lease and ceiling, kept as one value in JetStream's key-value store (three replicas).

The value is `{"ceiling", "node", "incarnation", "until_unix_ms"}` under the section's number. It is only
ever written by compare-and-set on its revision, so of two that want it one loses and knows. The holder
counts its time from *before* it asked, on its own clock, and gives nothing out past it; another node waits
until the term written down is over. A node of the holder's own name need not wait: its predecessor is dead.
Even two who both believe that they hold it never give the same number, since each starts above the ceiling.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import nats.errors
import nats.js.errors
import orjson
from nats.js.kv import KeyValue

from services.microservices.allocation import STEP, Section


class NotHeld(Exception):
    """The lease is another's, or could not be renewed; says why."""


@dataclass(frozen=True, slots=True)
class _Kept:
    ceiling: int
    node: str
    incarnation: str
    until_unix_ms: int
    revision: int


class SectionLease:
    """This node's hold, or want of hold, on one section."""

    def __init__(
        self,
        store: KeyValue,
        section: int,
        *,
        node: str,
        incarnation: str,
        lease_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._key = f"section.{section}"
        self._node = node
        self._incarnation = incarnation
        self._lease_s = lease_s
        self._monotonic = monotonic
        self._unix = unix
        self._revision: int | None = None
        self._until = 0.0
        self._section: Section | None = None

    def current(self) -> Section | None:
        """The section's numbers while the lease runs, else None."""
        return self._section if self._monotonic() < self._until else None

    async def renew(self) -> None:
        """Take the lease or prolong it, persisting a higher ceiling where one is wanted; raises NotHeld."""
        try:
            await self._renew()
        except (nats.js.errors.KeyWrongLastSequenceError, NotHeld) as error:
            self._forget()
            raise NotHeld(str(error)) from error
        except (nats.errors.Error, OSError, TimeoutError) as error:
            # Whether it was written is unknown, so the revision is; the running term is not touched.
            self._revision = None
            raise NotHeld(f"{type(error).__name__}: {error}") from error

    async def _renew(self) -> None:
        began = self._monotonic()
        if self._revision is None:
            kept = await self._read()
            if kept is not None and kept.incarnation != self._incarnation:
                self._section = None
                left_s = kept.until_unix_ms / 1000 - self._unix()
                if kept.node != self._node and left_s > 0:
                    raise NotHeld(f"held by {kept.node} for {left_s:.1f} s more")
            self._revision = kept.revision if kept is not None else 0
            floor = kept.ceiling if kept is not None else 0
        else:
            floor = 0
        section = self._section
        ceiling = floor + STEP if section is None else max(floor, section.wanted_ceiling())
        value = orjson.dumps(
            {
                "ceiling": ceiling,
                "node": self._node,
                "incarnation": self._incarnation,
                "until_unix_ms": int((self._unix() + self._lease_s) * 1000),
            }
        )
        self._revision = await self._store.update(self._key, value, last=self._revision)
        if section is None:
            section = Section(floor)
        section.raise_to(ceiling)
        self._section = section
        self._until = began + self._lease_s

    async def _read(self) -> _Kept | None:
        try:
            entry = await self._store.get(self._key)
        except nats.js.errors.KeyNotFoundError:
            return None
        value = orjson.loads(entry.value or b"{}")
        return _Kept(revision=entry.revision or 0, **value)

    def _forget(self) -> None:
        self._revision = None
        self._section = None
        self._until = 0.0

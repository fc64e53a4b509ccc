"""Draws made before they are wanted, a piece at a time: a chunk at once would hold up what is due.

A chunk takes about a millisecond, and at 20,000 a second one is wanted every tenth of a second.
"""

from collections import deque
from collections.abc import Iterator

import gevent
from gevent.event import Event

from bench.load.population import Draws

CHUNKS = 2
BETWEEN_PIECES_S = 0.0005


class Ahead(Iterator[Draws]):
    """The chunks of `pieces`, None between whose pieces. `run` keeps CHUNKS ready; else they are made now."""

    def __init__(self, pieces: Iterator[Draws | None]) -> None:
        self._pieces = pieces
        self._ready: deque[Draws] = deque()
        self._taken = Event()

    def __next__(self) -> Draws:
        while not self._ready:
            self._step()
        self._taken.set()
        return self._ready.popleft()

    def run(self) -> None:
        """Keep ahead, for ever."""
        while True:
            while len(self._ready) < CHUNKS:
                self._step()
                gevent.sleep(BETWEEN_PIECES_S)
            self._taken.clear()
            self._taken.wait()

    def _step(self) -> None:
        more = next(self._pieces)
        if more is not None:
            self._ready.append(more)

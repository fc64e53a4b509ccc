"""Draws made before they are wanted, a piece at a time: a chunk at once would hold up what is due.

A chunk takes one to two milliseconds, and at 20,000 a second one is wanted every fifth of a second.
"""

from collections import deque
from collections.abc import Iterator

import gevent

from bench.load.population import Draws

CHUNKS = 2
BETWEEN_PIECES_S = 0.0005
LOOK_AGAIN_S = 0.01


class Ahead(Iterator[Draws]):
    """The chunks of `pieces`, None between whose pieces. `run` keeps CHUNKS ready; else they are made now."""

    def __init__(self, pieces: Iterator[Draws | None]) -> None:
        self._pieces = pieces
        self._ready: deque[Draws] = deque()

    def __next__(self) -> Draws:
        while not self._ready:
            self._step()
        return self._ready.popleft()

    def run(self) -> None:
        """Keep ahead, for ever."""
        while True:
            if len(self._ready) < CHUNKS:
                self._step()
                gevent.sleep(BETWEEN_PIECES_S)
            else:
                gevent.sleep(LOOK_AGAIN_S)

    def _step(self) -> None:
        more = next(self._pieces)
        if more is not None:
            self._ready.append(more)

"""What is asked, by whom, of whom: endless, from a seed.

The people of a load process write to people of the same one wherever they know one there, and in groups
that lie within it wherever they are in one: their deliveries then need one clock. So the draws depend on
how many load processes there are; the people do not.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.load.population.bodies import STOCK
from bench.load.population.circles import Circles, Pieces, at_once
from bench.load.population.people import Population, share
from bench.load.population.ties import Longs, Ties, ties_of
from bench.plan import Plan
from bench.records import OPERATIONS

DRAWS = 4_096
"""A chunk. Of twice as many a piece of the work is too long; of half as many a draw takes twice as long."""
AHEAD = 32
"""How many draws of one person are made at once, where people ask by turns of their own."""
SHOWN_STATES = 3
"""What a person can show: the states of bench.load.dispatcher.SHOWN."""
SEND, GROUP_SEND, PRESENCE = (OPERATIONS.index(name) for name in ("send", "group_send", "presence"))


class Draws(NamedTuple):
    """One chunk of what is asked, four lists of one length.

    `operations` and `senders` go by number; `targets` are the addressee of a send, the group of a group
    send, what is shown by a presence, and 0 where there is none; `bodies` are indices of the stock.
    """

    operations: list[int]
    senders: list[int]
    targets: list[int]
    bodies: list[int]


def draws(
    population: Population, plan: Plan, seed: int, *, worker: int = 0, workers: int = 1
) -> Iterator[Draws]:
    """What the people of one load process ask for, in chunks of DRAWS; each asks as often as the next."""
    pieces = draws_in_pieces(population, plan, seed, worker=worker, workers=workers)
    return (chunk for chunk in pieces if chunk is not None)


def draws_in_pieces(
    population: Population, plan: Plan, seed: int, *, worker: int = 0, workers: int = 1
) -> Iterator[Draws | None]:
    """The same; None between the pieces of a chunk's work, where others may run."""
    drawing = _Drawing(population, plan, seed, worker, workers)
    own = drawing.own
    while True:
        senders = drawing.source.integers(own.start, own.stop, DRAWS)
        operations, targets, bodies = yield from drawing.draw_in_pieces(senders)
        yield Draws(operations.tolist(), senders.tolist(), targets.tolist(), bodies.tolist())


def draws_of(
    population: Population, plan: Plan, seed: int, *, worker: int = 0, workers: int = 1
) -> Callable[[int], tuple[int, int, int]]:
    """As `draws`, for people who ask by turns of their own: next (operation, target, body) of a sender."""
    drawing = _Drawing(population, plan, seed, worker, workers)
    ahead: list[deque[tuple[int, int, int]]] = [deque() for _ in drawing.own]

    def draw_of(sender: int) -> tuple[int, int, int]:
        waiting = ahead[sender - drawing.own.start]
        if not waiting:
            drawn = drawing.draw(np.full(AHEAD, sender))
            waiting.extend(zip(*(part.tolist() for part in drawn), strict=True))
        return waiting.popleft()

    return draw_of


def crossing(population: Population, plan: Plan, seed: int, workers: int, samples: int = 65_536) -> float:
    """The share of messages that reach somebody of another load process, from so many draws.

    0 where the mix has no messages. A group message crosses where one member is elsewhere.
    """
    crossed = messages = 0
    for worker in range(workers):
        drawing = _Drawing(population, plan, seed, worker, workers)
        own = drawing.own
        senders = drawing.source.integers(own.start, own.stop, samples // workers)
        operations, targets, _ = drawing.draw(senders)
        sends, in_groups = operations == SEND, operations == GROUP_SEND
        messages += int(sends.sum() + in_groups.sum())
        crossed += int(np.count_nonzero(sends & ((targets < own.start) | (targets >= own.stop))))
        crossed += int(np.count_nonzero(~drawing.lies_within[targets[in_groups]]))
    return crossed / messages if messages else 0.0


class _Drawing:
    def __init__(self, population: Population, plan: Plan, seed: int, worker: int, workers: int) -> None:
        self.source = np.random.default_rng([seed, 3, worker])
        self.own = own = share(plan.clients, worker, workers)
        self._circles = Circles(population.contacts, plan.contacts, own, plan.seed)
        self.lies_within = np.array(
            [group[0] >= own.start and group[-1] < own.stop for group in population.groups], dtype=np.bool_
        )
        self._groups = _groups_by_person(population.groups, plan.clients)
        if workers > 1:
            self._groups = self._groups.kept(self.lies_within[self._groups.others])
        asked = [number for number, name in enumerate(OPERATIONS) if plan.mix.get(name)]
        self._operations = np.array(asked)
        self._until = np.cumsum([plan.mix[OPERATIONS[number]] for number in asked])[:-1]

    def draw(self, senders: Longs) -> tuple[Longs, Longs, Longs]:
        """Operations, targets and bodies for these senders."""
        return at_once(self.draw_in_pieces(senders))

    def draw_in_pieces(self, senders: Longs) -> Pieces[tuple[Longs, Longs, Longs]]:
        """The same, in pieces."""
        many, source = len(senders), self.source
        if len(self._operations) == 1:
            operations = np.full(many, self._operations[0])
        else:
            operations = self._operations[np.searchsorted(self._until, source.random(many), side="right")]
        targets = np.zeros(many, dtype=np.int64)
        sends = np.flatnonzero(operations == SEND)
        targets[sends], _ = yield from self._circles.partners_in_pieces(senders[sends], source)
        in_groups = np.flatnonzero(operations == GROUP_SEND)
        if len(in_groups):
            targets[in_groups] = self._groups.pick(senders[in_groups], source.random(len(in_groups)))
        shows = np.flatnonzero(operations == PRESENCE)
        targets[shows] = source.integers(0, SHOWN_STATES, len(shows))
        return operations, targets, source.integers(0, STOCK, many)


def _groups_by_person(groups: Sequence[Sequence[int]], people: int) -> Ties:
    """The numbers of each person's groups."""
    sizes = [len(members) for members in groups]
    members: npt.NDArray[np.int64] = np.concatenate(groups) if groups else np.empty(0, dtype=np.int64)
    numbers = np.repeat(np.arange(len(groups)), sizes)
    order = np.argsort(members, kind="stable")
    return ties_of(people, members[order], numbers[order])

"""Draws made before they are wanted."""

from collections.abc import Iterator

import gevent

from bench.load.ahead import CHUNKS, Ahead
from bench.load.population import Draws, draws, draws_in_pieces, populate
from tests.unit.load.plans import MIXED, plan_of


def counted(made: list[int]) -> Iterator[Draws | None]:
    number = 0
    while True:
        yield None
        made.append(number)
        yield Draws([number], [0], [0], [0])
        number += 1


def test_what_is_not_ready_is_made_at_once_and_in_order() -> None:
    ahead = Ahead(counted([]))
    assert [next(ahead).operations for _ in range(3)] == [[0], [1], [2]]


def test_it_keeps_so_many_chunks_ready_and_no_more() -> None:
    made: list[int] = []
    ahead = Ahead(counted(made))
    running = gevent.spawn(ahead.run)
    with gevent.Timeout(10):
        while len(made) < CHUNKS:
            gevent.sleep(0.001)
        gevent.sleep(0.03)
        assert made == list(range(CHUNKS))
        assert next(ahead).operations == [0]
        while len(made) < CHUNKS + 1:
            gevent.sleep(0.001)
    running.kill()


def test_pieces_make_the_same_chunks() -> None:
    plan = plan_of(200, mix=MIXED)
    population = populate(plan)
    pieces = draws_in_pieces(population, plan, 7)
    whole = draws(population, plan, 7)
    stops = 0
    for _ in range(2):
        while (chunk := next(pieces)) is None:
            stops += 1
        assert chunk == next(whole)
    assert stops >= 4

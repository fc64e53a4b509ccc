import zlib
from itertools import islice

import numpy as np
import pytest

from bench.load.population import bodies, contacts, draws


@pytest.mark.parametrize(("people", "mean"), [(2, 1), (3, 2), (10, 4), (500, 8), (2000, 20)])
def test_everybody_knows_somebody_and_is_known_by_them(people: int, mean: int) -> None:
    graph = contacts(people, mean, seed=1)
    assert len(graph) == people
    for person, known in enumerate(graph):
        assert known
        assert person not in known
        assert known == sorted(set(known))
        assert all(person in graph[other] for other in known)


def test_the_mean_degree_is_about_what_was_asked_for() -> None:
    graph = contacts(2000, 20, seed=1)
    assert np.mean([len(known) for known in graph]) == pytest.approx(20, rel=0.2)


def test_body_sizes_have_the_median_and_the_tail_asked_for() -> None:
    made = bodies(60, 2000, seed=1)
    sizes = np.array([len(body.text) for body in made])
    assert np.median(sizes) == pytest.approx(60, rel=0.05)
    assert np.quantile(sizes, 0.99) == pytest.approx(2000, rel=0.15)
    assert all(zlib.crc32(body.text.encode()) == body.crc for body in made)
    assert all(body.text == body.text.strip() for body in made)


def test_messages_go_only_to_contacts_and_the_seed_decides_which() -> None:
    graph = contacts(20, 4, seed=1)
    first = list(islice(draws(graph, 7), 5000))
    assert first == list(islice(draws(graph, 7), 5000))
    assert first[:50] != list(islice(draws(graph, 8), 50))
    assert all(draw.addressee in graph[draw.sender] for draw in first)
    assert {draw.sender for draw in first} == set(range(20))

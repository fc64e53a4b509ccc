import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.load.population.moments import random_clustering
from bench.load.population.ties import DEGREE_SIGMA, clustering, strong_ties, ties_of
from bench.scale import contacts_of, largest_group_of

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(people=st.integers(2, 120), mean=st.floats(1, 30), seed=SEEDS)
def test_everybody_knows_somebody_and_is_known_by_them(people: int, mean: float, seed: int) -> None:
    ties = strong_ties(people, min(mean, people - 1), seed)
    graph = list(ties)
    assert len(graph) == len(ties) == people
    for person, known in enumerate(graph):
        assert known
        assert person not in known
        assert known == sorted(set(known))
        assert all(person in graph[other] for other in known)


def test_two_people_know_each_other() -> None:
    assert list(strong_ties(2, 1, seed=1)) == [[1], [0]]


@pytest.mark.parametrize(("people", "mean"), [(500, 8), (2_000, 8), (2_000, 38.6), (5_000, 96.5)])
def test_degrees_are_lognormal_with_the_mean_asked_for_and_friends_know_each_other(
    people: int, mean: float
) -> None:
    ties = strong_ties(people, mean, seed=1)
    assert ties.degrees.mean() == pytest.approx(mean, rel=0.02)
    assert np.log(ties.degrees).std() == pytest.approx(DEGREE_SIGMA, rel=0.04)
    measured, random = clustering(ties, seed=1), random_clustering(ties.degrees)
    assert measured is not None
    assert random is not None
    assert measured > max(0.2, 5 * random)


def test_friends_are_near_so_that_a_stretch_of_the_line_has_most_of_its_ties_to_itself() -> None:
    ties = strong_ties(2_000, 8, seed=1)
    owners = np.repeat(np.arange(2_000), ties.degrees)
    assert ((owners < 1_000) != (ties.others < 1_000)).mean() < 0.02


def test_the_seed_decides_who_knows_whom() -> None:
    assert list(strong_ties(50, 5, seed=3)) == list(strong_ties(50, 5, seed=3))
    assert list(strong_ties(50, 5, seed=3)) != list(strong_ties(50, 5, seed=4))


@settings(max_examples=60, deadline=None)
@given(people=st.integers(2, 60), seed=SEEDS)
def test_who_joins_whom_is_what_the_lists_say(people: int, seed: int) -> None:
    ties = strong_ties(people, min(4, people - 1), seed)
    ones, others = (grid.ravel() for grid in np.meshgrid(np.arange(people), np.arange(people)))
    said = ties.joins(ones, others)
    assert said.tolist() == [other in ties[one] for other in range(people) for one in range(people)]


def test_a_triangle_is_closed_and_a_star_is_not() -> None:
    triangle = ties_of(3, np.array([0, 0, 1, 1, 2, 2]), np.array([1, 2, 0, 2, 0, 1]))
    star = ties_of(4, np.array([0, 0, 0, 1, 2, 3]), np.array([1, 2, 3, 0, 0, 0]))
    assert clustering(triangle, seed=1) == 1
    assert clustering(star, seed=1) == 0
    assert clustering(ties_of(2, np.array([0, 1]), np.array([1, 0])), seed=1) is None


def test_lists_keep_what_is_well_and_stay_whole_where_nothing_is() -> None:
    ties = ties_of(3, np.array([0, 0, 1, 1, 2]), np.array([1, 2, 0, 2, 0]))
    assert list(ties.kept(np.array([True, False, False, False, True]))) == [[1], [0, 2], [0]]


def test_lists_behave_like_lists() -> None:
    ties = ties_of(3, np.array([0, 0, 2]), np.array([1, 2, 0]))
    assert (ties[0], ties[1], ties[-1], ties[1:]) == ([1, 2], [], [0], [[], [0]])
    with pytest.raises(IndexError):
        ties[3]


def test_contacts_and_groups_shrink_with_the_people_and_no_further_than_circles_of_friends() -> None:
    assert [contacts_of(n) for n in (2, 100, 2_000, 20_000, 10**6)] == pytest.approx([1, 8, 38.6, 386, 386])
    assert [largest_group_of(n) for n in (2, 100, 2_000, 20_000, 10**6)] == [2, 8, 50, 500, 500]

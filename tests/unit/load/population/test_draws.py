from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.load.dispatcher import SHOWN
from bench.load.population import Population, crossing, draws, draws_of, populate, share
from bench.load.population.bodies import STOCK
from bench.load.population.circles import Circles, class_shares, regions
from bench.load.population.draws import GROUP_SEND, PRESENCE, SEND, SHOWN_STATES
from bench.plan import Plan
from bench.records import OPERATIONS
from tests.unit.load.plans import MIXED, plan_of


def drawn(population: Population, plan: Plan, chunks: int, seed: int = 7, **which: int) -> np.ndarray:
    """Rows of operation, sender, target, body."""
    found = [np.array(chunk) for chunk in islice(draws(population, plan, seed, **which), chunks)]
    return np.concatenate(found, axis=1).T


@settings(max_examples=25, deadline=None)
@given(clients=st.integers(2, 200), seed=st.integers(0, 999), data=st.data())
def test_all_that_is_drawn_can_be_asked(clients: int, seed: int, data: st.DataObject) -> None:
    workers = data.draw(st.integers(1, min(4, clients)))
    plan = plan_of(clients, seed=seed, mix=MIXED)
    population = populate(plan)
    own = share(clients, 0, workers)
    for operation, sender, target, body in drawn(population, plan, 1, workers=workers).tolist():
        assert sender in own
        assert 0 <= body < STOCK
        if operation == SEND:
            assert 0 <= target < clients
            assert target != sender
        elif operation == GROUP_SEND:
            assert sender in population.groups[target]
        elif operation == PRESENCE:
            assert 0 <= target < len(SHOWN)
        else:
            assert target == 0


def test_the_seed_decides_what_is_asked() -> None:
    plan = plan_of(40, mix=MIXED)
    population = populate(plan)
    assert (drawn(population, plan, 2) == drawn(population, plan, 2)).all()
    assert (drawn(population, plan, 1) != drawn(population, plan, 1, seed=8)).any()


def test_the_people_are_the_same_whatever_the_trial_and_the_load_processes() -> None:
    plan = plan_of(300, mix=MIXED)
    one, other = populate(plan), populate(plan)
    assert list(one.contacts) == list(other.contacts)
    assert one.groups == other.groups


def test_operations_come_in_the_mix_that_was_asked_for_and_from_everybody_alike() -> None:
    plan = plan_of(50, mix=MIXED)
    found = drawn(populate(plan), plan, 20)
    shares = np.bincount(found[:, 0], minlength=len(OPERATIONS)) / len(found)
    # 82,000 draws: the standard error of a share of 60 % is 0.17 points.
    assert shares == pytest.approx([0.01, 0.6, 0.3, 0.06, 0.03], abs=0.009)
    senders = np.bincount(found[:, 1])
    assert senders.min() > 0.85 * senders.mean()
    assert senders.max() < 1.15 * senders.mean()
    shown = found[found[:, 0] == PRESENCE, 2]
    assert set(shown.tolist()) == set(range(SHOWN_STATES))


def test_what_is_not_in_the_mix_is_not_asked_and_no_groups_are_founded_for_it() -> None:
    plan = plan_of(50)
    population = populate(plan)
    assert population.groups == []
    assert set(drawn(population, plan, 1)[:, 0].tolist()) == {SEND}


def test_sends_go_to_each_class_of_tie_by_its_share_of_interactions() -> None:
    plan = plan_of(2_000)
    circles = Circles(populate(plan).contacts, plan.contacts, range(2_000), plan.seed)
    source = np.random.default_rng(1)
    _, classes = circles.partners(source.integers(0, 2_000, 50_000), source)
    assert list(class_shares().values()) == pytest.approx([12 / 15.8, 3 / 15.8, 0.8 / 15.8])
    assert np.bincount(classes) / 50_000 == pytest.approx(list(class_shares().values()), abs=0.009)


def test_each_class_of_tie_is_what_it_says() -> None:
    plan = plan_of(2_000)
    ties = populate(plan).contacts
    circles = Circles(ties, plan.contacts, range(2_000), plan.seed)
    persons = np.full(2_000, 1_234)
    partners, classes = circles.partners(persons, np.random.default_rng(1))
    friends = set(ties[1_234])
    assert set(partners[classes == 0].tolist()) <= friends
    second = set(partners[classes == 1].tolist())
    assert second <= {other for friend in friends for other in ties[friend]} - friends - {1_234}
    assert second <= set(circles.second_degree_of(1_234).tolist())
    region = set(partners[classes == 2].tolist())
    assert region
    assert region <= set(circles.region_of(1_234).tolist())
    assert not region & friends


@given(people=st.integers(2, 5_000), contacts=st.floats(1, 400))
def test_every_person_is_in_one_region(people: int, contacts: float) -> None:
    cut = regions(people, contacts)
    persons = np.arange(people)
    low, high = cut.bounds(persons)
    assert ((low <= persons) & (persons < high)).all()
    assert (np.unique(low)[1:] == np.unique(high)[:-1]).all()


@pytest.mark.parametrize("workers", [2, 3])
def test_conversations_stay_on_one_load_process_wherever_they_can(workers: int) -> None:
    plan = plan_of(900, mix=MIXED)
    population = populate(plan)
    strangers = 0
    for worker in range(workers):
        own = share(900, worker, workers)
        for operation, sender, target, _ in drawn(
            population, plan, 2, worker=worker, workers=workers
        ).tolist():
            if operation == SEND and target not in own:
                strangers += 1
                assert not any(friend in own for friend in population.contacts[sender])
            if operation == GROUP_SEND and not all(member in own for member in population.groups[target]):
                theirs = [group for group in population.groups if sender in group]
                assert not any(group[0] in own and group[-1] in own for group in theirs)
    assert strangers < 100
    assert 0 <= crossing(population, plan, 7, workers) < 0.02


def test_what_crosses_is_counted() -> None:
    plan = plan_of(2)
    population = populate(plan)
    assert crossing(population, plan, 7, 1) == 0
    assert crossing(population, plan, 7, 2) == 1  # they only know each other


def test_one_by_one_people_ask_for_the_same_kinds_of_things() -> None:
    plan = plan_of(40, mix=MIXED)
    population = populate(plan)
    draw_of = draws_of(population, plan, 7, worker=1, workers=2)
    asked = Counter(draw_of(sender)[0] for sender in share(40, 1, 2) for _ in range(500))
    assert asked[SEND] / 10_000 == pytest.approx(0.6, abs=0.03)
    operations = [draw_of(25) for _ in range(200)]
    assert all(
        25 in population.groups[target] for operation, target, _ in operations if operation == GROUP_SEND
    )
    assert all(target != 25 for operation, target, _ in operations if operation == SEND)


def test_there_are_as_many_states_to_show_as_the_dispatcher_has_words_for() -> None:
    assert len(SHOWN) == SHOWN_STATES

from typing import Any

import numpy as np
import pytest

from bench.load.population import populate
from bench.load.population.moments import Moment, moments, random_clustering
from tests.unit.load.plans import MIXED, plan_of


def by_name(people: int, **load: Any) -> dict[str, Moment]:
    plan = plan_of(people, **load)
    return {moment.name: moment for moment in moments(populate(plan), plan)}


def test_what_came_of_a_population_is_near_what_was_aimed_at() -> None:
    found = by_name(2_000, mix=MIXED)
    for name, rel in (
        ("strong ties, mean", 0.05),
        ("strong ties, σ of ln", 0.05),
        ("second-degree ties, mean", 0.3),
        ("ties of the region, mean", 0.2),
        ("group size, mean", 0.1),
        ("sends to strong ties", 0.02),
        ("text, median", 0.02),
        ("text, p99", 0.05),
    ):
        assert found[name].measured == pytest.approx(found[name].target, rel=rel), name
    closed, random = found["clustering coefficient"].measured, found["  of a random graph"].measured
    assert closed is not None
    assert random is not None
    assert closed > 5 * random


def test_only_what_the_mix_asks_for_is_told() -> None:
    assert "group size, mean" not in by_name(50)
    assert "sends to strong ties" not in by_name(50, mix={"sync": "100%"})
    assert "text, median" not in by_name(50, mix={"sync": "100%"})


def test_two_people_have_no_clustering() -> None:
    assert by_name(2)["clustering coefficient"].measured is None


def test_a_random_graph_of_equal_degrees_is_clustered_by_its_density() -> None:
    # (k^2 - k)^2 / (n k^3) = (k - 1)^2 / (n k)
    assert random_clustering(np.full(100, 10)) == pytest.approx(81 / 1_000)

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.load.population.groups import ALPHA, SMALLEST, found_groups, size_moments


@settings(max_examples=60, deadline=None)
@given(
    people=st.integers(2, 400), each=st.integers(1, 5), largest=st.integers(2, 60), seed=st.integers(0, 999)
)
def test_everybody_is_in_as_many_groups_as_asked_and_never_twice_in_one(
    people: int, each: int, largest: int, seed: int
) -> None:
    groups = found_groups(people, each, min(largest, people), seed)
    assert all(members == sorted(set(members)) for members in groups)
    assert Counter(member for members in groups for member in members) == dict.fromkeys(range(people), each)
    most = max(min(largest, people), SMALLEST) + SMALLEST - 1  # the last of a line takes who is left
    assert all(min(SMALLEST, people) <= len(members) <= most for members in groups)


def test_sizes_follow_the_power_law() -> None:
    sizes = np.array([len(members) for members in found_groups(50_000, 4, 500, seed=1)])
    mean, written_to = size_moments(500)
    assert sizes.mean() == pytest.approx(mean, rel=0.05)
    assert (sizes**2).sum() / sizes.sum() == pytest.approx(written_to, rel=0.2)
    # log P(size) falls with slope -alpha: the ratio of 3 to 6 is 2^alpha.
    assert (sizes == 3).sum() / (sizes == 6).sum() == pytest.approx(2**ALPHA, rel=0.15)
    assert sizes.max() > 200


def test_the_moments_are_those_of_the_law() -> None:
    assert size_moments(3) == (3, 3)
    mean, written_to = size_moments(4)
    fours = 4**-ALPHA / (3**-ALPHA + 4**-ALPHA)
    assert mean == pytest.approx(3 + fours)
    assert written_to == pytest.approx((9 * (1 - fours) + 16 * fours) / mean)


def test_members_are_near_each_other_and_the_groups_of_a_person_differ() -> None:
    groups = found_groups(2_000, 2, 50, seed=1)
    assert np.mean([members[-1] - members[0] for members in groups]) < 50
    assert len({tuple(members) for members in groups}) > 0.9 * len(groups)

import pytest

from services.microservices.allocation import STEP, Section


def test_each_user_counts_from_the_persisted_ceiling() -> None:
    section = Section(5 * STEP)
    section.raise_to(6 * STEP)
    assert section.take(["u1", "u2", "u1"]) == [5 * STEP + 1, 5 * STEP + 1, 5 * STEP + 2]


def test_nothing_is_given_out_above_the_ceiling() -> None:
    section = Section(0)
    section.raise_to(3)
    assert section.take(["u1", "u1"]) == [1, 2]
    assert section.take(["u1", "u1"]) is None
    assert section.take(["u1", "u2"]) == [3, 1]
    assert section.take(["u1"]) is None


def test_a_new_section_gives_nothing_before_its_first_ceiling_is_persisted() -> None:
    assert Section(0).take(["u1"]) is None
    assert Section(0).wanted_ceiling() == STEP


def test_the_ceiling_is_raised_half_a_step_before_it_is_reached() -> None:
    section = Section(0)
    section.raise_to(STEP)
    section.take(["u1"] * (STEP // 2 - 1))
    assert section.wanted_ceiling() == STEP
    section.take(["u1"])
    assert section.wanted_ceiling() == 2 * STEP


def test_a_successor_gives_only_larger_numbers() -> None:
    first = Section(0)
    first.raise_to(STEP)
    given = first.take(["u1"] * 100)
    successor = Section(STEP)
    successor.raise_to(2 * STEP)
    later = successor.take(["u1"])
    assert given is not None
    assert later is not None
    assert later[0] > max(given)


def test_no_numbers_for_nobody() -> None:
    assert Section(0).take([]) == []


@pytest.mark.parametrize("users", [["u1"] * (STEP // 2), [f"u{n}" for n in range(STEP // 2)]])
def test_half_a_step_of_numbers_can_be_had_in_one_call_again_and_again(users: list[str]) -> None:
    section = Section(0)
    for _ in range(5):
        section.raise_to(section.wanted_ceiling())
        numbers = section.take(users)
        assert numbers is not None
        assert max(numbers) <= section.ceiling

"""Sets of numbers come back from their text, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.spans import numbers_of, spans_of


@given(st.sets(st.integers(0, 300)))
def test_what_is_written_is_read_back(numbers: set[int]) -> None:
    assert numbers_of(spans_of(numbers)).tolist() == sorted(numbers)


def test_neighbours_are_one_span() -> None:
    assert spans_of([7, 0, 1, 2, 3, 12, 13]) == "0-3 7 12-13"


@pytest.mark.parametrize("text", ["3-1", "5 4", "1-3 3", "x", "1-", "-1", "1--2"])
def test_text_that_is_no_rising_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected rising|invalid literal"):
        numbers_of(text)

"""Numbers as people read them."""

import math

import pytest

from bench.report.format import bound, count, number, seconds, share, times


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0, "0"), (0.01234, "0.0123"), (0.9996, "1.00"), (1.234, "1.23"), (9.996, "10.0"),
        (12.34, "12.3"), (99.96, "100"), (123.4, "123"), (1234.5, "1,234"), (1_000_000, "1,000,000"),
        (-2.5, "-2.50"), (math.inf, "∞"), (0.00694, "0.00694"),
    ],
)  # fmt: skip
def test_three_significant_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (1.0, "100 %"), (0.99999, "99.99 %"), (0.999, "99.9 %"), (0.5, "50 %"), (0.0, "0 %")],
)
def test_a_share_is_rounded_down_so_that_all_means_all(value: float | None, text: str) -> None:
    assert share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 %"),
        (3 / 9600, "0.032 %"),
        (0.0003, "0.03 %"),
        (3 / 1_000_000, "0.0003 %"),
        (1.0, "100 %"),
        (3.0, "300 %"),
    ],
)
def test_a_bound_is_rounded_up(value: float | None, text: str) -> None:
    assert bound(value) == text


def test_times_counts_and_ratios() -> None:
    assert [seconds(None), seconds(0.0), seconds(1.904), seconds(39), seconds(43_200)] == [
        "–", "0.00 s", "1.90 s", "39.0 s", "43,200 s",
    ]  # fmt: skip
    assert [count(None), count(9600), times(None), times(0.42)] == ["–", "9,600", "–", "×0.420"]

"""Verdicts on systems of known difference: seldom wrong, and not blind. `make benchmarks PART=verdicts` is the whole."""

import pytest

from tests.benchmarks.verdicts import QUIET, SHARED, Noise, power, wrong


@pytest.mark.parametrize("noise", [QUIET, SHARED], ids=lambda noise: noise.name)
def test_equal_systems_are_seldom_called_unequal(noise: Noise) -> None:
    assert wrong(noise, 6, comparisons=40) <= 0.05


def test_a_tenth_is_found_on_a_quiet_machine_by_six_trials() -> None:
    assert power(QUIET, 6, comparisons=60) >= 0.9

"""The shapes of offered load, each as knots: (seconds from the stage's beginning, rate per second).

Between knots the rate runs straight; two knots at one time are a jump. Curves are given by knots so dense
that the straight lines are within 0.25 % of them. Pure.
"""

import math

import numpy as np

Knots = list[tuple[float, float]]

KNOTS_A_TAU = 8
TAUS = 7
"""After so many time constants a burst is over: less than a thousandth of it would be left."""
KNOTS_A_DAY = 96
DAY_S = 86_400.0


def line(duration_s: float, from_per_s: float, to_per_s: float) -> Knots:
    """A straight line; with both rates equal, a constant rate."""
    return [(0.0, from_per_s), (duration_s, to_per_s)]


def steps(duration_s: float, from_per_s: float, to_per_s: float, count: int) -> Knots:
    """`count` (≥ 2) constant rates of the same length, in equal steps from the first to the last."""
    knots: Knots = []
    for step in range(count):
        rate_per_s = from_per_s + (to_per_s - from_per_s) * step / (count - 1)
        knots += [(duration_s * step / count, rate_per_s), (duration_s * (step + 1) / count, rate_per_s)]
    return knots


def burst(duration_s: float, plateau_per_s: float, peak_per_s: float, at_s: float, tau_s: float) -> Knots:
    """A plateau; at `at_s` a jump to the peak, which decays back: plateau + (peak - plateau)·exp(-t/τ)."""
    knots: Knots = [(0.0, plateau_per_s), (at_s, plateau_per_s)] if at_s else []
    above_per_s = peak_per_s - plateau_per_s
    over_s = min(at_s + TAUS * tau_s, duration_s)
    many = max(1, math.ceil((over_s - at_s) / tau_s * KNOTS_A_TAU))
    for after_s in np.linspace(0.0, over_s - at_s, many + 1).tolist():
        knots.append((at_s + after_s, plateau_per_s + above_per_s * math.exp(-after_s / tau_s)))
    knots[-1] = (over_s, knots[-1][1])  # no rounding may set it behind what follows
    if over_s < duration_s:
        knots += [(over_s, plateau_per_s), (duration_s, plateau_per_s)]
    return knots


def diurnal(duration_s: float, mean_per_s: float, peak_per_s: float, peak_at_s: float) -> Knots:
    """A day from midnight to midnight, compressed: mean·exp(κ·cos(2π(t - peak_at)/day)) / I₀(κ).

    The von Mises curve: smooth, with one peak and one trough, and the mean as it is said. κ is such that
    the peak is. `peak_at_s` is the time of day, in seconds of a real one.
    """
    kappa = _kappa(peak_per_s / mean_per_s)
    knots = []
    for n in range(KNOTS_A_DAY + 1):
        angle = 2 * math.pi * (n / KNOTS_A_DAY - peak_at_s / DAY_S)
        rate_per_s = peak_per_s * math.exp(kappa * (math.cos(angle) - 1))
        knots.append((duration_s * n / KNOTS_A_DAY, rate_per_s))
    return knots


def _kappa(ratio: float) -> float:
    """The κ for which exp(κ) / I₀(κ), which rises with κ from 1, is `ratio` (≤ 20)."""
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        if math.exp(middle) / float(np.i0(middle)) < ratio:
            low = middle
        else:
            high = middle
    return (low + high) / 2

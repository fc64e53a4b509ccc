"""Numbers as people read them: three significant digits, thousands apart, a dash for what is missing."""

import math

MISSING = "–"


def number(value: float | None) -> str:
    """Three significant digits: `0.0123`, `1.23`, `12.3`, `123`, `12,345`; a dash for None."""
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}") if abs(value) < 100 else float(round(value))
    if abs(rounded) >= 100:
        return f"{rounded:,.0f}"
    digits = 2 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(digits, 0)}f}"


def count(value: int | None) -> str:
    """A whole number with its thousands apart."""
    return MISSING if value is None else f"{value:,}"


def times(value: float | None) -> str:
    """A ratio: `×0.42`."""
    return MISSING if value is None else f"×{number(value)}"


def share(value: float | None) -> str:
    """A share in per cent, rounded down, so that 100 % means all of it."""
    if value is None:
        return MISSING
    hundredths = math.floor(value * 10_000 + 1e-9)
    return f"{hundredths / 100:g} %"


def bound(value: float | None) -> str:
    """A share near 0 in per cent, at two significant digits, rounded up as a bound must be: `0.032 %`."""
    if value is None:
        return MISSING
    if value <= 0:
        return "0 %"
    step = 10.0 ** (math.floor(math.log10(value * 100)) - 1)
    text = f"{math.ceil(value * 100 / step - 1e-9) * step:.12f}"
    return f"{text.rstrip('0').rstrip('.')} %"


def seconds(value: float | None) -> str:
    """A time with its unit; no finer than hundredths, as no bin is: `1.90 s`, `39.0 s`."""
    if value is None:
        return MISSING
    return f"{number(value)} s" if value >= 10 else f"{value:.2f} s"

"""Quantities with units, as profiles write them: `30s`, `500/s`, `2KB`, `99%`, `10Mbit/s`.

A number without its unit is refused, so that nobody has to guess. Each parser gives SI base units
(seconds, per second, bytes, a ratio) and raises ValueError with what was expected.
"""

import re

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_DURATIONS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_COUNTS = {"k": 1e3, "M": 1e6}
_BITS = {"k": 1e3, "M": 1e6, "G": 1e9}
_SIZES_BYTES = {"B": 1, "KB": 1_000, "MB": 1_000_000}


def duration_s(text: object) -> float:
    """`150ms`, `30s`, `5min`, `1h` in seconds."""
    match = re.fullmatch(rf"{_NUMBER}\s*(ms|s|min|h)", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("expected a duration with its unit: 150ms, 30s, 5min or 1h")
    return float(match[1]) * _DURATIONS_S[match[2]]


def signed_duration_s(text: object) -> float:
    """`5min`, `-30s` in seconds."""
    stripped = text.removeprefix("-") if isinstance(text, str) else text
    try:
        seconds = duration_s(stripped)
    except ValueError as error:
        raise ValueError("expected a duration with its unit, or one with a minus: 5min or -30s") from error
    return seconds if stripped == text else -seconds


def bandwidth_bytes_per_s(text: object) -> float:
    """`500kbit/s`, `10Mbit/s`, `1Gbit/s` in bytes per second."""
    match = re.fullmatch(rf"{_NUMBER}\s*(k|M|G)bit/s", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("expected a bandwidth with its unit: 500kbit/s, 10Mbit/s or 1Gbit/s")
    return float(match[1]) * _BITS[match[2]] / 8


def rate_per_s(text: object) -> float:
    """`500/s`, `90/min` in events per second."""
    match = re.fullmatch(rf"{_NUMBER}\s*/\s*(s|min|h)", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("expected a rate, not negative, with its unit: 500/s or 90/min")
    return float(match[1]) / _DURATIONS_S[match[2]]


def size_bytes(text: object) -> int:
    """`60B`, `2KB`, `1MB` in bytes (decimal prefixes)."""
    match = re.fullmatch(rf"{_NUMBER}\s*(B|KB|MB)", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("expected a size with its unit: 60B, 2KB or 1MB")
    return round(float(match[1]) * _SIZES_BYTES[match[2]])


def count(text: object) -> int:
    """`500`, `100k`, `2.5M` as a whole number."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    match = re.fullmatch(rf"{_NUMBER}(k|M)", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("expected a whole number, or thousands or millions: 500, 100k or 2.5M")
    return round(float(match[1]) * _COUNTS[match[2]])


def share_ratio(text: object) -> float:
    """`99%`, `99.9%` as a ratio between 0 and 1."""
    match = re.fullmatch(rf"{_NUMBER}\s*%", text) if isinstance(text, str) else None
    if match is None or not 0 <= float(match[1]) <= 100:
        raise ValueError("expected a share between 0% and 100%, such as 99%")
    return float(match[1]) / 100

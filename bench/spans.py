"""Sets of whole numbers as text that people and tools can read: `0-3 7 12-59`, rising, ends included."""

import itertools
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


def spans_of(numbers: Iterable[int]) -> str:
    """The text of these numbers, none of them negative; empty for none."""
    given = np.unique(np.fromiter(numbers, dtype=np.int64))
    if not given.size:
        return ""
    breaks = np.flatnonzero(np.diff(given) > 1) + 1
    runs = np.split(given, breaks)
    return " ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def numbers_of(text: str) -> Numbers:
    """The numbers that `spans_of` wrote, rising; raises ValueError for anything else."""
    bounds = [part.partition("-") for part in text.split()]
    runs = [(int(first), int(last) if dash else int(first)) for first, dash, last in bounds]
    if any(first > last for first, last in runs) or any(
        one[1] >= other[0] for one, other in itertools.pairwise(runs)
    ):
        raise ValueError(f"expected rising numbers and spans such as 0-3 7 12-59, got {text[:60]!r}")
    parts = [np.arange(first, last + 1, dtype=np.int64) for first, last in runs]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

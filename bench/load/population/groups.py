"""Groups: sizes from a truncated power law, members near each other on the line.

Everybody is in the same number of groups. For each of them all people stand in line once more, each a
little out of place, and the line is cut into groups: so every group has exactly the size drawn for it,
nobody is twice in one, and the groups of a person differ.
"""

import numpy as np
import numpy.typing as npt

ALPHA = 2.3
SMALLEST = 3
OUT_OF_PLACE = 8
"""How far out of place a person stands at most, in places; in larger groups the neighbours mix anyway."""


def found_groups(people: int, each: int, largest: int, seed: int) -> list[list[int]]:
    """The sorted members of each group; everybody is in `each` of them.

    Sizes are between SMALLEST and `largest`, but for the last group of each line, which takes who is left.
    """
    source = np.random.default_rng([seed, 4])
    groups: list[list[int]] = []
    for _ in range(each):
        line = np.argsort(np.arange(people) + source.uniform(-OUT_OF_PLACE, OUT_OF_PLACE, people))
        ends = np.cumsum(_sizes(source, people, largest))
        ends = ends[ends < people]
        if len(ends) and people - ends[-1] < SMALLEST:
            ends = ends[:-1]
        groups += [np.sort(members).tolist() for members in np.split(line, ends)]
    return groups


def size_moments(largest: int) -> tuple[float, float]:
    """Mean size, and mean size of the group of a message (a person writes to each of theirs alike)."""
    sizes, shares = _law(largest)
    mean = float((sizes * shares).sum())
    return mean, float((sizes**2 * shares).sum()) / mean


def _law(largest: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The sizes there are and the share of each: size^-ALPHA between SMALLEST and `largest`."""
    sizes = np.arange(SMALLEST, max(largest, SMALLEST) + 1, dtype=np.float64)
    weights = sizes**-ALPHA
    return sizes, weights / weights.sum()


def _sizes(source: np.random.Generator, people: int, largest: int) -> npt.NDArray[np.int64]:
    """Sizes of more groups than a line of so many people can be cut into."""
    sizes, shares = _law(largest)
    drawn = source.random(people // SMALLEST + 1)
    return sizes[np.searchsorted(shares.cumsum()[:-1], drawn, side="right")].astype(np.int64)

"""Whom a fault touched: the clients that did not get what they asked for while it lasted.

A client is touched by an operation that failed, was shed, unanswered or late by the SLO, and by losing
the connection. Operations go by their intended start, as everywhere.
"""

from collections.abc import Sequence

import pandas as pd

from bench.errors import RunFolderError
from bench.spans import numbers_of


def touched_between(touched: pd.DataFrame, begin_s: float, until_s: float) -> int:
    """How many clients were touched in the bins of one trial that reach into this stretch.

    Raises RunFolderError where a cell of `people` cannot be read.
    """
    starts_s = touched["bin_start_s"]
    within = (starts_s + touched["bin_width_s"] > begin_s) & (starts_s < until_s)
    cells: Sequence[str] = touched.loc[within, "people"].unique().tolist()
    people: set[int] = set()
    for cell in cells:
        try:
            people.update(numbers_of(cell).tolist())
        except ValueError as error:
            raise RunFolderError(f"touched.csv: column 'people': {error}") from error
    return len(people)

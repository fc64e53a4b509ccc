"""What a run measured, beside what the published table claims.

The table's absolute figures are of clusters; a run on one machine cannot test them, and says so. What
it can set beside the table is ratios between generations: each figure over the first generation's.

The table's `response time` is set beside the measured p50 of response time, its `throughput` beside
TPS at the offered load, and its `recovery time` beside the time to recover from the first fault.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.evidence import PublishedRow

Verdict = Literal["measured", "untestable here"]

COLUMN_OF: Mapping[str, str] = {
    "tps": "throughput_tps",
    "response_p50_ms": "response_time_ms",
    "time_to_recover_s": "recovery_time_s",
}
"""Headline figure by name: the published column it stands beside."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of one generation, measured and published; `*_ratio` are over the first generation's.

    `absolute` and `ratio` say whether the published figure, and its ratio, were put to the test.
    """

    generation: str
    figure: str
    measured: float | None
    measured_ratio: float | None
    published: float | None
    published_ratio: float | None
    absolute: Verdict
    ratio: Verdict


def beside_published(
    measured: Mapping[str, Mapping[str, float | None]],
    published: Sequence[PublishedRow],
) -> tuple[Cell, ...]:
    """A cell for each generation and figure, generations as `measured` has them, the first the reference.

    `measured` is the figures by name, by generation. Generations the table does not have, and figures
    it has no column for, get cells with `published` missing.
    """
    claims = {row.generation: row for row in published}
    generations = list(measured)
    cells = []
    for generation, figures in measured.items():
        first = generations[0]
        for figure, value in figures.items():
            claim = _claim(claims.get(generation), figure)
            own = ratio(value, measured[first].get(figure))
            claimed = ratio(claim, _claim(claims.get(first), figure))
            tested = own is not None and claimed is not None and generation != first
            cells.append(
                Cell(
                    generation=generation,
                    figure=figure,
                    measured=value,
                    measured_ratio=own,
                    published=claim,
                    published_ratio=claimed,
                    absolute="untestable here",
                    ratio="measured" if tested else "untestable here",
                )
            )
    return tuple(cells)


def ratio(value: float | None, reference: float | None) -> float | None:
    """value / reference; None where either is missing or the reference is 0."""
    return None if value is None or not reference else value / reference


def _claim(row: PublishedRow | None, figure: str) -> float | None:
    column = COLUMN_OF.get(figure)
    return None if row is None or column is None else float(getattr(row, column))

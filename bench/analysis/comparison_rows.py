"""A comparison as rows, for machines; see ComparisonRow."""

import math
from collections.abc import Iterable, Iterator

from bench.analysis.comparison import Comparison, Pair, Row
from bench.records import ComparisonRow


def comparison_rows(comparisons: Iterable[Comparison]) -> Iterator[ComparisonRow]:
    """A row for each figure of each pair, in order."""
    for comparison in comparisons:
        for pair in comparison.pairs:
            for row in pair.rows:
                yield _row(comparison, pair, row)


def _row(comparison: Comparison, pair: Pair, row: Row) -> ComparisonRow:
    judgement = row.judgement
    low, high = judgement.interval or (None, None)
    return ComparisonRow(
        baseline_run=pair.baseline.run,
        baseline_generation=pair.baseline.generation,
        contender_run=pair.contender.run,
        contender_generation=pair.contender.generation,
        phase=pair.baseline.phase,
        figure=row.figure,
        primary=row.primary,
        baseline=_finite(row.baseline),
        contender=_finite(row.contender),
        baseline_trials=row.trials[0],
        contender_trials=row.trials[1],
        ratio=_finite(judgement.ratio),
        ratio_low=_finite(low),
        ratio_high=_finite(high),
        p=judgement.p,
        p_holm=judgement.p_holm,
        margin_ratio=judgement.margin,
        word=judgement.word,
        further_trials=judgement.further_trials,
        forced=bool(comparison.differing),
        reason=judgement.reason,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

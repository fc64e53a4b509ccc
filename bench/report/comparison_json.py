"""A comparison as JSON: an object with `comparisons`, whose `rows` are those of the CSV form."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from bench.analysis.comparison import Comparison
from bench.analysis.comparison_rows import comparison_rows
from bench.records import SCHEMA_VERSION


def as_json(comparisons: Sequence[Comparison]) -> str:
    """The text, ending with a line end; what is missing is null."""
    whole = {
        "schema_version": SCHEMA_VERSION,
        "comparisons": [
            {
                "baseline": one.baseline,
                "contender": one.contender,
                "word": one.word,
                "between": one.between,
                "allowed": [asdict(difference) for difference in one.allowed],
                "differing": [asdict(difference) for difference in one.differing],
                "lacking": one.lacking,
                "pairs": [
                    {
                        "baseline": pair.baseline.label,
                        "contender": pair.contender.label,
                        "word": pair.word,
                        "reasons": pair.reasons,
                    }
                    for pair in one.pairs
                ],
                "rows": [asdict(row) for row in comparison_rows([one])],
            }
            for one in comparisons
        ],
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"

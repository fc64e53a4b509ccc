"""Evidence written to a run folder, as a run leaves it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.analyse import analyse
from bench.evidence import Evidence
from bench.histograms import LOG_HEADER, encode_histogram_line
from bench.results import HISTOGRAMS, MEASURED, RunFolder
from bench.tables import to_csv
from tests.unit.analysis.synthetic import Scripted, evidence, with_manifest

SHORT = (("warmup", "warmup", 0.0, 1.0), ("steady", "steady", 1.0, 3.0))
NOW = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)


def saved(root: Path, given: Evidence, name: str = "quick", moment: datetime = NOW) -> RunFolder:
    """The folder of a run that was measured, and not yet analysed."""
    folder = RunFolder.create(root, name, moment)
    folder.write_manifest(with_manifest(given, run=folder.path.name, created_utc=moment.isoformat()).manifest)
    folder.write_plan(_json(given.plan))
    tables = {
        "timeline": given.timeline,
        "faults": given.faults,
        "telemetry": given.telemetry,
        "audit": given.audit,
        "touched": given.touched,
        "audit_findings": given.findings,
    }
    for file, row_class in MEASURED.items():
        table = tables.get(file.removesuffix(".csv"))
        rows = [] if table is None else [row_class(*cells) for cells in _cells(table)]
        (folder.path / file).write_text(to_csv(row_class, rows))
    lines = (encode_histogram_line(x.tag, x.start_s, x.length_s, x.histogram) for x in given.histograms)
    (folder.path / HISTOGRAMS).write_text(LOG_HEADER + "".join(lines))
    return folder


def analysed(root: Path, given: Evidence, name: str = "quick", moment: datetime = NOW) -> RunFolder:
    """The same once it was analysed."""
    folder = saved(root, given, name, moment)
    found = analyse(folder.evidence())
    folder.write_analysis(
        summary=found.summary, recovery=found.recovery, phases=found.phases, trials=found.trials
    )
    return folder


def small(trials: int = 1, *, slower: float = 1.0, seed: int = 0, **changes: Any) -> Evidence:
    """A run of the monolith, two seconds steady."""
    return evidence(
        *(
            Scripted(
                trial=n,
                seed=seed + n,
                stages=SHORT,
                mean_response_ms=4 * slower,
                cpu_us=800 * slower,
                **changes,
            )
            for n in range(1, trials + 1)
        )
    )


def _json(plan: Any) -> str:
    return json.dumps(plan)


def _cells(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    return [
        tuple(None if pd.isna(cell) else cell for cell in row)
        for row in table.astype(object).itertuples(index=False, name=None)
    ]

"""The sides of a comparison, read: `RUN`, `RUN:GENERATION`, a CSV file, or a folder of CSV files.

A run that was analysed is read from summary.csv, recovery.csv, trials.csv and audit.csv, a few thousand
rows, and not from its histograms. One that was not is analysed here, in memory. A CSV file stands for
itself, in a run folder too: what it does not hold is not known.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.analysis.analyse import FIGURES, analyse
from bench.analysis.subject import Recorded
from bench.errors import RunFolderError, UserError
from bench.records import AuditRow, RecoveryRow, SummaryRow, TrialRow
from bench.results import MANIFEST, RunFolder, find, list_runs
from bench.tables import columns, frame, from_csv, header, read_rows

MOST_BYTES = 1 << 30
COMPARED: Mapping[str, type] = {
    "summary": SummaryRow,
    "recovery": RecoveryRow,
    "trials": TrialRow,
    "audit": AuditRow,
}
"""What of a run a comparison reads, by the name of its file without `.csv`."""
UNITS: Mapping[str, str] = {
    "tps": "1/s",
    "response_p50": "ms",
    "response_p99": "ms",
    "delivery_p99": "ms",
    "cpu_us_per_transaction": "us",
    "slo_share": "ratio",
    "offered_rate": "1/s",
}
"""Of the metrics that headline figures are of."""


def read_side(results: Path, text: str) -> Recorded:
    """What `text` means; raises RunFolderError where it means nothing, or what it means is not sound."""
    path = Path(text)
    if path.is_file():
        return _of_files(text, [path])
    if path.is_dir() and not (path / MANIFEST).is_file():
        return _of_folder_without_manifest(text, path)
    name, generation = _parts(results, text)
    recorded = _of_run(find(results, name))
    if generation is None:
        return recorded
    there = {trial.generation for trial in recorded.manifest.trials} if recorded.manifest else set()
    if generation not in there:
        raise UserError(
            f"{text}: {recorded.name} has no trial of {generation or 'that'}: expected one of "
            f"{', '.join(sorted(there)) or 'none, as nothing was measured'}"
        )
    return replace(recorded, only=generation)


def read_analysed(results: Path, profile: str | None) -> tuple[list[Recorded], list[str]]:
    """Every analysed run under `results`, of one profile or of all; and a line for each passed over."""
    found, passed_over = [], []
    for folder in list_runs(results):
        try:
            manifest = folder.manifest()
            if manifest.kind != "run" or profile not in (None, manifest.profile):
                continue
            if manifest.status != "analysed":
                passed_over.append(
                    f"{folder.path.name}: not analysed: `bench report {folder.path.name}` does"
                )
            elif manifest.trials:
                found.append(_of_run(folder))
        except RunFolderError as error:
            passed_over.append(str(error))
    return found, passed_over


def folder_of(results: Path, text: str) -> RunFolder:
    """The run folder that `text` means; raises UserError where it means CSV files."""
    path = Path(text)
    if path.is_file() or (path.is_dir() and not (path / MANIFEST).is_file()):
        raise UserError(f"{text}: holds no histograms: figures need run folders; leave --figures away")
    return find(results, _parts(results, text)[0])


def _parts(results: Path, text: str) -> tuple[str, str | None]:
    """The run's name and the generation's, where there is one; a path that exists is a run's name whole."""
    name, colon, generation = text.rpartition(":")
    if not colon or Path(text).exists() or (results / text).exists():
        return text, None
    return name, generation


def _of_run(folder: RunFolder) -> Recorded:
    manifest = folder.manifest()
    if manifest.kind == "run" and manifest.status == "analysed":
        summary, recovery = folder.summary(), folder.recovery_rows()
    elif manifest.kind == "run" and manifest.trials:
        analysis = analyse(folder.evidence())
        summary, recovery = frame(SummaryRow, analysis.summary), list(analysis.recovery)
    else:
        summary, recovery = frame(SummaryRow, ()), []
    _require_sound(summary, str(folder.path / "summary.csv"))
    return Recorded(
        name=folder.path.name,
        manifest=manifest,
        plan=folder.plan(),
        summary=summary,
        recovery=recovery,
        audit=folder.audit(),
    )


def _of_folder_without_manifest(text: str, path: Path) -> Recorded:
    files = [path / f"{name}.csv" for name in COMPARED if (path / f"{name}.csv").is_file()]
    if not files:
        raise RunFolderError(
            f"{path}: no {MANIFEST} in it: expected a run folder, or one with some of "
            f"{', '.join(f'{name}.csv' for name in COMPARED)}"
        )
    return _of_files(text, files)


def _of_files(name: str, files: list[Path]) -> Recorded:
    found: dict[str, pd.DataFrame] = {}
    recovery: list[RecoveryRow] | None = None
    for path in files:
        data = _bytes(path)
        kind = _kind(data, path)
        if kind == "recovery":
            recovery = read_rows(RecoveryRow, data, str(path))
            continue
        found[kind] = from_csv(COMPARED[kind], data, str(path))
        if kind == "summary":
            _require_sound(found[kind], str(path))
    if recovery is None and not found.keys() - {"trials"}:
        raise RunFolderError(
            f"{files[0]}: says how trials ended, and holds no figure: expected summary.csv, recovery.csv or "
            "audit.csv, or the folder they are in"
        )
    return Recorded(
        name=name,
        manifest=None,
        plan=None,
        summary=found.get("summary"),
        recovery=recovery,
        audit=found.get("audit"),
        trials=found.get("trials"),
    )


def _bytes(path: Path) -> bytes:
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MOST_BYTES:
            raise RunFolderError(
                f"{path}: {size_bytes:,} bytes: expected at most {MOST_BYTES:,}, which no run needs"
            )
        return path.read_bytes()
    except OSError as error:
        raise RunFolderError(f"{path}: {error.strerror}: expected a CSV file") from error


def _kind(data: bytes, path: Path) -> str:
    """Which of a run's files this is, by its header: the one it has most columns of."""
    there = set(header(data, str(path)))
    shared = {
        kind: len(there & {column.name for column in columns(row_class)}) / len(columns(row_class))
        for kind, row_class in COMPARED.items()
    }
    best = max(shared, key=lambda kind: shared[kind])
    if shared[best] < 0.5:
        raise RunFolderError(
            f"{path}: line 1: {','.join(sorted(there))[:60]}: expected the header of "
            f"{', '.join(f'{name}.csv' for name in COMPARED)}"
        )
    return best


def _require_sound(summary: pd.DataFrame, where: str) -> None:
    """Raise RunFolderError for a headline figure that is negative, in another unit, or there twice."""
    metrics = {metric for _, metric in FIGURES.values()}
    table = summary[summary["metric"].isin(metrics)]
    for metric, expected in UNITS.items():
        strange = table[(table["metric"] == metric) & (table["unit"] != expected)]
        if len(strange):
            unit = str(strange["unit"].iloc[0])[:60]
            raise RunFolderError(
                f"{where}: line {strange.index[0] + 2}: column 'unit': {metric} in {unit!r}: "
                f"expected {expected!r}"
            )
    negative = table[table["value"] < 0]
    if len(negative):
        value, metric = negative["value"].iloc[0], negative["metric"].iloc[0]
        raise RunFolderError(
            f"{where}: line {negative.index[0] + 2}: column 'value': {metric} of {value:g}: "
            "expected none below 0"
        )
    twice = table[table.duplicated(["generation", "trial", "phase", "operation", "metric"])]
    if len(twice):
        row = twice.iloc[0]
        raise RunFolderError(
            f"{where}: line {twice.index[0] + 2}: {row['metric']} of {row['generation']} "
            f"trial {row['trial']} in {row['phase']} stands there a second time: expected one row each"
        )

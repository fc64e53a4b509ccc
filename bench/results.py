"""Run folders: the only code that knows where in one what is.

    results/<YYYYMMDD-HHMMSS-name>/
      manifest.json     which plan, machine and versions; which trials, and how far it came (manifest.py)
      plan.json         the plan, as it was run
      timeline.csv  faults.csv  telemetry.csv  audit.csv  audit_findings.csv  touched.csv
                        the measured rows (records.py, tables.py)
      histograms.hlog   every latency, by bin, operation, outcome and measure (histograms.py)
      summary.csv  recovery.csv  recovery_phases.csv  trials.csv
                        what the analysis made of them
      capacity_trials.csv  capacity.csv                       of a search for capacity
      recovery_data.csv  recovery_fit.csv                     of a sweep of data volumes
      report.html       the report, in one piece
      logs/<generation>-trial-<n>/<node>.log                  the nodes' own words
    results/reference/report_table.csv                        the published table

Every file is written whole: to a temporary one beside it, synced, renamed. A trial's rows are there for
readers from the moment the manifest names it; what a crash left of a trial it does not name is ignored,
and removed when the next trial is added.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from bench.errors import RunFolderError
from bench.evidence import Evidence, NodeEvent, PublishedRow
from bench.histogram_reading import read_table
from bench.histogram_table import HistogramTable
from bench.histograms import LOG_HEADER
from bench.manifest import Manifest, Trial
from bench.records import (
    AuditFindingRow,
    AuditRow,
    CapacityRow,
    CapacityTrialRow,
    FaultRow,
    PhaseRow,
    RecoveryDataRow,
    RecoveryFitRow,
    RecoveryRow,
    SummaryRow,
    TelemetryRow,
    TimelineRow,
    TouchedRow,
    TrialRow,
)
from bench.tables import from_csv, read_rows, to_csv

MANIFEST = "manifest.json"
PLAN = "plan.json"
HISTOGRAMS = "histograms.hlog"
MEASURED: Mapping[str, type] = {
    "timeline.csv": TimelineRow,
    "faults.csv": FaultRow,
    "telemetry.csv": TelemetryRow,
    "audit.csv": AuditRow,
    "touched.csv": TouchedRow,
    "audit_findings.csv": AuditFindingRow,
}
ANALYSED: Mapping[str, type] = {
    "summary.csv": SummaryRow,
    "recovery.csv": RecoveryRow,
    "recovery_phases.csv": PhaseRow,
    "trials.csv": TrialRow,
}
CAPACITY_TRIALS = "capacity_trials.csv"
CAPACITY = "capacity.csv"
SWEEP: Mapping[str, type] = {"recovery_data.csv": RecoveryDataRow, "recovery_fit.csv": RecoveryFitRow}
TABLES: Mapping[str, type] = {
    **MEASURED,
    **ANALYSED,
    CAPACITY_TRIALS: CapacityTrialRow,
    CAPACITY: CapacityRow,
    **SWEEP,
}
"""Every CSV file of a run folder, and the class its rows are of."""
REPORT = "report.html"
REFERENCE = Path("reference") / "report_table.csv"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder; `path.name` is the run's name. Make one with `create`, `open` or `find`."""

    path: Path

    @classmethod
    def create(cls, root: Path, name: str, now: datetime) -> Self:
        """A new folder under `root`, named after the moment and `name`; two in one second get a suffix."""
        stem = f"{now:%Y%m%d-%H%M%S}-{name}"
        for number in range(1, 1000):
            path = root / (stem if number == 1 else f"{stem}-{number}")
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise RunFolderError(f"{path}: {error.strerror}: expected a folder to write into") from error
            return cls(path)
        raise RunFolderError(f"{root / stem}: exists a thousand times over: remove some")

    @classmethod
    def open(cls, path: Path) -> Self:
        """The run in `path`; raises RunFolderError where there is none."""
        if not path.is_dir():
            raise RunFolderError(f"{path}: no such folder: expected a run folder (`bench list` shows them)")
        if not (path / MANIFEST).is_file():
            raise RunFolderError(f"{path}: no {MANIFEST} in it: expected a run folder")
        return cls(path)

    def manifest(self) -> Manifest:
        """What manifest.json says; raises RunFolderError where it cannot be read."""
        try:
            return Manifest.from_json(self._read(MANIFEST))
        except ValueError as error:
            raise RunFolderError(f"{self.path / MANIFEST}: {error}") from error

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace manifest.json."""
        self._write(MANIFEST, manifest.to_json())

    def plan(self) -> Mapping[str, Any]:
        """plan.json as it stands; raises RunFolderError where it is not a JSON object."""
        try:
            plan = json.loads(self._read(PLAN))
        except ValueError as error:
            raise RunFolderError(f"{self.path / PLAN}: not JSON: {error}") from error
        if not isinstance(plan, dict):
            raise RunFolderError(f"{self.path / PLAN}: expected a JSON object, got {type(plan).__name__}")
        return plan

    def write_plan(self, text: str) -> None:
        """Keep the plan's canonical JSON, byte for byte: the manifest's digest is of these bytes."""
        self._write(PLAN, text)

    def logs(self, generation: str, trial: int) -> Path:
        """Where a trial's nodes write their logs; not made here."""
        return self.path / "logs" / f"{generation}-trial-{trial}"

    def add_trial(
        self,
        trial: Trial,
        *,
        timeline: Iterable[TimelineRow] = (),
        faults: Iterable[FaultRow] = (),
        telemetry: Iterable[TelemetryRow] = (),
        audit: Iterable[AuditRow] = (),
        touched: Iterable[TouchedRow] = (),
        findings: Iterable[AuditFindingRow] = (),
        hlog_text: str = "",
    ) -> Manifest:
        """Keep a trial's rows, then name it in the manifest, which is given back.

        `hlog_text` is lines of `histograms.encode_line`. Raises ValueError for rows of another trial
        and for a trial that is there already.
        """
        manifest = self.manifest()
        named = _keys(manifest)
        key = (trial.generation, trial.trial)
        if key in named:
            raise ValueError(f"{trial.generation} trial {trial.trial} is in {self.path} already")
        tables = dict(zip(MEASURED, (timeline, faults, telemetry, audit, touched, findings), strict=True))
        for name, given in tables.items():
            rows: list[Any] = list(given)
            strays = [row for row in rows if (row.generation, row.trial) != key]
            if strays:
                raise ValueError(f"a row of another trial in {name}: {strays[0]}")
            before = self._kept_table(name, named)
            self._write(name, before + to_csv(MEASURED[name], rows, header=not before))
        lines = [line for line in hlog_text.splitlines(keepends=True) if line.startswith("Tag=")]
        self._write(HISTOGRAMS, self._kept_histograms(named) + "".join(lines))
        manifest = manifest.with_trial(trial)
        self.write_manifest(manifest)
        return manifest

    def write_analysis(
        self,
        *,
        summary: Iterable[SummaryRow],
        recovery: Iterable[RecoveryRow],
        phases: Iterable[PhaseRow],
        trials: Iterable[TrialRow],
    ) -> None:
        """Replace the files of `ANALYSED`, and say `analysed` in the manifest."""
        tables: Iterable[Iterable[Any]] = (summary, recovery, phases, trials)
        for (name, row_class), rows in zip(ANALYSED.items(), tables, strict=True):
            self._write(name, to_csv(row_class, rows))
        self.write_manifest(replace(self.manifest(), status="analysed"))

    def write_capacity_trials(self, rows: Iterable[CapacityTrialRow]) -> None:
        """Replace capacity_trials.csv."""
        self._write(CAPACITY_TRIALS, to_csv(CapacityTrialRow, rows))

    def capacity_trials(self) -> list[CapacityTrialRow]:
        """The rows of capacity_trials.csv; raises RunFolderError where the folder is of no search."""
        return read_rows(CapacityTrialRow, self._read(CAPACITY_TRIALS), str(self.path / CAPACITY_TRIALS))

    def write_capacity(self, rows: Iterable[CapacityRow]) -> None:
        """Replace capacity.csv, and say `analysed` in the manifest."""
        self._write(CAPACITY, to_csv(CapacityRow, rows))
        self.write_manifest(replace(self.manifest(), status="analysed"))

    def write_sweep(self, *, data: Iterable[RecoveryDataRow], fits: Iterable[RecoveryFitRow]) -> None:
        """Replace recovery_data.csv and recovery_fit.csv."""
        for (name, row_class), rows in zip(SWEEP.items(), (data, fits), strict=True):
            self._write(name, to_csv(row_class, rows))

    def fits(self) -> list[RecoveryFitRow]:
        """The rows of recovery_fit.csv; raises RunFolderError where the folder is of no analysed sweep."""
        name = "recovery_fit.csv"
        return read_rows(RecoveryFitRow, self._read(name), str(self.path / name))

    def write_report(self, page: str) -> Path:
        """Replace report.html; where it is."""
        self._write(REPORT, page)
        return self.path / REPORT

    def timeline(self) -> pd.DataFrame:
        """timeline.csv, the manifest's trials only, by generation, trial, bin_start_s, operation."""
        order = ["generation", "trial", "bin_start_s", "operation"]
        return self._table("timeline.csv", self.manifest()).sort_values(order, ignore_index=True)

    def faults(self) -> pd.DataFrame:
        """faults.csv, the manifest's trials only."""
        return self._table("faults.csv", self.manifest())

    def telemetry(self) -> pd.DataFrame:
        """telemetry.csv, the manifest's trials only."""
        return self._table("telemetry.csv", self.manifest())

    def audit(self) -> pd.DataFrame:
        """audit.csv, the manifest's trials only."""
        return self._table("audit.csv", self.manifest())

    def touched(self) -> pd.DataFrame | None:
        """touched.csv, the manifest's trials only; None in a run of schema version 1 or 2, which has none."""
        manifest = self.manifest()
        return None if manifest.schema_version < 3 else self._table("touched.csv", manifest)

    def findings(self) -> pd.DataFrame | None:
        """audit_findings.csv, the manifest's trials only; None in a run of schema version 1 or 2."""
        manifest = self.manifest()
        return None if manifest.schema_version < 3 else self._table("audit_findings.csv", manifest)

    def summary(self) -> pd.DataFrame:
        """summary.csv; the run must have been analysed."""
        return from_csv(SummaryRow, self._read("summary.csv"), str(self.path / "summary.csv"))

    def recovery(self) -> pd.DataFrame:
        """recovery.csv; the run must have been analysed."""
        return from_csv(RecoveryRow, self._read("recovery.csv"), str(self.path / "recovery.csv"))

    def recovery_rows(self) -> list[RecoveryRow]:
        """The rows of recovery.csv; the run must have been analysed."""
        return read_rows(RecoveryRow, self._read("recovery.csv"), str(self.path / "recovery.csv"))

    def trials(self) -> pd.DataFrame:
        """trials.csv; the run must have been analysed, by schema version 2 or later."""
        return from_csv(TrialRow, self._read("trials.csv"), str(self.path / "trials.csv"))

    def tables(self) -> tuple[str, ...]:
        """The tables the folder holds, by their files' names without `.csv`, the measured ones first."""
        return tuple(name.removesuffix(".csv") for name in TABLES if (self.path / name).is_file())

    def table(self, name: str) -> pd.DataFrame:
        """One of `tables`; of the measured ones the manifest's trials only."""
        file = f"{name}.csv"
        if file in MEASURED:
            return self._table(file, self.manifest())
        return from_csv(TABLES[file], self._read(file), str(self.path / file))

    def histograms(self) -> HistogramTable:
        """The lines of histograms.hlog, the manifest's trials only."""
        manifest = self.manifest()
        if not manifest.trials and not (self.path / HISTOGRAMS).exists():
            return HistogramTable.of(())
        named = _keys(manifest)
        return read_table(self.path / HISTOGRAMS, lambda tag: (tag.generation, tag.trial) in named)

    def events(self) -> Iterator[NodeEvent]:
        """What the nodes' own logs say, trial by trial, by time; lines of other programs are passed over."""
        for trial in self.manifest().trials:
            found: list[NodeEvent] = []
            for log in sorted(self.logs(trial.generation, trial.trial).glob("*.log")):
                found += _events(log, trial)
            yield from sorted(found, key=lambda event: event.t_s)

    def evidence(self) -> Evidence:
        """Everything the analysis goes by; raises RunFolderError for the first file that is not sound."""
        return Evidence(
            manifest=self.manifest(),
            plan=self.plan(),
            timeline=self.timeline(),
            faults=self.faults(),
            telemetry=self.telemetry(),
            audit=self.audit(),
            touched=self.touched(),
            findings=self.findings(),
            histograms=self.histograms(),
            events=tuple(self.events()),
        )

    def _table(self, name: str, manifest: Manifest) -> pd.DataFrame:
        path = self.path / name
        if not manifest.trials and not path.exists():
            return from_csv(MEASURED[name], to_csv(MEASURED[name], ()).encode(), str(path))
        version = manifest.schema_version
        table = from_csv(MEASURED[name], self._read(name), str(path), schema_version=version)
        named = _keys(manifest)
        keys = zip(table["generation"], table["trial"], strict=True)
        kept = np.array([key in named for key in keys], dtype=bool)  # a plain empty list would name columns
        return table[kept].reset_index(drop=True)

    def _kept_table(self, name: str, named: frozenset[tuple[str, int]]) -> str:
        """The file's header and the lines of trials the manifest names; empty for no file."""
        path = self.path / name
        if not path.exists():
            return ""
        with path.open(encoding="utf-8", newline="\n") as text:
            lines = list(text)
        kept = [line for line in lines[1:] if _key_of(line.split(",", 2)) in named]
        return "".join(lines[:1] + kept)

    def _kept_histograms(self, named: frozenset[tuple[str, int]]) -> str:
        path = self.path / HISTOGRAMS
        if not path.exists():
            return LOG_HEADER
        with path.open(encoding="ascii") as lines:
            kept = [line for line in lines if _key_of(line.removeprefix("Tag=").split("/", 2)) in named]
        return LOG_HEADER + "".join(kept)

    def _read(self, name: str) -> bytes:
        path = self.path / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise RunFolderError(f"{path}: {error.strerror}: expected in every run folder") from error

    def _write(self, name: str, text: str) -> None:
        """Replace a file in one step: a reader sees the old one or the new one, also after a power cut."""
        descriptor, temporary = tempfile.mkstemp(dir=self.path, prefix=f".{name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
                out.write(text)
                out.flush()
                os.fchmod(out.fileno(), 0o644)
                os.fsync(out.fileno())
            Path(temporary).replace(self.path / name)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def list_runs(root: Path) -> list[RunFolder]:
    """The run folders under `root`, oldest first; none where there is no such folder."""
    if not root.is_dir():
        return []
    return [RunFolder(path.parent) for path in sorted(root.glob(f"*/{MANIFEST}"))]


def find(root: Path, text: str) -> RunFolder:
    """The run that `text` means: a path, a folder's name, the only name it begins, or `latest`.

    Raises RunFolderError where it means none, or more than one.
    """
    runs = list_runs(root)
    if text == "latest":
        if not runs:
            raise RunFolderError(f"{root}: no run in it yet: `bench run PROFILE` makes one")
        return runs[-1]
    named = [run for run in runs if run.path.name == text]
    if named:
        return named[0]
    if Path(text).exists():
        return RunFolder.open(Path(text))
    begun = [run for run in runs if text and run.path.name.startswith(text)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        names = ", ".join(run.path.name for run in begun[:5])
        raise RunFolderError(f"{text}: {len(begun)} runs begin so ({names}): say more of the name")
    there = ", ".join(run.path.name for run in runs[-3:]) or "none yet"
    raise RunFolderError(f"{text}: no such run: expected a path, a name under {root} ({there}), or `latest`")


def read_published(root: Path) -> tuple[PublishedRow, ...]:
    """The published table from `root`/reference; raises RunFolderError where it cannot be read."""
    return read_claims(root / REFERENCE)


def read_claims(path: Path) -> tuple[PublishedRow, ...]:
    """A table of the published one's shape; raises RunFolderError where it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunFolderError(f"{path}: {error.strerror}: expected the published table") from error
    table = from_csv(PublishedRow, data, str(path))
    twice = table["generation"][table["generation"].duplicated()]
    if len(twice):
        raise RunFolderError(f"{path}: line {twice.index[0] + 2}: {twice.iloc[0]} stands there a second time")
    return tuple(PublishedRow(*row) for row in table.itertuples(index=False, name=None))


def _keys(manifest: Manifest) -> frozenset[tuple[str, int]]:
    return frozenset((trial.generation, trial.trial) for trial in manifest.trials)


def _key_of(parts: list[str]) -> tuple[str, int] | None:
    try:
        return parts[0], int(parts[1])
    except (IndexError, ValueError):
        return None


def _events(log: Path, trial: Trial) -> Iterator[NodeEvent]:
    with log.open("rb") as lines:
        for line in lines:
            if not line.startswith(b"{") or b'"t_ns"' not in line:
                continue
            try:
                fields = json.loads(line)
                t_ns, node, event = fields.pop("t_ns"), fields.pop("node"), fields.pop("event")
                t_s = (t_ns - trial.origin_ns) / 1e9
            except (ValueError, KeyError, TypeError):
                continue  # a line cut off by SIGKILL, or another program's JSON
            yield NodeEvent(trial.generation, trial.trial, t_s, str(node), str(event), fields)

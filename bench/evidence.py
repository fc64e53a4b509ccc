"""A run folder read into memory: everything the analysis goes by, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.histograms import LogLine
from bench.manifest import Manifest


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """One line of a node's own log, on the trial's clock. `fields` are the event's own."""

    generation: str
    trial: int
    t_s: float
    node: str
    event: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One row of the published table: what a generation is claimed to do. Years are calendar years."""

    generation: str
    year: int
    architecture: str
    throughput_tps: float
    response_time_ms: float
    recovery_time_s: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run. The frames have the columns of TimelineRow, FaultRow, TelemetryRow, AuditRow, TouchedRow and
    AuditFindingRow.

    Only trials that the manifest names are in it. `plan` is plan.json as it stands; `histograms` are
    the lines of histograms.hlog in its order, `events` by time within each trial. `touched` and
    `findings` are None where they were not recorded.
    """

    manifest: Manifest
    plan: Mapping[str, Any]
    timeline: pd.DataFrame
    faults: pd.DataFrame
    telemetry: pd.DataFrame
    audit: pd.DataFrame
    touched: pd.DataFrame | None
    histograms: Sequence[LogLine]
    events: tuple[NodeEvent, ...]
    findings: pd.DataFrame | None = None

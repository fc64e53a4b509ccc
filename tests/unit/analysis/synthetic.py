"""Runs whose truth is written down: messages with known fates, binned into the evidence they leave."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.analysis.analyse import analyse
from bench.analysis.subject import Recorded
from bench.evidence import Evidence, NodeEvent, PublishedRow
from bench.histograms import Histogram, LogLine
from bench.manifest import Host, Manifest, Phase, Trial
from bench.records import (
    AuditRow,
    FaultRow,
    HistogramTag,
    Outcome,
    SummaryRow,
    TelemetryRow,
    TimelineRow,
    TouchedRow,
)
from bench.spans import spans_of
from bench.tables import frame

STAGES = (("warmup", "warmup", 0.0, 6.0), ("steady", "steady", 6.0, 20.0), ("fault", "fault", 20.0, 60.0))
SLO_MS = 300.0
TIMEOUT_S = 10.0
HOST = Host("f00d", "A CPU", 2, 8_000_000_000, "6.1", "Debian 12")
PUBLISHED = (
    PublishedRow("monolith", 2011, "XMPP", 50_000, 800, 43_200),
    PublishedRow("sharded", 2015, "distributed MySQL cluster", 300_000, 300, 1_800),
    PublishedRow("microservices", 2020, "microservices", 1_000_000, 150, 300),
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outage:
    """From `start_s` to `end_s` nothing is answered; what was sent in it is answered just after."""

    start_s: float
    end_s: float


@dataclass(frozen=True)
class Scripted:
    """One trial: steady Poisson arrivals, exponential response times, and outages; deliveries take 1 ms more."""

    generation: str = "monolith"
    trial: int = 1
    rate_per_s: float = 400.0
    mean_response_ms: float = 4.0
    outages: Sequence[Outage] = ()
    injected_s: Sequence[float | None] = ()
    node: str = "server"
    seed: int = 1
    slower: Callable[[Floats], Floats] = field(default=np.ones_like)
    cpu_us: float = 800.0
    lost: int = 0
    stages: Sequence[tuple[str, str, float, float]] = STAGES
    bin_width_s: float = 0.1
    status: str = "complete"
    events: Sequence[tuple[float, str] | NodeEvent] = ()
    kinds: Sequence[str] = ()
    """Of the faults, where they are not all kills."""
    healed_s: Sequence[float | None] = ()
    """When each fault's heal was confirmed, where not at once; None is no heal."""
    people: int = 50


def evidence(*trials: Scripted, **plan: Any) -> Evidence:
    """The evidence these trials leave, in a run of the first one's stages."""
    first = trials[0]
    timeline: list[TimelineRow] = []
    lines: list[LogLine] = []
    faults: list[FaultRow] = []
    telemetry: list[TelemetryRow] = []
    audits: list[AuditRow] = []
    events: list[NodeEvent] = []
    touched: list[TouchedRow] = []
    for scripted in trials:
        rows, histograms, late, sends = _binned(scripted)
        timeline += rows
        touched += late
        lines += histograms
        faults += _faults(scripted)
        telemetry += _telemetry(scripted)
        audits.append(_audit(scripted, sends))
        events += [
            event
            if isinstance(event, NodeEvent)
            else NodeEvent(scripted.generation, scripted.trial, event[0], scripted.node, event[1], {})
            for event in scripted.events
        ]
    manifest = Manifest(
        run="20260301-123005-quick",
        created_utc="2026-03-01T12:30:05+00:00",
        profile="quick",
        plan_digest="abc",
        host=HOST,
        versions={"python": "3.11.2"},
        status="measured",
        ended="complete",
        trials=tuple(_trial(scripted) for scripted in trials),
    )
    whole_plan = {
        "generations": list(dict.fromkeys(scripted.generation for scripted in trials)),
        "trials": [{"generation": s.generation, "trial": s.trial} for s in trials],
        "deployment": "local",
        "clients": first.people,
        "slo": {"response_ms": SLO_MS, "share": 0.99},
        "stages": [
            {"name": name, "kind": kind, "start_s": start_s, "end_s": end_s}
            for name, kind, start_s, end_s in first.stages
        ],
        **plan,
    }
    return Evidence(
        manifest=manifest,
        plan=whole_plan,
        timeline=frame(TimelineRow, timeline),
        faults=frame(FaultRow, faults),
        telemetry=frame(TelemetryRow, telemetry),
        audit=frame(AuditRow, audits),
        touched=frame(TouchedRow, touched),
        histograms=tuple(lines),
        events=tuple(events),
    )


def with_manifest(given: Evidence, **changes: Any) -> Evidence:
    """The same evidence under a manifest that says something else."""
    return replace(given, manifest=replace(given.manifest, **changes))


def recorded(given: Evidence, **changes: Any) -> Recorded:
    """The same run as a comparison reads it from its folder."""
    analysis = analyse(given)
    whole = Recorded(
        name=given.manifest.run,
        manifest=given.manifest,
        plan=given.plan,
        summary=frame(SummaryRow, analysis.summary),
        recovery=analysis.recovery,
        audit=given.audit,
    )
    return replace(whole, **changes)


def _trial(scripted: Scripted) -> Trial:
    phases = tuple(Phase(name, start_s, end_s) for name, _, start_s, end_s in scripted.stages)
    detail = "" if scripted.status == "complete" else "the generator's lag p99 was 40 ms"
    return Trial(scripted.generation, scripted.trial, scripted.status, 0, phases, detail)  # type: ignore[arg-type]


def _binned(scripted: Scripted) -> tuple[list[TimelineRow], list[LogLine], list[TouchedRow], int]:
    source = np.random.default_rng(scripted.seed)
    end_s = scripted.stages[-1][3]
    intended_s = np.sort(source.uniform(0, end_s, source.poisson(scripted.rate_per_s * end_s)))
    quick_s = source.exponential(scripted.mean_response_ms / 1000, len(intended_s))
    done_s = intended_s + quick_s * scripted.slower(intended_s)
    for outage in scripted.outages:
        caught = (done_s >= outage.start_s) & (intended_s < outage.end_s)
        done_s[caught] = outage.end_s + quick_s[caught]
    response_s = done_s - intended_s
    ok = response_s <= TIMEOUT_S
    received_s = done_s + 0.001

    width_s = scripted.bin_width_s
    edges = np.arange(round(end_s / width_s) + 1) * width_s

    def per_bin(moments: Floats, chosen: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int64]:
        picked = moments if chosen is None else moments[chosen]
        return np.histogram(picked, edges)[0]

    by_column = {
        "offered": per_bin(intended_s),
        "ok": per_bin(intended_s, ok),
        "unknown": per_bin(intended_s, ~ok),
        "on_time": per_bin(intended_s, response_s <= SLO_MS / 1000),
        "acknowledged_in_bin": per_bin(done_s),
        "delivered_in_bin": per_bin(received_s),
    }
    backlog = np.cumsum(by_column["offered"] - by_column["acknowledged_in_bin"])
    rows: list[TimelineRow] = []
    lines: list[LogLine] = []
    of_intended = np.floor(intended_s / width_s + 1e-9).astype(int)
    of_received = np.floor(received_s / width_s + 1e-9).astype(int)
    for position, start_s in enumerate(np.round(edges[:-1], 6).tolist()):
        phase = next(name for name, _, _, until_s in scripted.stages if start_s + width_s / 2 < until_s)
        counts = {name: int(values[position]) for name, values in by_column.items()}
        rows.append(
            TimelineRow(
                scripted.generation, scripted.trial, phase, start_s, width_s, "send",
                counts["offered"], counts["offered"], 0, counts["ok"], 0, counts["unknown"],
                counts["on_time"], counts["acknowledged_in_bin"], counts["delivered_in_bin"],
                int(backlog[position]), None, None, None, None, None,
            )
        )  # fmt: skip
        here = (of_intended == position) & ok
        samples: Mapping[tuple[Outcome, str], Floats] = {
            ("ok", "response"): response_s[here],
            ("ok", "service"): response_s[here],
            ("ok", "lag"): np.zeros(int(here.sum())),
            ("ok", "delivery"): (received_s - intended_s)[of_received == position],
        }
        for (outcome, measure), values in samples.items():
            if len(values):
                tag = HistogramTag(scripted.generation, scripted.trial, phase, "send", outcome, measure)  # type: ignore[arg-type]
                lines.append(LogLine(tag, start_s, width_s, Histogram.of_values(values * 1e6)))
    late = ~(response_s <= SLO_MS / 1000)
    sender = np.random.default_rng(scripted.seed + 1).integers(0, scripted.people, len(intended_s))
    touched = [
        TouchedRow(
            *(scripted.generation, scripted.trial, round(position * width_s, 6), width_s, "send"),
            len(people),
            spans_of(people.tolist()),
        )
        for position in np.unique(of_intended[late]).tolist()
        for people in [np.unique(sender[late & (of_intended == position)])]
    ]
    return rows, lines, touched, len(intended_s)


def _faults(scripted: Scripted) -> list[FaultRow]:
    rows = []
    for number, injected_s in enumerate(scripted.injected_s, start=1):
        planned_s = 21.0 if injected_s is None else injected_s
        detail = "still running" if injected_s is None else ""
        kind = scripted.kinds[number - 1] if scripted.kinds else "kill"
        healed_s = scripted.healed_s[number - 1] if scripted.healed_s else planned_s + 0.002
        key = (scripted.generation, scripted.trial, number, kind, scripted.node)
        rows.append(FaultRow(*key, "inject", planned_s, planned_s - 0.001, injected_s, detail))
        if healed_s is not None:
            rows.append(FaultRow(*key, "heal", healed_s - 0.002, healed_s - 0.002, healed_s, ""))
    return rows


def _telemetry(scripted: Scripted) -> list[TelemetryRow]:
    key = (scripted.generation, scripted.trial)
    rows = []
    for second in range(-1, round(scripted.stages[-1][3]) + 2):
        used_s = scripted.cpu_us * 1e-6 * scripted.rate_per_s * (second + 5)
        rows.append(TelemetryRow(*key, float(second), scripted.node, "cpu_seconds", used_s, "s"))
        rows.append(TelemetryRow(*key, float(second), "generator", "cpu_ratio", 0.25, "ratio"))
    return rows


def _audit(scripted: Scripted, sends: int) -> AuditRow:
    return AuditRow(
        scripted.generation, scripted.trial, "all", sends, sends, 0, 0, sends - scripted.lost,
        scripted.lost, 0, 0, 0, 0, 0, 0, True, "violated" if scripted.lost else "complete", "",
    )  # fmt: skip


def replace_telemetry(given: Evidence, rows: Sequence[TelemetryRow], *, keep: bool = True) -> Evidence:
    """The same evidence with other readings, added to those it has or instead of them."""
    added = frame(TelemetryRow, rows)
    if keep:
        added = pd.concat([given.telemetry, added], ignore_index=True)
    return replace(given, telemetry=added)


def wandering(log_sd: float, correlated_s: float, seed: int) -> Callable[[Floats], Floats]:
    """A slowdown that drifts: log-normal with median 1, an Ornstein-Uhlenbeck process in its logarithm."""
    source = np.random.default_rng(1000 + seed)
    step_s = 0.05
    keep = np.exp(-step_s / correlated_s)
    log = np.zeros(round(STAGES[-1][3] / step_s) + 2)
    log[0] = source.normal(0, log_sd)
    for at in range(1, len(log)):
        log[at] = keep * log[at - 1] + source.normal(0, log_sd * np.sqrt(1 - keep**2))
    return lambda t_s: np.exp(log[(t_s / step_s).astype(int)])

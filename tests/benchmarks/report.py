"""A large run folder, from its files to the report: the time, the memory and the page's size.

Ten minutes of load on each of three generations, five trials each, two kills, in bins of 100 ms: 90,000
bins and 360,000 histograms. Only the first block of trials is made up; the others are its copies, which costs
the report the same. What is timed is `bench report` itself, in a process of its own.

`python -m tests.benchmarks.report FOLDER` makes such a folder up.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.histograms import LOG_HEADER, encode_line
from bench.machine import host
from bench.manifest import Manifest, Phase, Trial
from bench.plan import Plan
from bench.planning import make_plan
from bench.profile import Profile
from bench.records import (
    AuditFindingRow,
    AuditRow,
    FaultRow,
    HistogramTag,
    Measure,
    Outcome,
    TelemetryRow,
    TimelineRow,
    TouchedRow,
)
from bench.results import RunFolder
from bench.tables import to_csv
from tests.benchmarks.running import Running
from tests.benchmarks.setting import Setting
from tests.benchmarks.tables import Figure, at_most, figure

PER_S = 200
MEDIAN_MS = {"monolith": 3.0, "sharded": 9.0, "microservices": 20.0}
NODES = {"monolith": 1, "sharded": 7, "microservices": 12}
OUTAGE_S = {"monolith": 2.0, "sharded": 6.0, "microservices": 8.0}
FAULTS_S = (380.0, 500.0)
TRIALS = 5
MOST_S, MOST_MB, MOST_PAGE_MB = 5.0, 400.0, 5.0


def measure(setting: Setting) -> list[Figure]:
    """The figures of one large report, in several rounds."""
    root = setting.fresh("report")
    setting.say("report: making up 3 generations × 5 trials × 10 minutes in bins of 100 ms")
    folder = make_up(root)
    walls_s, cpus_s, peaks_mb = [], [], []
    command = (sys.executable, "-m", "bench", "--results", str(root), "report", folder.path.name)
    for number in range(min(setting.rounds, 3)):
        setting.say(f"report: round {number + 1}")
        began, before_s = time.monotonic(), _children_s()
        with Running(command, root / "report.log", cores=None) as running:
            running.wait(600)
        walls_s.append(time.monotonic() - began)
        cpus_s.append(_children_s() - before_s)
        peaks_mb.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6)
    page_mb = (folder.path / "report.html").stat().st_size / 1e6
    part = ("report", "bench report")
    return [
        figure(*part, "wall", walls_s, "s", at_most(MOST_S)),
        figure(*part, "CPU", cpus_s, "CPU-s"),
        figure(*part, "peak memory", peaks_mb, "MB", at_most(MOST_MB)),
        figure(*part, "page", [page_mb], "MB", at_most(MOST_PAGE_MB)),
    ]


def _children_s() -> float:
    """CPU time of the processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_up(root: Path, *, trials: int = TRIALS) -> RunFolder:
    """A run folder as a run would have left it; its latencies are lognormal, its outages stop everything."""
    plan = _plan(trials)
    now = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)
    folder = RunFolder.create(root, plan.name, now)
    folder.write_plan(plan.to_json())
    manifest = Manifest(folder.path.name, now.isoformat(), plan.name, plan.digest, host(), versions={})
    phases = tuple(Phase(stage.name, stage.start_s, stage.end_s) for stage in plan.stages)
    done = [
        Trial(t.generation, t.trial, "complete", 0, phases, verdict="sut_bound", verdict_reason="made up")
        for t in plan.trials
    ]
    folder.write_manifest(replace(manifest, ended="complete", status="measured", trials=tuple(done)))
    files = (
        "timeline.csv",
        "faults.csv",
        "telemetry.csv",
        "audit.csv",
        "touched.csv",
        "audit_findings.csv",
        "histograms.hlog",
    )
    rows = (TimelineRow, FaultRow, TelemetryRow, AuditRow, TouchedRow, AuditFindingRow)
    heads = [*(to_csv(row, ()) for row in rows), LOG_HEADER]
    outs = [(folder.path / name).open("w", newline="") for name in files]
    for out, head in zip(outs, heads, strict=True):
        out.write(head)
    for generation in plan.generations:
        timeline, hlog = _binned(plan, generation)
        first = [
            to_csv(TimelineRow, timeline, header=False),
            to_csv(FaultRow, _faults(plan, generation), header=False),
            to_csv(TelemetryRow, _telemetry(plan, generation), header=False),
            to_csv(AuditRow, [_audit(generation, timeline)], header=False),
            to_csv(TouchedRow, _touched(plan, generation), header=False),
            "",
            hlog,
        ]
        for trial in range(1, trials + 1):
            for out, text in zip(outs, first, strict=True):
                mark = "/" if out is outs[-1] else ","
                out.write(text.replace(f"{generation}{mark}1{mark}", f"{generation}{mark}{trial}{mark}"))
    for out in outs:
        out.close()
    return folder


def _plan(trials: int) -> Plan:
    spans = {"warmup": ("warmup", 60), "steady": ("steady", 300), "fault": ("fault", 240)}
    profile = {
        "name": "large",
        "generations": list(MEDIAN_MS),
        "trials": trials,
        "population": {"clients": 200},
        "load": {
            "stages": [
                {"name": name, "kind": kind, "duration": f"{length_s}s", "rate": f"{PER_S}/s"}
                for name, (kind, length_s) in spans.items()
            ]
        },
        "slo": {"response": "300ms", "share": "99%"},
        "faults": [{"kind": "kill", "target": "core", "at": f"{at_s:g}s"} for at_s in FAULTS_S],
    }
    return make_plan(Profile.model_validate(profile))


def _binned(plan: Plan, generation: str) -> tuple[list[TimelineRow], str]:
    source = np.random.default_rng(len(generation))
    width_s, end_s = plan.bin_width_s, plan.load_s
    intended_s = np.sort(source.uniform(0, end_s, source.poisson(PER_S * end_s)))
    quick_s = source.lognormal(np.log(MEDIAN_MS[generation] / 1000), 0.5, len(intended_s))
    done_s = intended_s + quick_s
    for at_s in FAULTS_S:
        back_s = at_s + OUTAGE_S[generation]
        caught = (intended_s >= at_s) & (intended_s < back_s)
        done_s[caught] = back_s + quick_s[caught]
    response_s = done_s - intended_s
    received_s = done_s + source.lognormal(np.log(0.001), 0.3, len(done_s))
    bins = round(end_s / width_s)
    of_intended, of_done, of_received = (
        np.minimum((moments / width_s).astype(int), bins - 1) for moments in (intended_s, done_s, received_s)
    )
    offered, acknowledged, delivered = (
        np.bincount(places, minlength=bins) for places in (of_intended, of_done, of_received)
    )
    on_time = np.bincount(of_intended[response_s <= plan.slo.response_ms / 1000], minlength=bins)
    backlog = np.cumsum(offered - acknowledged)
    order = np.argsort(of_received, kind="stable")
    edges = np.searchsorted(of_intended, np.arange(bins + 1))
    received_edges = np.searchsorted(of_received[order], np.arange(bins + 1))
    delivery_s = (received_s - intended_s)[order]
    lag_s = source.lognormal(np.log(0.0002), 0.5, len(intended_s))
    rows, lines = [], []
    for at in range(bins):
        start_s = round(at * width_s, 6)
        phase = next(stage.name for stage in plan.stages if start_s + width_s / 2 < stage.end_s)
        many = int(offered[at])
        rows.append(
            TimelineRow(
                generation, 1, phase, start_s, width_s, "send", many, many, 0, many, 0, 0,
                int(on_time[at]), int(acknowledged[at]), int(delivered[at]), int(backlog[at]),
                None, None, None, None, None,
            )
        )  # fmt: skip
        here = slice(edges[at], edges[at + 1])
        samples: dict[tuple[Outcome, Measure], np.ndarray[tuple[int], np.dtype[np.float64]]] = {
            ("ok", "response"): response_s[here],
            ("ok", "service"): response_s[here] - lag_s[here] * 0.1,
            ("ok", "lag"): lag_s[here],
            ("ok", "delivery"): delivery_s[received_edges[at] : received_edges[at + 1]],
        }
        for (outcome, measured), values_s in samples.items():
            tag = HistogramTag(generation, 1, phase, "send", outcome, measured)
            lines.append(encode_line(tag, start_s, width_s, values_s * 1e6))
    return rows, "".join(lines)


def _faults(plan: Plan, generation: str) -> Iterator[FaultRow]:
    for fault in plan.faults_of(generation, 1):
        key = (generation, 1, fault.fault, fault.kind, "+".join(fault.nodes))
        at_s = fault.inject_s
        yield FaultRow(*key, "inject", at_s, at_s, at_s + 0.002, "")
        yield FaultRow(*key, "heal", at_s + 1, at_s + 1, at_s + 1.1, "")


def _touched(plan: Plan, generation: str) -> Iterator[TouchedRow]:
    for at_s in FAULTS_S:
        for step in range(round(OUTAGE_S[generation] / plan.bin_width_s)):
            start_s = round(at_s + step * plan.bin_width_s, 6)
            yield TouchedRow(generation, 1, start_s, plan.bin_width_s, "send", 20, f"{step}-{step + 19}")


def _telemetry(plan: Plan, generation: str) -> Iterator[TelemetryRow]:
    for second in range(round(plan.load_s)):
        for node in range(NODES[generation]):
            used_s = 0.0004 * PER_S * (second + 5) / (node + 1)
            yield TelemetryRow(generation, 1, float(second), f"node-{node}", "cpu_seconds", used_s, "s")
            yield TelemetryRow(generation, 1, float(second), f"node-{node}", "resident_bytes", 5e7, "bytes")
        yield TelemetryRow(generation, 1, float(second), "generator", "cpu_ratio", 0.25, "ratio")
        for metric in ("busy_ratio", "steal_ratio", "cpu_pressure_ratio", "foreign_cpu_ratio"):
            yield TelemetryRow(generation, 1, float(second), "host", metric, 0.2, "ratio")
        yield TelemetryRow(generation, 1, float(second), "host", "sleep_overshoot_ms", 0.2, "ms")


def _audit(generation: str, timeline: Sequence[TimelineRow]) -> AuditRow:
    sends = sum(row.offered for row in timeline)
    return AuditRow(
        generation, 1, "all", sends, sends, 0, 0, sends, 0, 0, 0, 0, 0, 0, 0, True, "complete", ""
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.report", description=__doc__)
    parser.add_argument("folder", type=Path)
    print(make_up(parser.parse_args().folder).path)


if __name__ == "__main__":
    main()

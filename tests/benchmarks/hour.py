"""An hour at 10,000 operations a second, from the workers' messages to the figures of a report.

Four workers' settled bins are made up (lognormal latencies, one-second bins, a Poisson count each) in the
form in which workers send them: msgpack, as Locust does. What is timed runs in a process of its own, with
nothing else in it: unpack, join the workers' bins, write timeline and histograms, keep them in a run
folder, read that back, analyse it.

`python -m tests.benchmarks.hour MESSAGES FOLDER` is that process.
"""

import argparse
import itertools
import json
import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgpack
import numpy as np
import scipy.stats  # noqa: F401  # the analysis loads it when it needs it; start-up counts for nobody

from bench.analysis.analyse import analyse
from bench.histograms import Histogram
from bench.load.driver import read_measured
from bench.load.gathering import Gathering
from bench.load.settled import Counts, SettledBin
from bench.machine import host
from bench.manifest import Manifest, Phase, Trial
from bench.plan import Plan
from bench.planning import make_plan
from bench.profile import Profile
from bench.records import Measure, Outcome
from bench.results import RunFolder
from tests.benchmarks.running import Running
from tests.benchmarks.setting import Setting
from tests.benchmarks.tables import Figure, at_most, figure

HOUR_S, PER_S, WORKERS = 3_600, 10_000, 4
SHARES = {"send": 0.6, "group_send": 0.4}
MEASURES_MS: dict[tuple[Outcome, Measure], tuple[float, float]] = {
    ("ok", "response"): (5.0, 0.5),
    ("ok", "service"): (4.9, 0.5),
    ("ok", "lag"): (0.05, 0.7),
    ("ok", "delivery"): (6.0, 0.6),
}
"""Median and sigma of each measure's lognormal distribution."""
GENERATION = "monolith"
MOST_S, MOST_MB = 10.0, 500.0


def measure(setting: Setting) -> list[Figure]:
    """The figures of one hour; several rounds of the merging and analysing."""
    folder = setting.fresh("hour")
    messages = folder / "messages"
    setting.say(f"hour: making up {HOUR_S * PER_S:,} operations of {WORKERS} workers")
    with messages.open("wb") as out:
        for message in make_up(HOUR_S):
            out.write(msgpack.packb(message))
    said: list[dict[str, Any]] = []
    for number in range(min(setting.rounds, 3)):
        setting.say(f"hour: merging and analysing it, round {number + 1}")
        own = folder / f"round-{number}"
        own.mkdir()
        command = (sys.executable, "-m", "tests.benchmarks.hour", str(messages), str(own))
        with Running(command, own / "hour.log", cores=setting.cores.generator) as running:
            running.wait(600)
        said.append(json.loads((own / "said.json").read_text()))
    part = ("hour", "threegen")
    return [
        figure(*part, "merged", (one["merged_s"] for one in said), "CPU-s"),
        figure(*part, "kept", (one["kept_s"] for one in said), "CPU-s"),
        figure(*part, "analysed", (one["analysed_s"] for one in said), "CPU-s"),
        figure(*part, "all", (one["cpu_s"] for one in said), "CPU-s", at_most(MOST_S)),
        figure(*part, "wall", (one["wall_s"] for one in said), "s"),
        figure(*part, "peak memory", (one["peak_bytes"] / 1e6 for one in said), "MB", at_most(MOST_MB)),
    ]


def make_up(seconds: int, seed: int = 1) -> Iterator[list[Any]]:
    """Messages [worker, bins, settled until] as the workers send them, one a worker and second."""
    source = np.random.default_rng(seed)
    for second in range(seconds):
        for worker in range(WORKERS):
            bins = [
                _bin(source, second, operation, share * PER_S / WORKERS)
                for operation, share in SHARES.items()
            ]
            yield [worker, [one.to_lists() for one in bins], second + 1]


def _bin(source: np.random.Generator, second: int, operation: str, mean: float) -> SettledBin:
    many = int(source.poisson(mean))
    counts = Counts(
        **dict.fromkeys(("offered", "sent", "ok", "on_time", "acknowledged_in_bin"), many),
        delivered_in_bin=many,
        attempts=many,
        answers=many,
    )
    latencies = {
        key: Histogram.of_values(median_ms * 1000 * source.lognormal(0.0, sigma, many))
        for key, (median_ms, sigma) in MEASURES_MS.items()
    }
    return SettledBin(second, operation, counts, latencies)


def _plan() -> Plan:
    stage = {"name": "steady", "kind": "steady", "duration": f"{HOUR_S}s", "rate": f"{PER_S}/s"}
    profile = {
        "name": "hour",
        "generations": [GENERATION],
        "population": {"clients": 2_000},
        "load": {"stages": [stage]},
    }
    return make_plan(Profile.model_validate(profile))


def _merge(plan: Plan, messages: Path, out: Path) -> None:
    """What the master does with the workers' messages."""
    with (
        (out / "timeline.csv").open("w", newline="") as timeline,
        (out / "touched.csv").open("w", newline="") as touched,
        (out / "histograms.hlog").open("w", newline="") as hlog,
        messages.open("rb") as source,
    ):
        gathering = Gathering(
            *(GENERATION, 1, plan.stages),
            bin_width_s=plan.bin_width_s,
            timeline=timeline,
            touched=touched,
            hlog=hlog,
            producers=WORKERS,
        )
        for worker, bins, until in msgpack.Unpacker(source):
            gathering.take(worker, [SettledBin.from_lists(one) for one in bins], until)
        gathering.close()


def _keep(plan: Plan, out: Path, root: Path) -> RunFolder:
    """What the conductor does with what the load process wrote."""
    measured = read_measured(out)
    now = datetime.now(UTC)
    folder = RunFolder.create(root, plan.name, now)
    folder.write_plan(plan.to_json())
    folder.write_manifest(
        Manifest(folder.path.name, now.isoformat(), plan.name, plan.digest, host(), versions={})
    )
    phases = tuple(Phase(stage.name, stage.start_s, stage.end_s) for stage in plan.stages)
    trial = Trial(GENERATION, 1, "complete", 0, phases)
    folder.add_trial(
        trial,
        timeline=measured.timeline,
        audit=measured.audit,
        touched=measured.touched,
        hlog_text=measured.hlog_text,
    )
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.hour", description=__doc__)
    parser.add_argument("messages", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    plan = _plan()
    out = cast(Path, given.folder) / "out"
    out.mkdir()
    began = time.monotonic()
    moments = [time.process_time()]
    _merge(plan, given.messages, out)
    moments.append(time.process_time())
    folder = _keep(plan, out, given.folder)
    moments.append(time.process_time())
    analysis = analyse(folder.evidence())
    folder.write_analysis(
        summary=analysis.summary,
        recovery=analysis.recovery,
        phases=analysis.phases,
        trials=analysis.trials,
    )
    moments.append(time.process_time())
    steps_s = [after - before for before, after in itertools.pairwise(moments)]
    said = {
        **dict(zip(("merged_s", "kept_s", "analysed_s"), steps_s, strict=True)),
        "cpu_s": moments[-1] - moments[0],
        "wall_s": time.monotonic() - began,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "tps": analysis.headlines[0].tps,
    }
    (given.folder / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()

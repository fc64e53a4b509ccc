"""This project's own load process, whole: open loop, Poisson arrivals, everything recorded and written.

It is the process that `bench run` starts, with the protocol `request`: Locust, its statistics fed, the
timeline and the histograms on disk.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import DeploymentError
from bench.histograms import Histogram, merge, percentile, read_log
from bench.load.trial import Assignment
from bench.planning import make_plan
from bench.profile import Profile
from bench.records import Endpoint, TimelineRow
from bench.tables import read_rows
from tests.benchmarks.peers import QUANTILES, Load, Report, Target
from tests.benchmarks.running import Running

LOGIN_RATE_PER_S = 2_000
LEAD_S = 0.3
"""From everybody's being online to the first stage."""


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of one rate."""

    name: str
    seconds: float
    rate_per_s: float


class Ours:
    """A bench `Peer`; it needs a rate."""

    name = "threegen"

    def __init__(self, client: str = "request") -> None:
        self._client = client

    def start(self, target: Target, load: Load, folder: Path, cores: frozenset[int] | None) -> Running:
        """See Peer; returns at the origin of the load."""
        if load.rate_per_s is None:
            raise ValueError("an open loop needs a rate")
        steps = [Step("steady", load.seconds, load.rate_per_s)]
        return self.start_steps(target, load.connections, steps, folder, cores)

    def start_steps(
        self,
        target: Target,
        people: int,
        steps: Sequence[Step],
        folder: Path,
        cores: frozenset[int] | None,
    ) -> Running:
        """Begin with the first of `steps`; returns at the origin of the load."""
        folder.mkdir(parents=True, exist_ok=True)
        plan_file = folder / "plan.json"
        plan_file.write_text(make_plan(Profile.model_validate(_profile(people, steps))).to_json())
        endpoint = Endpoint(target.host, target.port)
        assignment = Assignment("noop", self._client, 1, 1, 1, (endpoint,))
        out = folder / "out"
        out.mkdir()
        command = (
            *(sys.executable, "-m", "bench.load", "--plan", str(plan_file)),
            *("--assignment", assignment.to_json(), "--out", str(out)),
        )
        running = Running(command, folder / "load.log", cores=cores, talk=True)
        try:
            until(running, "online")
            origin_ns = time.monotonic_ns() + round(LEAD_S * 1e9)
            running.stdin.write(f"begin {origin_ns}\n".encode())
            running.stdin.flush()
            time.sleep(LEAD_S)
        except BaseException:
            running.end()
            raise
        return running

    def report(self, running: Running, folder: Path) -> Report:
        """See Peer."""
        until(running, "finished")
        running.wait(60)
        measures = {name: latencies(folder, name) for name in ("response", "service", "lag")}
        lag_us = percentile(measures["lag"], 0.99)
        return Report(
            measures["response"].total,
            _quantiles_ms(measures["response"]),
            _quantiles_ms(measures["service"]),
            None if lag_us is None else lag_us / 1000,
        )


def timeline(folder: Path) -> Sequence[TimelineRow]:
    """What a run wrote down, bin by bin."""
    path = folder / "out" / "timeline.csv"
    return read_rows(TimelineRow, path.read_bytes(), str(path))


def latencies(folder: Path, measure: str) -> Histogram:
    """All of one measure of a run's acknowledged requests, the logins not among them."""
    lines = read_log(folder / "out" / "histograms.hlog")
    tags = ((line.tag, line.histogram) for line in lines)
    return merge(
        histogram
        for tag, histogram in tags
        if tag.measure == measure and tag.outcome == "ok" and tag.operation != "login"
    )


def until(running: Running, event: str) -> dict[str, Any]:
    """Read what the load process says until it tells of `event`; raises DeploymentError where it fails."""
    for line in running.stdout:
        said: dict[str, Any] = json.loads(line)
        if said["event"] == event:
            return said
        if said["event"] == "failed":
            raise DeploymentError(f"the load failed: {said['error']} (all: {running.log})")
    running.wait(10)
    raise DeploymentError(f"the load ended before it told of {event!r}; see {running.log}")


def _profile(people: int, steps: Sequence[Step]) -> dict[str, Any]:
    stages = [
        {
            "name": step.name,
            "kind": "steady",
            "duration": f"{step.seconds:g}s",
            "rate": f"{step.rate_per_s:.3f}/s",
        }
        for step in steps
    ]
    return {
        "name": "benchmark",
        "generations": ["monolith"],  # the only word for a system under test that a plan needs
        "population": {"clients": people, "login_rate": f"{LOGIN_RATE_PER_S}/s"},
        "load": {"stages": stages},
        "drain": {"quiet": "1s", "limit": "5s"},
    }


def _quantiles_ms(histogram: Histogram) -> dict[float, float]:
    found = {quantile: percentile(histogram, quantile) for quantile in QUANTILES}
    return {quantile: value_us / 1000 for quantile, value_us in found.items() if value_us is not None}

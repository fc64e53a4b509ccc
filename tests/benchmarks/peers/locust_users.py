"""Locust as it comes, with both of its HTTP users: closed loop, each user asks, waits, and asks again.

With a rate each user has `constant_throughput`. Latencies are Locust's own, rounded as it rounds them:
to two significant digits from 100 ms on, else to whole ms.
"""

import csv
import sys
from pathlib import Path
from typing import Literal

from tests.benchmarks.peers import QUANTILES, Load, Report, Target
from tests.benchmarks.running import Running

_LOCUSTFILE = """
from locust import {kind}, constant_throughput, task

class Person({kind}):
    {wait}

    @task
    def ask(self):
        self.client.get("/")
"""
_COLUMNS = {0.5: "50%", 0.99: "99%", 0.999: "99.9%"}


class Locust:
    """A bench `Peer`, of one kind of user."""

    def __init__(self, kind: Literal["HttpUser", "FastHttpUser"]) -> None:
        self.name = f"Locust {kind}"
        self._kind = kind

    def start(self, target: Target, load: Load, folder: Path, cores: frozenset[int] | None) -> Running:
        """See Peer."""
        folder.mkdir(parents=True, exist_ok=True)
        each_per_s = None if load.rate_per_s is None else load.rate_per_s / load.connections
        wait = "" if each_per_s is None else f"wait_time = constant_throughput({each_per_s:.9g})"
        file = folder / "locustfile.py"
        file.write_text(_LOCUSTFILE.format(kind=self._kind, wait=wait))
        users = ("--users", str(load.connections), "--spawn-rate", str(load.connections))
        command = (
            *(sys.executable, "-m", "locust", "--headless", "--only-summary", "--skip-log"),
            *("-f", str(file), "--host", target.url.rstrip("/"), *users),
            *(
                "--run-time",
                f"{load.seconds:g}s",
                "--csv",
                str(folder / "locust"),
                "--exit-code-on-error",
                "0",
            ),
        )
        return Running(command, folder / "locust.log", cores=cores)

    def report(self, running: Running, folder: Path) -> Report:
        """See Peer."""
        running.wait(300)
        with (folder / "locust_stats.csv").open(newline="") as file:
            total = next(row for row in csv.DictReader(file) if row["Name"] == "Aggregated")
        return Report(int(total["Request Count"]), {q: float(total[_COLUMNS[q]]) for q in QUANTILES})

"""A real Prometheus, asked over its HTTP API: one started here, or any at a given address."""

import contextlib
import json
import math
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.children import die_with_parent
from bench.deployment.local.ports import free_port
from bench.programs import find as find_program

START_TIMEOUT_S = 20.0
POLL_S = 0.1


class Prometheus:
    """One that runs at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ready(self) -> bool:
        """Whether it answers queries."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=3):
                return True
        except OSError:
            return False

    def query(self, expression: str) -> list[dict[str, str]]:
        """The labels of each series that has a finite value now; raises AssertionError when it is refused."""
        found = self._get("query", {"query": expression})["result"]
        return [series["metric"] for series in found if math.isfinite(float(series["value"][1]))]

    def _get(self, what: str, parameters: Mapping[str, str]) -> Any:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode(errors='replace')}") from error


@contextlib.contextmanager
def scraping(folder: Path, job: str, targets: Mapping[str, str], *, every: str) -> Iterator[Prometheus]:
    """Run a Prometheus of our own that asks `targets` (address by node) as monitoring/prometheus.yml does.

    JSON is YAML: the configuration is written as such.
    """
    config, log, port = folder / "prometheus.json", folder / "prometheus.log", free_port()
    scrape = {
        "job_name": job,
        "static_configs": [
            {"targets": [address], "labels": {"node": node}} for node, address in targets.items()
        ],
    }
    config.write_text(
        json.dumps(
            {"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": [scrape]}
        )
    )
    program = find_program("prometheus")
    assert program is not None, "no prometheus here: bench doctor --install --for tests"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(None),  # noqa: PLW1509  # nothing but system calls in it
        )
    try:
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + START_TIMEOUT_S
        while not prometheus.ready():
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(POLL_S)
        yield prometheus
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()

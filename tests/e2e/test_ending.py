"""However a run ends, nothing stays behind and what was measured can be read."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Bench

SHORT = """\
name: short
generations: [{generation}]
population: {{clients: 10, login_rate: 20/s}}
load:
  stages:
    - {{name: warmup, kind: warmup, duration: 1s, rate: 50/s}}
    - {{name: steady, kind: steady, duration: {steady}, rate: 50/s}}
drain: {{quiet: {quiet}, limit: 30s}}
"""


def folder_of(bench: Bench) -> Path:
    (folder,) = (path for path in bench.results.iterdir() if (path / "manifest.json").exists())
    return folder


@pytest.mark.parametrize(
    ("generation", "moment"),
    [
        ("monolith", "passing a message through"),
        ("monolith", "bringing 10 people online"),
        ("monolith", "under load"),
        ("monolith", "steady: "),
        ("sharded", "preparing "),
        ("sharded", "steady: "),
        ("microservices", "trial 1 of 1"),
        ("microservices", "steady: "),
    ],
)
def test_an_interrupt_ends_everything_within_ten_seconds_and_keeps_what_was_measured(
    bench: Bench, profile: Callable[..., Path], generation: str, moment: str
) -> None:
    running = bench.start("run", str(profile(SHORT.format(generation=generation, steady="60s", quiet="5s"))))
    bench.wait_said(moment, running)
    if moment.startswith("steady"):
        time.sleep(1.0)  # something to keep
    running.send_signal(signal.SIGINT)
    interrupted = time.monotonic()
    code = running.wait(30)
    took_s = time.monotonic() - interrupted
    assert bench.wait_gone(0.5) == {}
    assert took_s < 10
    assert code == 130, bench.said()
    assert "Traceback" not in bench.said()
    manifest = json.loads((folder_of(bench) / "manifest.json").read_text())
    assert manifest["ended"] == "interrupted"
    assert generation in manifest["reached"]
    assert not (bench.results / ".work").exists()
    report = bench("report", "latest")
    assert report.returncode == 0, report.stderr
    assert "nterrupted" in report.stdout
    if moment.startswith("steady"):
        timeline = (folder_of(bench) / "timeline.csv").read_text().splitlines()
        assert any(",steady," in line and ",send," in line for line in timeline)


def test_a_harness_killed_outright_leaves_no_process_and_the_next_run_clears_its_data(
    bench: Bench, profile: Callable[..., Path]
) -> None:
    path = str(profile(SHORT.format(generation="sharded", steady="60s", quiet="5s")))
    running = bench.start("run", path)
    bench.wait_said("under load", running)
    assert len(bench.processes()) > 7
    running.kill()
    running.wait()
    assert bench.wait_gone(5) == {}
    left = folder_of(bench)
    report = bench("report", left.name)
    assert report.returncode == 0, report.stderr
    again = bench("run", str(profile(SHORT.format(generation="monolith", steady="2s", quiet="1s"))))
    assert again.returncode == 0, again.stdout + again.stderr
    assert not (bench.results / ".work").exists()


def test_a_load_process_that_dies_fails_the_run_in_one_line(
    bench: Bench, profile: Callable[..., Path]
) -> None:
    path = str(profile(SHORT.format(generation="monolith", steady="60s", quiet="5s")))
    running = bench.start("run", path)
    bench.wait_said("steady: ", running)
    (load,) = (pid for pid, words in bench.processes().items() if "-m bench.load --plan" in words)
    os.kill(load, signal.SIGKILL)
    assert running.wait(20) == 1
    assert "bench: the load process ended with -9" in bench.said()
    assert "Traceback" not in bench.said()
    assert bench("report", "latest").returncode == 0


def test_a_node_that_dies_while_starting_fails_the_run_with_its_own_last_words(
    bench: Bench, profile: Callable[..., Path]
) -> None:
    path = str(profile(SHORT.format(generation="sharded", steady="60s", quiet="5s")))
    running = bench.start("run", path)
    bench.wait_said("preparing ", running)
    deadline = time.monotonic() + 30
    while not (found := [pid for pid, words in bench.processes().items() if "services failover" in words]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(found[0], signal.SIGKILL)
    assert running.wait(30) == 1
    assert "failover ended with -9 while starting" in bench.said().replace("\n", " ")


def test_two_runs_never_overlap(bench: Bench, profile: Callable[..., Path]) -> None:
    path = str(profile(SHORT.format(generation="monolith", steady="60s", quiet="5s")))
    running = bench.start("run", path)
    bench.wait_said("under load", running)
    second = bench("run", path)
    assert second.returncode == 2
    assert second.stderr.startswith("bench: another bench run holds ")
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 130


def test_a_search_that_is_interrupted_ends_at_once_and_keeps_the_trials_it_had(
    bench: Bench, profile: Callable[..., Path]
) -> None:
    path = profile(SHORT.format(generation="monolith", steady="2s", quiet="1s"))
    running = bench.start("capacity", str(path), "--trial", "1s", "--total", "2s")
    bench.wait_said("all goals met", running)
    running.send_signal(signal.SIGINT)
    interrupted = time.monotonic()
    assert running.wait(30) == 130, bench.said()
    assert time.monotonic() - interrupted < 10
    assert bench.wait_gone(0.5) == {}
    assert "Traceback" not in bench.said()
    assert not (bench.results / ".work").exists()
    assert len((folder_of(bench) / "capacity_trials.csv").read_text().splitlines()) >= 2
    report = bench("report", "latest")
    assert report.returncode == 0, report.stderr
    assert "Interrupted: 0 of 1 generations, then monolith trial" in " ".join(report.stdout.split())
    assert "p99<=150ms" in report.stdout
    compared = bench("compare", "latest", "latest")
    assert compared.returncode == 2
    assert "is of a search for capacity" in compared.stderr

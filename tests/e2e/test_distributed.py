"""`bench run` with several workers, with one that joins, and with one that dies; `bench worker` alone."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from tests.e2e.conftest import PROJECT, Bench

PROFILE = """
name: crew
generations: [monolith]
population: {clients: 24, login_rate: 30/s, contacts: 6}
load:
  mix: {send: 60%, group_send: 40%}
  stages:
    - {name: warmup, kind: warmup, duration: 2s, rate: 150/s}
    - {name: steady, kind: steady, duration: LENGTH, rate: 150/s}
slo: {response: 500ms, share: 90%}
drain: {quiet: 2s, limit: 30s}
"""


def only_run(bench: Bench) -> tuple[Path, Any]:
    (folder,) = (path.parent for path in bench.results.glob("*/manifest.json"))
    return folder, json.loads((folder / "manifest.json").read_text())


def test_two_workers_share_the_people_and_the_audit_is_one(
    bench: Bench, profile: Callable[..., Path]
) -> None:
    done = bench("run", str(profile(PROFILE.replace("LENGTH", "6s"))), "--workers", "2", timeout_s=120)
    assert done.returncode == 0, done.stdout + done.stderr
    folder, manifest = only_run(bench)
    assert [trial["status"] for trial in manifest["trials"]] == ["complete"]
    (whole,) = pd.read_csv(folder / "audit.csv").query("phase == 'all'").to_dict("records")
    assert (whole["verdict"], whole["lost"], whole["phantom"]) == ("complete", 0, 0)
    timeline = pd.read_csv(folder / "timeline.csv")
    assert timeline.query("operation == 'login'")["ok"].sum() == 24
    sent = timeline[timeline["operation"].isin(["send", "group_send"])]["sent"].sum()
    assert whole["attempted"] == whole["acknowledged"] == sent
    cpu = pd.read_csv(folder / "telemetry.csv").query("metric == 'cpu_seconds'")
    assert {"generator", "generator-worker-1", "generator-worker-2"} <= set(cpu["subject"])
    costs = pd.read_csv(folder / "summary.csv")["metric"]
    costs = costs[costs.str.startswith("cpu_us_per_transaction:")]
    assert set(costs) == {"cpu_us_per_transaction:server"}, "the load is no node of the system"


def test_a_worker_joins_from_elsewhere(bench: Bench, profile: Callable[..., Path]) -> None:
    running = bench.start(
        "run", str(profile(PROFILE.replace("LENGTH", "3s"))), "--join", "1", "--listen", "127.0.0.1"
    )
    bench.wait_said("bench worker --master ", running)
    found = re.search(r"--master (\S+)", bench.said())
    assert found is not None
    with subprocess.Popen(
        bench.command("worker", "--master", found[1]),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=bench.environment(),
        cwd=PROJECT,
    ) as joined:
        bench.started.append(joined)
        assert joined.stdout is not None
        heard = next(line for line in joined.stdout if "is over" in line)
        assert "trial 1" in heard
        joined.send_signal(signal.SIGINT)  # there could be further trials
        assert joined.wait(20) == 130
    assert running.wait(60) == 0, bench.said()
    _, manifest = only_run(bench)
    assert [trial["status"] for trial in manifest["trials"]] == ["complete"]


def test_a_worker_that_dies_mid_run_makes_the_trial_void_and_withholds_its_figures(
    bench: Bench, profile: Callable[..., Path]
) -> None:
    running = bench.start("run", str(profile(PROFILE.replace("LENGTH", "20s"))), "--workers", "2")
    bench.wait_said("steady:", running)
    workers = [pid for pid, words in bench.processes().items() if "bench.load.worker" in words]
    os.kill(workers[0], signal.SIGKILL)
    assert running.wait(90) == 0, bench.said()
    _, manifest = only_run(bench)
    (trial,) = manifest["trials"]
    assert trial["status"] == "void"
    assert "worker" in trial["detail"]
    said = bench.said()
    assert "worker" in said
    assert re.search(r"^monolith \* +– +– +–", said, re.MULTILINE), f"no figure is shown:\n{said}"


def test_a_worker_whose_master_is_not_there_says_so(bench: Bench) -> None:
    done = bench("worker", "--master", "127.0.0.1:9", "--wait", "1s")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    *progress, line = done.stderr.strip().splitlines()
    assert line.startswith("bench: no master at 127.0.0.1:9")
    assert len(progress) <= 2

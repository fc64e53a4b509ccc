import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.telemetry.foreign import Foreign
from bench.telemetry.generator import Generator
from bench.telemetry.host import Host
from bench.telemetry.processes import Processes
from bench.telemetry.reading import Reading
from bench.telemetry.sampler import Sampler


def test_a_process_that_works_is_seen_to_work() -> None:
    processes = Processes()
    before = {r.metric: r.value for r in processes.sample({"me": os.getpid()})}
    sum(n * n for n in range(3_000_000))
    after = {r.metric: r.value for r in processes.sample({"me": os.getpid()})}
    assert after["cpu_seconds"] > before["cpu_seconds"]
    assert after["resident_bytes"] > 1_000_000


def test_a_node_that_is_down_or_gone_gives_no_reading() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert list(Processes().sample({"down": None, "gone": child.pid})) == []


def test_host_ratios_are_shares_and_need_two_samples(tmp_path: Path) -> None:
    pressure = tmp_path / "cpu"
    pressure.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\nfull total=0\n")
    host = Host(pressure)
    assert [r.metric for r in host.sample()] == ["sleep_overshoot_ms"]
    sum(n * n for n in range(2_000_000))
    subprocess.run([sys.executable, "-c", ""], check=True)
    pressure.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1001000\nfull total=0\n")
    found = {r.metric: r.value for r in host.sample()}
    assert found["cpu_pressure_ratio"] > 0
    assert 0 <= found["steal_ratio"] <= 1
    assert 0 < found["busy_ratio"] <= 1
    assert found["context_switches_per_s"] > 0


def burn() -> None:
    sum(n * n for n in range(3_000_000))


def test_a_load_process_that_works_all_the_time_has_a_core_or_waits_for_one() -> None:
    generator = Generator()
    pids = {"generator": os.getpid(), "server": os.getpid(), "generator-worker-1": None}
    assert list(generator.sample(pids)) == []
    burn()
    found = {(r.subject, r.metric): r.value for r in generator.sample(pids)}
    assert set(found) == {("generator", "cpu_ratio"), ("generator", "wait_ratio")}
    assert sum(found.values()) > 0.5


def test_a_kernel_that_counts_no_waiting_leaves_only_that_out(tmp_path: Path) -> None:
    generator = Generator(tmp_path)
    list(generator.sample({"generator-worker-1": os.getpid()}))
    burn()
    assert [r.metric for r in generator.sample({"generator-worker-1": os.getpid()})] == ["cpu_ratio"]


def test_what_other_processes_use_is_foreign_and_what_the_run_uses_is_not() -> None:
    watching, blind = Foreign(), Foreign()
    me = {"me": os.getpid()}
    assert [*watching.sample(me), *blind.sample({})] == []
    for _ in range(3):
        burn()
    (seen,), (unseen,) = watching.sample(me), blind.sample({})
    assert seen.metric == unseen.metric == "foreign_cpu_ratio"
    assert 0 <= seen.value < unseen.value <= 1


def test_a_kernel_without_pressure_leaves_only_that_out(tmp_path: Path) -> None:
    host = Host(tmp_path / "none")
    list(host.sample())
    sum(n * n for n in range(2_000_000))
    assert "cpu_pressure_ratio" not in {r.metric for r in host.sample()}


async def test_a_device_that_breaks_leaves_a_gap_and_the_others_their_readings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: Host) -> Iterator[Reading]:
        raise OSError("no such device")

    monkeypatch.setattr(Host, "sample", broken)
    sampler = Sampler(lambda: {"me": os.getpid()}, clock_ns=lambda: 5_000_000_000)
    async with sampler:
        while not any(row.subject == "me" for row in sampler.rows("x", 1, 0)):
            await asyncio.sleep(0.001)
    rows = sampler.rows("monolith", 2, 3_000_000_000)
    assert {row.subject for row in rows} == {"host", "me", "harness"}
    assert [(row.metric, row.value) for row in rows if row.subject == "host"] == [("failed_samples", 1)]
    assert {(row.generation, row.trial, row.t_s) for row in rows} == {("monolith", 2, 2.0)}

"""Load made by several processes, under one master, against the calibration target."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.deployment.local.noop import topology
from bench.deployment.local.topology import Site, Topology
from bench.load.driver import ALONE, Crew, LoadDriver
from bench.plan import Plan
from bench.planning import make_plan
from bench.profile import Profile
from bench.programs import require
from bench.records import Endpoint
from tests.integration.loading import Heard, offer

Start = Callable[[Callable[[Site], Topology]], Any]
CLIENTS, RATE = 8, 200
PASSWORD = "open sesame"


def plan(load_s: float = 3) -> Plan:
    made = make_plan(
        Profile.model_validate(
            {
                "name": "crew",
                "population": {"clients": CLIENTS, "login_rate": "50/s", "contacts": 5},
                "load": {
                    "stages": [
                        {"name": "steady", "kind": "steady", "duration": f"{load_s}s", "rate": f"{RATE}/s"}
                    ],
                    "timeout": "2s",
                },
                "drain": {"quiet": "1s", "limit": "20s"},
            }
        )
    )
    return replace(made, password=PASSWORD)


def target(start: Start, host: str = "127.0.0.1") -> tuple[Endpoint, ...]:
    return tuple(start(lambda site: topology(replace(site, host=host), "xmpp")).endpoints)


def test_one_process_has_ten_thousand_people_online(start: Start, tmp_path: Path) -> None:
    many = {"count": 10_000, "password": PASSWORD}
    running = start(lambda site: topology(replace(site, people=many), "websocket"))
    crowd = make_plan(
        Profile.model_validate(
            {
                "name": "crowd",
                "population": {"clients": 10_000, "login_rate": "2000/s"},
                "load": {
                    "stages": [{"name": "steady", "kind": "steady", "duration": "3s", "rate": "500/s"}],
                },
                "drain": {"quiet": "1s", "limit": "60s"},
            }
        )
    )
    heard = asyncio.run(
        offer(
            replace(crowd, password=PASSWORD),
            tuple(running.endpoints),
            tmp_path / "load",
            ALONE,
            client="websocket",
            patience_s=180,
        )
    )
    assert max(report.get("online", 0) for report in heard.reports) == 10_000
    assert heard.measured is not None
    logins = [row for row in heard.measured.timeline if row.operation == "login"]
    assert sum(row.ok for row in logins) == 10_000, "nobody was lost and came again"
    whole = heard.measured.audit[-1]
    assert (whole.verdict, whole.attempted) == ("complete", whole.delivered), whole
    assert whole.attempted > 1_000


def test_several_workers_together_do_what_one_process_does(start: Start, tmp_path: Path) -> None:
    heard = asyncio.run(offer(plan(), target(start), tmp_path / "load", Crew(workers=3)))
    assert heard.measured is not None
    whole = heard.measured.audit[-1]
    assert (whole.phase, whole.verdict, whole.drained) == ("all", "complete", True), whole
    assert whole.attempted == whole.acknowledged == whole.delivered == heard.sum_of("sent")
    assert heard.sum_of("delivered_in_bin") == whole.attempted
    # Poisson with mean 600: six standard deviations.
    assert heard.sum_of("offered") == pytest.approx(3 * RATE, abs=6 * (3 * RATE) ** 0.5)
    logins = sum(row.ok for row in heard.measured.timeline if row.operation == "login")
    assert logins == CLIENTS
    assert heard.closing["lost_workers"] == heard.closing["clocks"] == []


def test_a_worker_that_dies_ends_the_trial_and_what_was_measured_is_kept(
    start: Start, tmp_path: Path
) -> None:
    async def kill(load: LoadDriver, heard: Heard) -> None:
        while not any(report.get("t_s", -1) > 0.5 for report in heard.reports):
            await asyncio.sleep(0.02)
        pid = load.pids["generator-worker-2"]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    endpoints = target(start)
    heard = asyncio.run(offer(plan(60), endpoints, tmp_path / "load", Crew(workers=2), during=kill))
    (lost,) = heard.closing["lost_workers"]
    assert re.fullmatch(r"worker \d of 2 \(.+\) was lost at \d+\.\d s", lost)
    assert heard.closing["detail"] == lost
    assert heard.measured is not None
    whole = heard.measured.audit[-1]
    assert (whole.verdict, whole.drained, whole.detail) == ("unknown", False, lost)
    assert heard.sum_of("ok") > 0


def test_a_master_that_is_not_there_is_said_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "worker", "--master", "127.0.0.1:9", "--wait", "100ms"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("bench: no master at 127.0.0.1:9; start one there")
    assert "Traceback" not in done.stderr


# Hosts of their own: network namespaces, each a link away, with clocks of their own besides.

NETWORK = "10.231.77"
AHEAD_S = 1_000


def as_root(*words: str) -> list[str]:
    return [*([] if os.geteuid() == 0 else ["sudo", "-n"]), *words]


def ip(*words: str) -> None:
    done = subprocess.run(as_root(require("ip"), *words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """Two network namespaces, linked to this one; the address of this end of link n is NETWORK.(4n + 1)."""
    names = [f"threegen-{os.getpid()}-{n}" for n in range(2)]
    bridge = f"tg{os.getpid() % 100_000}"
    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("address", "add", f"{NETWORK}.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for n, name in enumerate(names):
            ip("netns", "add", name)
            ip("link", "add", f"{bridge}v{n}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{bridge}v{n}", "master", bridge, "up")
            ip("-n", name, "address", "add", f"{NETWORK}.{n + 2}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(as_root(require("ip"), "netns", "delete", name), capture_output=True, check=False)
        subprocess.run(as_root(require("ip"), "link", "delete", bridge), capture_output=True, check=False)


def test_workers_on_hosts_of_their_own_with_clocks_of_their_own(
    start: Start, tmp_path: Path, hosts: list[str]
) -> None:
    """One worker's clock is 1,000 s ahead: its origin must be too, and all times must come out right."""

    async def join(load: LoadDriver, heard: Heard) -> None:
        while not any(report["event"] == "listening" for report in heard.reports):
            await asyncio.sleep(0.02)
        port = next(report["port"] for report in heard.reports if report["event"] == "listening")
        worker = (sys.executable, "-m", "bench", "worker", "--master", f"{NETWORK}.1:{port}")
        clock = ("unshare", "--time", "--fork", "--kill-child", f"--monotonic={AHEAD_S}")
        workers = [
            await asyncio.create_subprocess_exec(
                *as_root(require("ip"), "netns", "exec", host, *ahead, *worker),
                stderr=asyncio.subprocess.DEVNULL,
            )
            for host, ahead in zip(hosts, (clock, ()), strict=True)
        ]
        while not any(report["event"] == "finished" for report in heard.reports):
            await asyncio.sleep(0.05)
        for process in workers:  # they look for the next trial's master now
            process.kill()
            await process.wait()

    crew = Crew(join=2, host=f"{NETWORK}.1")
    endpoints = target(start, host=f"{NETWORK}.1")
    heard = asyncio.run(offer(plan(), endpoints, tmp_path / "load", crew, during=join))
    assert heard.measured is not None
    whole = heard.measured.audit[-1]
    assert whole.verdict == "complete", whole
    assert whole.attempted == whole.delivered == heard.sum_of("delivered_in_bin") > 0
    (clock,) = heard.closing["clocks"]  # the other worker reads the same clock as the master
    found = re.search(r"its clock is ([+-]\d+) µs from the master's, ± (\d+) µs", clock)
    assert found is not None
    offset_us, plus_minus_us = map(int, found.groups())
    # The namespace's offset is exact, but for the rounding of the figures to 1 µs.
    assert abs(offset_us - AHEAD_S * 1_000_000) <= plus_minus_us + 1
    rows = [row for row in heard.measured.timeline if row.operation == "send" and row.sent]
    assert {row.phase for row in rows} == {"steady"}

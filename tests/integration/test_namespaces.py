"""Nodes on places of their own: cut off, slowed, robbed of their disk, told the wrong time; and no trace after.

It needs root. Where the tests run as somebody else, the first of them runs the others through sudo.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiomysql
import pytest

from bench.conductor.deploying import deploy
from bench.conductor.trial import Left, Session
from bench.deployment.namespaces import NamespacedDeployment
from bench.errors import DeploymentError
from bench.load.trial import Assignment
from bench.plan import Plan, PlannedTrial, client_kind
from bench.planning import make_plan
from bench.profile import Profile
from bench.programs import require
from bench.records import Endpoint, Link
from tests.e2e.conftest import Bench

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="run through sudo by the first test of this file")
SILENCE_S = 0.4


@pytest.mark.skipif(ROOT, reason="this is root already: the others run by themselves")
def test_all_of_these_pass_as_root() -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        ["sudo", "-n", "-E", *words], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Onlooker:
    def trial(self, plan: Plan, planned: PlannedTrial, *, retry_of: int | None = None) -> None: ...
    def step(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def load(self, *figures: Any) -> None: ...


def plan_of(generation: str, *faults: Mapping[str, Any], load: str = "1s") -> Plan:
    return make_plan(
        Profile.model_validate(
            {
                "name": "places",
                "deployment": "namespaces",
                "generations": [generation],
                "population": {"clients": 8, "login_rate": "50/s"},
                "load": {
                    "stages": [
                        {"name": "steady", "kind": "steady", "duration": "1s", "rate": "100/s"},
                        {"name": "fault", "kind": "fault", "duration": load, "rate": "100/s"},
                    ],
                    "timeout": "2s",
                },
                "faults": faults,
                "drain": {"quiet": "1s", "limit": "30s"},
            }
        )
    )


def up(plan: Plan, folder: Path) -> NamespacedDeployment:
    (generation,) = plan.generations
    deployment = deploy(plan, generation, folder / "work", folder / "logs", Onlooker())
    assert isinstance(deployment, NamespacedDeployment)
    return deployment


async def under_load(plan: Plan, deployment: NamespacedDeployment, folder: Path) -> Left:
    """One trial of the plan, its faults and all."""
    (trial,) = plan.trials
    name = trial.generation
    plan_file = folder / "plan.json"
    plan_file.write_text(plan.to_json())
    session = Session(
        plan=plan,
        plan_file=plan_file,
        assignment=Assignment(name, client_kind(name), 1, trial.seed, 1, deployment.endpoints),
        scratch=folder / "load",
        log=folder / "load.log",
        watcher=Onlooker(),
        faults=plan.faults_of(name, trial.trial),
    )
    await session.run(deployment)
    return session.left()


def complete(left: Left) -> None:
    """Every fault was done and undone, and no acknowledged message was lost."""
    assert [row.detail for row in left.faults if row.completed_s is None] == []
    whole = left.measured.audit[-1]
    assert (whole.verdict, whole.lost) == ("complete", 0), whole
    assert whole.acknowledged > 100


def answers(endpoint: Endpoint, timeout_s: float = SILENCE_S) -> float | None:
    """Seconds until the node takes a connection; None where there is silence."""
    begun = time.perf_counter()
    try:
        socket.create_connection((endpoint.host, endpoint.port), timeout=timeout_s).close()
    except TimeoutError:
        return None
    return time.perf_counter() - begun


class Talker:
    """A program at the node's place that sends what it is asked for: `bytes` by TCP, or `datagrams` by UDP."""

    TCP = """import socket, sys
there = socket.create_connection((sys.argv[1], int(sys.argv[2])))
there.sendall(bytes(int(sys.argv[3])))
"""
    UDP = """import socket, sys, time
there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[3])):
    there.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
    time.sleep(0.0002)
"""

    def __init__(self, deployment: NamespacedDeployment, node: str) -> None:
        pid = deployment.pid(node)
        self._inside = (require("nsenter"), f"--net=/proc/{pid}/ns/net", "--", sys.executable, "-c")
        host = deployment.endpoints[0].host
        self._here = f"{host.rpartition('.')[0]}.1"

    def seconds_for(self, size_bytes: int) -> float:
        with socket.create_server((self._here, 0)) as listener:
            words = (self.TCP, self._here, str(listener.getsockname()[1]), str(size_bytes))
            with subprocess.Popen((*self._inside, *words)):
                connection, _ = listener.accept()
                begun = time.perf_counter()
                with connection:
                    while connection.recv(1 << 16):
                        pass
                return time.perf_counter() - begun

    def datagrams_of(self, count: int) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as arriving:
            arriving.bind((self._here, 0))
            arriving.settimeout(1.0)
            words = (self.UDP, self._here, str(arriving.getsockname()[1]), str(count))
            arrived = 0
            with subprocess.Popen((*self._inside, *words)), suppress(TimeoutError):
                while arriving.recv(10):
                    arrived += 1
        return arrived


@as_root
async def test_a_node_that_is_cut_off_runs_on_and_hears_nobody_until_it_is_let_in_again(
    tmp_path: Path,
) -> None:
    async with up(plan_of("monolith"), tmp_path) as deployment:
        (endpoint,) = deployment.endpoints
        before = deployment.nodes()
        assert answers(endpoint) is not None
        await deployment.cut_off("server")
        assert answers(endpoint) is None
        await deployment.slow_down("server", Link(latency_s=0.001))
        assert answers(endpoint) is None, "it is slow and cut off"
        await deployment.full_speed("server")
        assert answers(endpoint) is None, "it is still cut off"
        await deployment.join_again("server")
        await deployment.join_again("server")  # one that is not cut off is left alone
        assert answers(endpoint, 10) is not None
        assert deployment.nodes() == before
        with pytest.raises(DeploymentError, match="no node 'api-1' here"):
            await deployment.cut_off("api-1")


@as_root
async def test_what_a_node_sends_is_late_lost_or_slow_and_then_as_before(tmp_path: Path) -> None:
    async with up(plan_of("monolith"), tmp_path) as deployment:
        (endpoint,) = deployment.endpoints
        talker = Talker(deployment, "server")
        await deployment.full_speed("server")  # one that is not slow is left alone
        await deployment.slow_down("server", Link(latency_s=0.1))
        late_s = answers(endpoint, 10)
        assert late_s is not None
        assert late_s >= 0.1
        await deployment.slow_down("server", Link(loss_ratio=0.5))
        # Binomial with mean 500: six standard deviations.
        assert talker.datagrams_of(1_000) == pytest.approx(500, abs=6 * 250**0.5)
        await deployment.slow_down("server", Link(bytes_per_s=100_000))
        assert talker.seconds_for(150_000) >= 0.9, "32 KB of it may come at once"
        await deployment.slow_down("server", Link(latency_s=0.05, bytes_per_s=100_000))
        late_s = answers(endpoint, 10)
        assert late_s is not None
        assert late_s >= 0.05
        assert talker.seconds_for(150_000) >= 0.9
        await deployment.full_speed("server")
        assert talker.datagrams_of(100) == 100


@as_root
async def test_a_full_disk_ends_the_monolith_which_acknowledged_nothing_that_it_had_not_kept(
    tmp_path: Path,
) -> None:
    plan = plan_of(
        "monolith",
        {"kind": "full_disk", "target": "server", "at": "1500ms", "duration": "1500ms"},
        load="4s",
    )
    async with up(plan, tmp_path) as deployment:
        before = deployment.pid("server")
        complete(await under_load(plan, deployment, tmp_path))
        assert deployment.pid("server") not in {None, before}, "it died, and came back when there was room"
        with pytest.raises(DeploymentError, match="server was not started with a clock that can be moved"):
            await deployment.jump_clock("server", 1)
    assert "No space left on device" in (tmp_path / "logs" / "server.log").read_text()
    assert not (tmp_path / "work").exists()


async def wall_clock_of(deployment: NamespacedDeployment, folder: Path, node: str) -> float:
    """How far the database's wall clock is ahead of ours, as it says itself."""
    config = json.loads((folder / "work/config/failover.json").read_text())
    (port,) = (one["port"] for shard in config["shards"] for one in shard if one["node"] == node)
    (host,) = (one["host"] for shard in config["shards"] for one in shard if one["node"] == node)
    account = config["application"]
    connection = await aiomysql.connect(
        host=host, port=port, user=account["user"], password=account["password"]
    )
    try:
        cursor = await connection.cursor()
        await cursor.execute("SELECT UNIX_TIMESTAMP(SYSDATE(6))")
        ((there_s,),) = await cursor.fetchall()
        return float(there_s) - time.time()
    finally:
        connection.close()


@as_root
async def test_a_shard_whose_primary_is_slow_and_an_hour_ahead_loses_nothing(tmp_path: Path) -> None:
    node = "shard-0-primary"
    plan = plan_of(
        "sharded",
        {"kind": "slow", "target": node, "at": "1500ms", "duration": "1s", "latency": "30ms"},
        {"kind": "clock_jump", "target": node, "at": "3s", "duration": "2500ms", "by": "1h"},
        load="8s",
    )
    async with up(plan, tmp_path) as deployment:
        complete(await under_load(plan, deployment, tmp_path))
        assert abs(await wall_clock_of(deployment, tmp_path, node)) < 30, "its clock was set right"
        await deployment.jump_clock(node, -3600)
        assert await wall_clock_of(deployment, tmp_path, node) == pytest.approx(-3600, abs=30)
        assert abs(await wall_clock_of(deployment, tmp_path, "shard-1-primary")) < 30


@as_root
async def test_the_log_goes_on_without_the_server_that_is_cut_off_and_loses_nothing(tmp_path: Path) -> None:
    plan = plan_of(
        "microservices",
        {"kind": "partition", "target": "nats-1", "at": "1500ms", "duration": "3s"},
        load="6s",
    )
    async with up(plan, tmp_path) as deployment:
        before = deployment.nodes()
        complete(await under_load(plan, deployment, tmp_path))
        assert deployment.nodes()["nats-1"] == before["nats-1"], "it ran all the while"
        supervisor = deployment.pid("supervisor")
        assert supervisor is not None
        os.kill(supervisor, signal.SIGKILL)
        owned = [name for name in before if name != "supervisor"]
        wait_until(lambda: not any(deployment.pid(name) for name in owned))


CUT = """\
name: cut
deployment: namespaces
generations: [sharded]
population: {clients: 10, login_rate: 20/s}
load:
  stages:
    - {name: steady, kind: steady, duration: 1s, rate: 50/s}
    - {name: fault, kind: fault, duration: 60s, rate: 50/s}
faults:
  - {kind: pause, target: api-1, at: 1500ms, duration: 50s}
  - {kind: slow, target: api-2, at: 1500ms, duration: 50s, latency: 20ms, bandwidth: 10Mbit/s}
  - {kind: full_disk, target: shard-1-replica, at: 1500ms, duration: 50s}
  - {kind: clock_jump, target: shard-1-primary, at: 1500ms, duration: 50s, by: 1h}
  - {kind: partition, target: shard-0-primary, at: 2s, duration: 50s}
"""


def namespaces_of(pids: Mapping[int, str]) -> set[str]:
    """The network and mount namespaces of the processes, without our own."""
    kinds = ("net", "mnt")
    theirs = {str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for pid in pids for kind in kinds}
    return theirs - {str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in kinds}


def still_there(namespaces: set[str]) -> set[str]:
    """Those of `namespaces` that any process of this machine is in."""
    links = (link for kind in ("net", "mnt") for link in Path("/proc").glob(f"[0-9]*/ns/{kind}"))
    found = set()
    for link in links:
        with suppress(OSError):
            found.add(str(link.readlink()))
    return found & namespaces


def said_by(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@as_root
def test_a_harness_killed_in_the_middle_of_a_partition_leaves_nothing_and_the_next_command_says_what_it_cleared(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    profile = tmp_path / "cut.yaml"
    profile.write_text(CUT)
    shared_memory = set(Path("/dev/shm").glob("*faketime*"))
    running = bench.start("run", str(profile))
    try:
        bench.wait_said("partition shard-0-primary", running)
        time.sleep(0.5)  # in the middle of it
        (batch,) = bench.results.glob(".work/*/ground/batches/1")
        found = re.search(r"threegen-\d+-\d+", batch.read_text())
        assert found is not None
        device, namespaces = found.group(), namespaces_of(bench.processes())
        assert len(namespaces) == 7 + 2, (
            "one of the network for each node, those of the switch and the mounts"
        )
        assert device in said_by(require("ip"), "link")
        assert str(bench.results) in said_by(require("losetup"), "--list")
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert bench.wait_gone(5) == {}, "neither a child nor a stopped process"
    wait_until(lambda: not still_there(namespaces))  # who is dying has no environment, and is there still

    def trace() -> str:
        return said_by(require("ip"), "link") + said_by(require("losetup"), "--list")

    wait_until(lambda: device not in trace() and str(bench.results) not in trace())
    assert device not in said_by(require("tc"), "qdisc")
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert set(Path("/dev/shm").glob("*faketime*")) <= shared_memory

    assert (bench.results / ".work").exists(), "files are what could not be cleared at once"
    following = bench("list")
    assert following.returncode == 0
    assert re.search(r"^bench: cleared what a run that was killed left: \d+ folder", following.stderr, re.M)
    assert not (bench.results / ".work").exists()


def wait_until(true: Callable[[], bool], within_s: float = 10) -> None:
    """The kernel takes links and loop devices away a moment after the last process."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@as_root
def test_workers_of_other_hosts_are_refused_before_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    profile = tmp_path / "cut.yaml"
    profile.write_text(CUT)
    done = bench("run", str(profile), "--join", "1", "--listen", "127.0.0.1")
    assert done.returncode == 2, done.stderr
    assert "deployment: namespaces: workers of other hosts (--join) cannot reach its nodes" in done.stderr


@as_root
def test_somebody_who_is_not_root_is_refused_before_the_run() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import os\nfrom bench.deployment.namespaces import require\n"
         "os.setuid(65534)\ntry: require()\nexcept Exception as error: print(error)"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("deployment: namespaces needs root"), done.stderr

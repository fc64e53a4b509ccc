"""Generations as containers, for real: measured and broken through a profile, and nothing left of them."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
from docker import DockerClient

from bench.conductor.deploying import deploy
from bench.deployment.compose import images, leftovers
from bench.deployment.compose.deployment import ComposeDeployment
from bench.deployment.compose.engine import PROJECT_LABEL
from bench.deployment.compose.project import own_name
from bench.errors import DeploymentError, MachineError
from bench.plan import Plan
from bench.planning import single
from bench.records import Link
from tests.integration.compose import IMAGE, PROJECT
from tests.integration.engine import NoEngine, docker_engine

PATIENCE_S = 120.0
POLL_S = 0.05
PROFILE = """\
name: contained
deployment: compose
generations: [monolith]
population: {{clients: 12, login_rate: 50/s, contacts: 4}}
load:
  stages:
    - {{name: warmup, kind: warmup, duration: 1s, rate: 100/s}}
    - {{name: steady, kind: steady, duration: 2s, rate: 100/s}}
    - {{name: faults, kind: steady, duration: {faults_s}, rate: 100/s}}
slo: {{response: 5s, share: 1%}}
faults:
{faults}
drain: {{quiet: 1s, limit: 40s}}
"""
DROWNED = "threegen-999999999-1"
"""The project of a harness whose process id no system gives out."""


class Said:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def trial(self, plan: Plan, planned: Any, *, retry_of: int | None = None) -> None: ...

    def step(self, text: str) -> None:
        self.texts.append(text)

    note = step

    def load(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerClient]:
    """The engine that bench and we ask alike."""
    with contextlib.ExitStack() as stack:
        missing = ""
        try:
            environment = stack.enter_context(docker_engine())
        except NoEngine as error:
            missing = str(error)
        if missing:
            pytest.fail(missing, pytrace=False)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in {**environment, "THREEGEN_IMAGE": IMAGE}.items():
            patch.setenv(name, value)
        client = docker.from_env()
        stack.callback(client.close)
        yield client


@pytest.fixture
def bench(engine: DockerClient, tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts `bench run` of PROFILE with other words, its output in out.txt."""
    started: list[subprocess.Popen[str]] = []

    def start(**words: str) -> "subprocess.Popen[str]":
        profile = tmp_path / "contained.yaml"
        profile.write_text(PROFILE.format(**words))
        temporary = tmp_path / "tmp"
        temporary.mkdir()
        command = [sys.executable, "-m", "bench", "--results", str(tmp_path / "results"), "run", str(profile)]
        with (tmp_path / "out.txt").open("w") as out:
            running = subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=PROJECT,
                env={**os.environ, "TMPDIR": str(temporary)},
            )
        started.append(running)
        return running

    yield start
    for running in started:
        running.kill()
        running.wait()


def left(engine: DockerClient, project: str) -> list[Any]:
    """Whatever there still is of a project."""
    labelled = {"label": f"{PROJECT_LABEL}={project}"}
    found = engine.containers.list(all=True, filters=labelled, ignore_removed=True)
    return [*found, *engine.networks.list(filters=labelled), *engine.volumes.list(filters=labelled)]


def project_of(pid: int) -> str:
    """What the projects of that harness are called."""
    start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"threegen-{pid}-{start}"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as lines:
        return list(csv.DictReader(lines))


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_S)


def test_a_profile_is_run_on_containers_through_its_faults_and_every_message_is_accounted_for(
    engine: DockerClient, bench: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    faults = [
        "  - {kind: partition, target: core, at: 3.2s, duration: 1s}",
        "  - {kind: pause, target: core, at: 5s, duration: 500ms}",
        "  - {kind: slow, target: core, at: 6s, duration: 500ms, bandwidth: 10Mbit/s}",
        "  - {kind: kill, target: core, at: 7s}",
    ]
    running = bench(faults_s="6s", faults="\n".join(faults))
    project = project_of(running.pid)
    code = running.wait(240)
    said = (tmp_path / "out.txt").read_text()
    assert code == 0, said
    (folder,) = (tmp_path / "results").glob("*-contained")
    steps = rows(folder / "faults.csv")
    assert {(row["kind"], row["step"]) for row in steps} == {
        (kind, step) for kind in ("partition", "pause", "slow", "kill") for step in ("inject", "heal")
    }
    assert all(row["completed_s"] and not row["detail"] for row in steps), steps
    audit = rows(folder / "audit.csv")
    assert sum(int(row["acknowledged"]) for row in audit) > 500
    assert {row["lost"] for row in audit} == {"0"}
    used = [
        r for r in rows(folder / "telemetry.csv") if (r["subject"], r["metric"]) == ("server", "cpu_seconds")
    ]
    assert len(used) > 5
    (log,) = folder.glob("logs/*/server.log")
    assert log.read_text().count('"event": "started"') == 2
    assert left(engine, project) == []


def test_a_harness_killed_outright_in_a_partition_leaves_no_container_network_volume_or_process(
    engine: DockerClient, bench: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    running = bench(faults_s="60s", faults="  - {kind: partition, target: core, at: 3s, duration: 50s}")
    project = project_of(running.pid)
    said = tmp_path / "out.txt"
    wait_until(lambda: "partition server" in said.read_text() or running.poll() is not None, "no partition")
    assert running.poll() is None, said.read_text()
    assert left(engine, project)
    running.send_signal(signal.SIGKILL)
    running.wait()
    wait_until(lambda: left(engine, project) == [], f"{left(engine, project)} left")
    wait_until(lambda: not processes_saying(project), f"{processes_saying(project)} left")
    (log,) = (tmp_path / "results").glob("*/logs/*/server.log")
    assert '"event": "ready"' in log.read_text()


def processes_saying(word: str) -> list[str]:
    """The command lines that have `word` in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [line for line in [path.read_text().replace("\0", " ")] if word in line]
    return found


def test_what_not_even_the_lifeline_could_remove_the_next_command_clears_and_says_so(
    engine: DockerClient,
) -> None:
    labels = {PROJECT_LABEL: DROWNED}
    ours = {PROJECT_LABEL: own_name()}
    engine.volumes.create(f"{DROWNED}_server", labels=labels)
    engine.networks.create(f"{DROWNED}_default", labels=labels)
    engine.volumes.create(f"{own_name()}_server", labels=ours)
    said: list[str] = []
    try:
        leftovers.clear(said.append)
        assert left(engine, DROWNED) == []
        assert [text for text in said if DROWNED in text] == [
            f"removed 2 containers, networks and volumes that a killed run left ({DROWNED})"
        ]
        assert len(left(engine, own_name())) == 1  # this harness lives
    finally:
        for one in left(engine, own_name()):
            one.remove()


async def test_the_engine_starts_again_what_was_killed_and_not_what_was_stopped(
    engine: DockerClient, tmp_path: Path
) -> None:
    """In the generation that heals itself."""
    plan = replace(single("microservices", 4), deployment="compose")
    await images.build(["microservices"], tmp_path / "build.log", lambda _: None)
    watcher = Said()
    async with deploy(plan, "microservices", tmp_path / "work", tmp_path / "logs", watcher) as deployment:
        assert isinstance(deployment, ComposeDeployment)
        assert None not in deployment.nodes().values()
        first = deployment.nodes()["message-1"]
        await deployment.kill("message-1")
        assert deployment.nodes()["message-1"] is None
        await eventually(lambda: deployment.nodes()["message-1"] is not None)
        assert deployment.nodes()["message-1"] != first
        await deployment.stop("gateway-2")
        with pytest.raises(DeploymentError, match="gateway-2 is not running"):
            await deployment.pause("gateway-2")
        await deployment.restart("gateway-2")
        assert deployment.nodes()["gateway-2"] is not None
        await deployment.join_again("nats-1")  # which is not cut off
        await deployment.full_speed("nats-1")
        await deployment.slow_down("nats-1", Link(bytes_per_s=1e6))
        await deployment.full_speed("nats-1")
        with pytest.raises(DeploymentError, match="no node 'supervisor' here; there are nats-1"):
            await deployment.kill("supervisor")
    told = [json.loads(line) for line in (tmp_path / "logs" / "engine.log").read_text().splitlines()]
    assert [(line["event"], line["target"]) for line in told] == [
        ("detected", "message-1"),
        ("restarted", "message-1"),
        ("stopped", "gateway-2"),
    ]
    assert "passing a message through" in watcher.texts
    assert left(engine, own_name()) == []
    assert not (tmp_path / "work").exists()


async def eventually(true: Callable[[], bool]) -> None:
    import asyncio

    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(POLL_S)


async def test_an_image_that_cannot_be_built_is_refused_in_one_line(
    engine: DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_bytes((PROJECT / "docker-compose.yml").read_bytes())
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY nothing /\n")
    monkeypatch.setattr(images, "FILE", broken)
    with pytest.raises(MachineError, match=r"the image of monolith cannot be built: .*nothing") as refused:
        await images.build(["monolith"], tmp_path / "build.log", lambda _: None)
    assert "\n" not in str(refused.value)

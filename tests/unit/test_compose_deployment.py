"""What the compose deployment writes, reads and refuses, without an engine."""

import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.capabilities import CAPABILITIES
from bench.commands.options import crew_of
from bench.deployment import ClockJump, FullDisk, Kill, Partition, Pause, SlowNetwork, Stop
from bench.deployment.compose import requirements
from bench.deployment.compose.deployment import ComposeDeployment
from bench.deployment.compose.engine import connect
from bench.deployment.compose.member import member_of
from bench.deployment.compose.network import shape
from bench.deployment.compose.project import Project, harness_lives, nodes_of, own_name
from bench.deployment.compose.saying import as_log
from bench.deployment.local.topology import Site
from bench.errors import MachineError, UserError
from bench.generations import GENERATIONS, FaultKind
from bench.plan import PlannedFault
from bench.planning import single
from bench.records import Link

NEEDS: dict[FaultKind, type] = {
    "kill": Kill,
    "stop": Stop,
    "pause": Pause,
    "partition": Partition,
    "slow": SlowNetwork,
    "full_disk": FullDisk,
    "clock_jump": ClockJump,
}


def test_it_can_do_what_the_plan_believes_it_can() -> None:
    able = {kind for kind, protocol in NEEDS.items() if issubclass(ComposeDeployment, protocol)}
    assert able == CAPABILITIES["compose"] & NEEDS.keys()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("tcp://192.0.2.1:2375", "expected unix://PATH"),
        ("unix:///nowhere/docker.sock", "no Docker engine answers at unix:///nowhere/docker.sock (No such"),
    ],
)
def test_an_engine_that_is_elsewhere_or_nowhere_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, where: str, said: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", where)
    with pytest.raises(MachineError) as refused:
        connect()
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_socket_behind_which_nobody_listens_is_no_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as deserted:
        deserted.bind(str(path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with pytest.raises(MachineError, match=r"\(Connection refused\): start one"):
        connect()


def test_a_socket_without_the_right_to_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/engine.sock")
    monkeypatch.setattr("bench.deployment.compose.engine.socket.socket", _Forbidden)
    with pytest.raises(MachineError, match=r"no right to use the Docker engine at .*--groups docker"):
        connect()


class _Forbidden:
    def __init__(self, family: int) -> None: ...

    def __enter__(self) -> "_Forbidden":
        return self

    def __exit__(self, *_: object) -> None: ...

    def connect(self, path: str) -> None:
        raise PermissionError(13, "Permission denied", path)


def believe_in_an_engine(monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    engine = SimpleNamespace(info=lambda: {"DockerRootDir": root})
    monkeypatch.setattr(requirements, "compose_program", lambda: ("docker-compose",))
    monkeypatch.setattr(requirements, "engine", lambda: contextlib.nullcontext(engine))


def test_an_engine_that_keeps_its_volumes_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    believe_in_an_engine(monkeypatch, "/dev/shm")
    with pytest.raises(MachineError, match=r"volumes in memory \(/dev/shm, tmpfs\)"):
        requirements.require([])


@pytest.mark.parametrize("kind", ["partition", "slow"])
def test_a_network_fault_without_root_is_refused_before_the_run(
    monkeypatch: pytest.MonkeyPatch, kind: FaultKind
) -> None:
    believe_in_an_engine(monkeypatch, "/")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fault = PlannedFault("monolith", 1, 1, kind, ("server",), 1.0, 2.0, link=Link(bytes_per_s=1e6))
    with pytest.raises(MachineError, match=f"a {kind} of containers .* only root may enter"):
        requirements.require([fault])


def test_workers_of_other_hosts_cannot_come_to_containers() -> None:
    plan = single("monolith", 4)
    contained = plan.__class__.from_json(plan.to_json().replace('"local"', '"compose"'))
    with pytest.raises(UserError, match="compose: workers of other hosts"):
        crew_of(contained, 0, 1, "127.0.0.1")


def test_a_project_tells_whether_its_harness_lives() -> None:
    ended = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout.strip()
    assert harness_lives(own_name())
    assert not harness_lives(f"threegen-{ended}-1")
    assert not harness_lives(own_name() + "0")  # another process had this number
    assert not harness_lives("somebody-elses")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_trials_files_add_its_people_and_cores_to_every_node(tmp_path: Path, generation: str) -> None:
    contacts = tmp_path / "contacts.json"
    contacts.write_text("[[1], [0]]")
    people = {"count": 2, "password": "open sesame", "contacts_file": str(contacts)}
    folder = tmp_path / "files"
    Project("threegen-1-1", generation, folder, tmp_path / "log").write(
        Site(tmp_path, people), frozenset({0, 2})
    )
    services = json.loads((folder / "measured.json").read_text())["services"]
    assert list(services) == nodes_of(generation)
    assert {service["cpuset"] for service in services.values()} == {"0,2"}
    told = folder / generation
    mounted = {
        "type": "bind",
        "source": str(told),
        "target": f"/etc/threegen/{generation}",
        "read_only": True,
    }
    assert [service["volumes"] for service in services.values()] == [[mounted]] * len(services)
    inside = {**people, "contacts_file": f"/etc/threegen/{generation}/contacts.json"}
    seen = [json.loads(path.read_text()) for path in told.glob("*.json") if path.name != "contacts.json"]
    assert [one["people"] for one in seen if "people" in one] == [inside] * sum(
        "people" in one for one in seen
    )
    assert any("people" in one for one in seen)
    assert (told / "contacts.json").read_text() == "[[1], [0]]"
    assert {path.stat().st_mode & 0o777 for path in told.iterdir()} == {0o644}


@pytest.mark.parametrize(
    ("check", "policy", "ready", "restarts"),
    [
        (["CMD", "ready", "9100", "/readyz"], "no", "http://172.18.0.2:9100/readyz", False),
        (["CMD", "ready", "8222", "/healthz"], "unless-stopped", "http://172.18.0.2:8222/healthz", True),
        (["CMD", "mariadb-admin", "ping"], "", None, False),
    ],
)
def test_where_a_node_says_that_it_is_ready_and_who_restarts_it_is_read_from_its_container(
    check: list[str], policy: str, ready: str | None, restarts: bool
) -> None:
    container: Any = SimpleNamespace(
        attrs={
            "Config": {"Healthcheck": {"Test": check}},
            "NetworkSettings": {"Networks": {"x_default": {"IPAddress": "172.18.0.2"}}},
            "HostConfig": {"RestartPolicy": {"Name": policy}},
        }
    )
    member = member_of("node", container)
    assert (member.ready_url, member.engine_restarts) == (ready, restarts)


def test_the_engine_speaks_as_the_supervisor_does() -> None:
    def event(action: str, at_ns: int, **attributes: str) -> dict[str, Any]:
        service = {"com.docker.compose.service": "message-1"}
        return {"Action": action, "timeNano": at_ns, "Actor": {"Attributes": {**service, **attributes}}}

    died, stopped = {"exitCode": "137"}, {"exitCode": "0"}
    seen = [event("start", 1_005), event("die", 1_020, **died), event("start", 1_040)]
    seen += [event("kill", 1_050, signal="15"), event("die", 1_060, **stopped), event("start", 1_070)]
    said = [(line["t_ns"], line["event"], line.get("exit_code")) for line in as_log(seen, 1_000)]
    assert said == [(20, "detected", 137), (40, "restarted", None), (60, "stopped", 0)]
    assert {(line["node"], line["target"]) for line in as_log(seen, 1_000)} == {("engine", "message-1")}


def test_a_bandwidth_needs_no_netem_and_the_rest_does() -> None:
    assert shape(Link(bytes_per_s=1_250_000))[:3] == ["tbf", "rate", "10000000bit"]
    spoilt = " ".join(shape(Link(latency_s=0.1, loss_ratio=0.01, bytes_per_s=125)))
    assert spoilt == "netem limit 100000 delay 100000us loss 1.0000% rate 1000bit"

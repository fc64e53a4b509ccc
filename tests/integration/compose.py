"""docker-compose.yml under a project name of our own, on free ports, and removed to the last volume."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.deployment.local.ports import free_port
from bench.generations import GENERATIONS

PROJECT = Path(__file__).resolve().parents[2]
IMAGE = "threegen-test"
NAME = "threegen-test-"
PORTS = (
    "MONOLITH_PORT",
    "API_1_PORT",
    "API_2_PORT",
    "GATEWAY_1_PORT",
    "GATEWAY_2_PORT",
    "PROMETHEUS_PORT",
    "GRAFANA_PORT",
)
READY_TIMEOUT_S = 90.0
POLL_S = 0.25
KILL_ALL = "import os, signal; os.kill(-1, signal.SIGKILL)"
KINDS = ("container", "network", "volume")


class Compose:
    """One compose project; `remove` it at the end. Commands that fail raise AssertionError with what they said."""

    def __init__(self, engine: Mapping[str, str]) -> None:
        self.name = f"{NAME}{os.getpid()}"
        self.ports = {name: free_port() for name in PORTS}
        settings = {"THREEGEN_IMAGE": IMAGE, **{name: str(port) for name, port in self.ports.items()}}
        self._environment = {**os.environ, **engine, **settings}
        program = ("docker-compose",) if shutil.which("docker-compose") else ("docker", "compose")
        self._compose = (*program, "--project-name", self.name, "--file", str(PROJECT / "docker-compose.yml"))

    def __call__(self, *words: str, timeout_s: float = 120.0) -> str:
        """Run one command of docker-compose and give what it printed."""
        return self._run((*self._compose, *words), timeout_s)

    def docker(self, *words: str, timeout_s: float = 60.0) -> str:
        """Run one command of docker."""
        return self._run(("docker", *words), timeout_s)

    def build(self) -> None:
        """Build the images; those they replace are not kept."""
        before = self._images()
        self(*(word for name in GENERATIONS for word in ("--profile", name)), "build", timeout_s=600)
        replaced = before - self._images()
        if replaced:
            with contextlib.suppress(AssertionError):  # containers of another test may still use them
                self.docker("image", "rm", *replaced)

    def containers(self) -> dict[str, Any]:
        """The engine's description of each container, by the service's name."""
        ids = self._left("container", self.name)
        described = json.loads(self.docker("inspect", *ids)) if ids else []
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in described}

    def wait_healthy(self, services: Sequence[str]) -> None:
        """Return once each is healthy; fails at once where one ended, with the end of its log."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            containers = self.containers()
            states = {name: containers[name]["State"] for name in services}
            waiting = [name for name, state in states.items() if state["Health"]["Status"] != "healthy"]
            if not waiting:
                return
            ended = [name for name in waiting if states[name]["Status"] == "exited"]
            if ended or time.monotonic() > deadline:
                name = (ended or waiting)[0]
                log = self.docker("logs", "--tail", "20", containers[name]["Id"])
                raise AssertionError(
                    f"{name}: {states[name]['Status']}, not healthy; its log ends with: {log}"
                )
            time.sleep(POLL_S)

    def crash(self, service: str) -> None:
        """SIGKILL the node under its container's init, as the kernel might.

        The engine's own `kill` would count as the wish that the container stay down, and no restart policy
        would apply. The engine may end our own process in the container first, so its exit code says nothing.
        """
        command = ("docker", "exec", self.containers()[service]["Id"], "python", "-c", KILL_ALL)
        subprocess.run(command, capture_output=True, check=False, timeout=30, env=self._environment)

    def remove(self) -> None:
        """Remove the containers, networks and volumes of this project and of those whose tests were killed."""
        listed = self.docker(
            "ps", "--all", "--format", '{{.Label "com.docker.compose.project"}}', "--no-trunc"
        )
        projects = {name for name in listed.split() if name.startswith(NAME)} | {self.name}
        for project in projects:
            if project == self.name or not Path(f"/proc/{project.removeprefix(NAME)}").exists():
                for kind in KINDS:
                    found = self._left(kind, project)
                    if found:
                        force = () if kind == "network" else ("--force",)
                        self.docker(kind, "rm", *force, *found)

    def left(self) -> list[str]:
        """Whatever there still is of this project."""
        return [one for kind in KINDS for one in self._left(kind, self.name)]

    def _images(self) -> set[str]:
        return set(self.docker("images", "--quiet", IMAGE).split())

    def _left(self, kind: str, project: str) -> list[str]:
        all_of_them = ("--all",) if kind == "container" else ()
        label = f"label=com.docker.compose.project={project}"
        return self.docker(kind, "ls", *all_of_them, "--quiet", "--filter", label).split()

    def _run(self, command: Sequence[str], timeout_s: float) -> str:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=timeout_s,
            env=self._environment,
            cwd=PROJECT,
        )
        assert done.returncode == 0, (
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}"
        )
        return done.stdout

"""One trial's compose project: what docker-compose is told, as files and words.

A project is named after the harness that made it, `threegen-PID-START` (its process id and the moment
of its start, in the kernel's ticks), so that whoever finds one can tell whether its harness still
lives.

docker-compose.yml is taken as it is. A second file, made here, adds what a measurement needs: the
plan's people in the nodes' configurations, the cores, as many open files as this host allows, logs that
can be read back, and no health checks, which would cost a process each time on the core that is
measured.
"""

import asyncio
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import machine
from bench.children import last_line, run_to_end
from bench.deployment.compose.engine import compose_program
from bench.deployment.local.ports import free_port
from bench.deployment.local.topology import Site
from bench.errors import DeploymentError
from bench.generations import GENERATIONS
from bench.project import PROJECT

FILE = PROJECT / "docker-compose.yml"
CONFIGURATIONS = PROJECT / "compose"
IN_IMAGE = "/etc/threegen"
NAME = re.compile(r"threegen-(\d+)-(\d+)")
PORT_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+_PORT):-")
UP_TIMEOUT_S = 180.0
SAY_EVERY_S = 5.0
NO_CHECKS = "24h"
"""Between two health checks: the first is that late too. What they would run stays to be read."""
Say = Callable[[str], None]


def nodes_of(generation: str) -> list[str]:
    """The generation's nodes as containers: there is no supervisor, the engine is it."""
    return [node.name for node in GENERATIONS[generation].nodes if node.name != "supervisor"]


def own_name() -> str:
    """What this process's projects are called."""
    return f"threegen-{os.getpid()}-{_started(os.getpid())}"


def harness_lives(project: str) -> bool:
    """Whether the harness that a project is named after still runs; False for another kind of name."""
    match = NAME.fullmatch(project)
    return match is not None and _started(int(match[1])) == match[2]


def _started(pid: int) -> str | None:
    """When the process was started, in ticks since boot (proc(5), stat, field 22); None for none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


@dataclass(frozen=True, slots=True)
class Project:
    """One generation under docker-compose. `folder` holds its files and is removed by whoever made it."""

    name: str
    generation: str
    folder: Path
    log: Path

    def words(self, *words: str, ports: Mapping[str, int]) -> tuple[str, ...]:
        """A command line of docker-compose; `ports` are the variables that publish them."""
        return (
            *("env", *(f"{name}={port}" for name, port in ports.items())),
            *(*compose_program(), "--project-name", self.name, "--profile", self.generation),
            *("--file", str(FILE), "--file", str(self.folder / "measured.json")),
            *words,
        )

    def write(self, site: Site, cores: frozenset[int] | None) -> None:
        """Write the nodes' configurations with the people of `site`, and the file that adds them."""
        told = self.folder.resolve() / self.generation
        told.mkdir(parents=True)
        people = dict(site.people)
        for key in ("contacts_file", "groups_file"):
            if key in people:
                source = Path(people[key])
                (told / source.name).write_bytes(source.read_bytes())
                people[key] = f"{IN_IMAGE}/{self.generation}/{source.name}"
        for source in (CONFIGURATIONS / self.generation).iterdir():
            text = source.read_text()
            if source.suffix == ".json":
                text = json.dumps(_with_people(json.loads(text), people), indent=1)
            (told / source.name).write_text(text)
        for path in told.iterdir():
            path.chmod(0o644)  # nodes run as a user of their own, whatever our umask is
        told.chmod(0o755)
        files = {"type": "bind", "source": str(told), "target": f"{IN_IMAGE}/{self.generation}"}
        added = _added({**files, "read_only": True}, told.parent.parent.name, cores)
        services = dict.fromkeys(nodes_of(self.generation), added)
        (self.folder / "measured.json").write_text(json.dumps({"services": services}, indent=1))

    async def start(self, say: Say) -> None:
        """Create and start the containers, their ports moved to free ones; raises DeploymentError."""
        ports = {name: free_port() for name in PORT_VARIABLE.findall(FILE.read_text())}
        words = self.words("up", "--detach", "--no-build", ports=ports)
        try:
            await with_progress(words, self.log, UP_TIMEOUT_S, "starting containers", say)
        except DeploymentError as error:
            what = f"docker-compose could not start the containers: {last_line(self.log)}"
            raise DeploymentError(f"{what} (all of it: {self.log})") from error


async def with_progress(words: Sequence[str], log: Path, timeout_s: float, doing: str, say: Say) -> None:
    """Run a command into `log`, and say now and then how far it is; raises DeploymentError."""
    running = asyncio.create_task(run_to_end(words, log, timeout_s=timeout_s))
    try:
        say(doing)
        while not (await asyncio.wait({running}, timeout=SAY_EVERY_S))[0]:
            say(f"{doing}: {last_line(log)[:60]}")
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _with_people(configuration: Mapping[str, Any], people: Mapping[str, Any]) -> Mapping[str, Any]:
    """A node's configuration with other people, where it knows any."""
    return {**configuration, "people": people} if "people" in configuration else configuration


def _added(mounted: Mapping[str, Any], trial: str, cores: frozenset[int] | None) -> Mapping[str, Any]:
    """What each service gets besides; the label says to people of which run it is."""
    most = machine.most_open_files()
    return {
        "labels": {"threegen.trial": trial},
        "volumes": [mounted],
        "ulimits": {"nofile": {"soft": most, "hard": most}},
        "logging": {"driver": "json-file"},
        "healthcheck": {"interval": NO_CHECKS},
        **({"cpuset": ",".join(str(core) for core in sorted(cores))} if cores else {}),
    }

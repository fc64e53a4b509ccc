"""The Docker engine of this host, through Docker's own SDK; what is wrong with it is told in one line.

Process ids, addresses and bind mounts are only worth something where the engine's kernel is this
host's, so an engine elsewhere, in a virtual machine, or without root is refused.
"""

import asyncio
import os
import platform
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import docker
from docker import DockerClient
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from bench import programs
from bench.errors import DeploymentError, MachineError

HERE = "unix:///var/run/docker.sock"
TIMEOUT_S = 60
CONFLICT = 409
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
Got = TypeVar("Got")


def address() -> str:
    """Where the engine is: DOCKER_HOST, or this host's own socket."""
    return os.environ.get("DOCKER_HOST") or HERE


def connect() -> DockerClient:
    """A client of the engine, to be closed; raises MachineError where none can serve."""
    where = address()
    scheme, _, path = where.partition("://")
    if scheme != "unix":
        raise MachineError(
            f"DOCKER_HOST={where}: expected unix://PATH: containers are measured on this host only"
        )
    try:
        with socket.socket(socket.AF_UNIX) as trial:
            trial.connect(path)
    except PermissionError as error:
        raise MachineError(
            f"no right to use the Docker engine at {where}: sudo usermod --append --groups docker $USER "
            "and log in again, or run as root"
        ) from error
    except OSError as error:
        raise MachineError(
            f"no Docker engine answers at {where} ({error.strerror}): start one (sudo systemctl start "
            "docker), or say where it is with DOCKER_HOST=unix://PATH"
        ) from error
    try:
        client = docker.DockerClient(base_url=where, timeout=TIMEOUT_S)
    except (DockerException, RequestException) as error:
        raise MachineError(f"the Docker engine at {where} does not answer as one: {_line(error)}") from error
    try:
        _refuse_foreign(client.info(), where)
    except BaseException:
        client.close()
        raise
    return client


@contextmanager
def engine() -> Iterator[DockerClient]:
    """The engine for as long as the block lasts; raises MachineError for what it refuses there."""
    client = connect()
    try:
        yield client
    except (DockerException, RequestException) as error:
        raise MachineError(f"the Docker engine at {address()} refuses: {_line(error)}") from error
    finally:
        client.close()


def _refuse_foreign(info: Any, where: str) -> None:
    kernel = platform.release()
    if info.get("KernelVersion") != kernel:
        raise MachineError(
            f"the Docker engine at {where} has another kernel than this host ({info.get('KernelVersion')}, "
            f"here {kernel}): expected one that runs on this host, in no virtual machine"
        )
    if "name=rootless" in info.get("SecurityOptions", ()):
        raise MachineError(
            f"the Docker engine at {where} runs without root, so that its containers cannot be reached and "
            "held to a core; use the system's engine"
        )


def compose_program() -> tuple[str, ...]:
    """The words that call Compose: `docker-compose`, or `docker compose` where only that is here."""
    separate = programs.find("docker-compose")
    if separate is None:
        client = programs.find("docker")
        if client is not None:
            asked = subprocess.run(
                [client, "compose", "version"], capture_output=True, check=False, timeout=20
            )
            if asked.returncode == 0:
                return (client, "compose")
    return (separate or programs.require("docker-compose"),)


async def ask(call: Callable[..., Got], *arguments: Any, **options: Any) -> Got:
    """What a blocking call of the SDK gives, from a thread; raises DeploymentError for what it raises."""
    try:
        return await asyncio.to_thread(call, *arguments, **options)
    except (DockerException, RequestException, HTTPError, OSError) as error:
        raise DeploymentError(f"the Docker engine: {_line(error)}") from error


def keep_logs(client: DockerClient, project: str, folder: Path) -> None:
    """Write what each of the project's containers said to `folder`/NODE.log.

    Raises DockerException or OSError.
    """
    for container in _containers(client, project):
        (folder / f"{container.labels[SERVICE_LABEL]}.log").write_bytes(container.logs())


def remove(client: DockerClient, project: str) -> int:
    """Remove the project's containers, networks and volumes; how many there were. Nothing there is no error.

    Raises DockerException where one cannot be removed.
    """
    labelled = {"label": f"{PROJECT_LABEL}={project}"}
    removed = 0
    for container in _containers(client, project):
        removed += _gone(partial(container.remove, force=True, v=True))
    for network in client.networks.list(filters=labelled):
        removed += _gone(network.remove)
    for volume in client.volumes.list(filters=labelled):
        removed += _gone(partial(volume.remove, force=True))
    return removed


def _containers(client: DockerClient, project: str) -> list[Any]:
    filters = {"label": f"{PROJECT_LABEL}={project}"}
    return list(client.containers.list(all=True, filters=filters, ignore_removed=True))


def _gone(end: Callable[[], None]) -> bool:
    """Whether it ended by `end`; False where somebody else has removed it, or is about to."""
    try:
        end()
    except NotFound:
        return False
    except APIError as error:
        if error.status_code == CONFLICT and "in progress" in str(error):
            return False
        raise
    return True


def _line(error: BaseException) -> str:
    """An error in one line; the engine's own explanation where it gives one."""
    text = getattr(error, "explanation", None) or str(error)
    return " ".join(str(text).split())[:300]

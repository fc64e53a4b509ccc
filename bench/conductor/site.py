"""What every run begins and ends with: the host held, a real disk, nothing left of one that was killed."""

import asyncio
import os
import shutil
from pathlib import Path

from bench import machine
from bench.errors import MachineError
from bench.watcher import Watcher

WORK = ".work"
DOCKER = "/var/run/docker.sock"


def clear_leftovers(results: Path) -> None:
    """Remove the data folders of runs that were killed; call with the host held."""
    shutil.rmtree(results / WORK, ignore_errors=True)


async def clear_containers(watcher: Watcher) -> None:
    """Remove the containers of runs that were killed, and say so; call with the host held."""
    if _engine_here():
        from bench.deployment.compose import leftovers

        await asyncio.to_thread(leftovers.clear, watcher.note)


def _engine_here() -> bool:
    """Whether there may be a Docker engine; asked first, because its SDK takes long to import."""
    where = os.environ.get("DOCKER_HOST") or DOCKER
    return Path(where.removeprefix("unix://")).is_socket()


def refuse_memory_disk(results: Path) -> None:
    """Durability on a disk that is memory would be a lie, and a fast one."""
    results.mkdir(parents=True, exist_ok=True)
    kind = machine.file_system(results)
    if kind in machine.MEMORY_FILE_SYSTEMS:
        raise MachineError(
            f"{results} is in memory ({kind}), where fsync costs nothing and keeps nothing: "
            "name a folder on a disk with --results"
        )

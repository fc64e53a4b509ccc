"""What every run begins and ends with: the host held, a real disk, nothing left of one that was killed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bench import machine
from bench.errors import MachineError

WORK = ".work"
DOCKER = "/var/run/docker.sock"


def clear_leftovers(results: Path, say: Callable[[str], None]) -> None:
    """Remove what runs that were killed left, and say so; call with the host held.

    That is containers and files: processes, namespaces, links and mounts have died with the run.
    """
    _clear_containers(say)
    work = results / WORK
    if not work.exists():
        return
    folders = len(list(work.iterdir()))
    size_bytes = sum(path.lstat().st_blocks * 512 for path in work.rglob("*"))
    clear_work(results)
    if work.exists():
        say(f"{work}, left by a run that was killed, cannot be removed; remove it (sudo rm -r {work})")
    else:
        say(f"cleared what a run that was killed left: {folders} folder(s), {size_bytes / 1e6:,.1f} MB")


def clear_work(results: Path) -> None:
    """Remove the data folders of the run that ends; call with the host held."""
    shutil.rmtree(results / WORK, ignore_errors=True)


def _clear_containers(say: Callable[[str], None]) -> None:
    """Containers are the engine's, and do not die with a run; its lifeline removes them if it can."""
    if _engine_here():
        from bench.deployment.compose import leftovers

        leftovers.clear(say)


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

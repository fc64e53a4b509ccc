"""What every run begins and ends with: the host held, a real disk, nothing left of one that was killed."""

import shutil
from pathlib import Path

from bench import machine
from bench.errors import MachineError

WORK = ".work"


def clear_leftovers(results: Path) -> None:
    """Remove the data folders of runs that were killed; call with the host held."""
    shutil.rmtree(results / WORK, ignore_errors=True)


def refuse_memory_disk(results: Path) -> None:
    """Durability on a disk that is memory would be a lie, and a fast one."""
    results.mkdir(parents=True, exist_ok=True)
    kind = machine.file_system(results)
    if kind in machine.MEMORY_FILE_SYSTEMS:
        raise MachineError(
            f"{results} is in memory ({kind}), where fsync costs nothing and keeps nothing: "
            "name a folder on a disk with --results"
        )

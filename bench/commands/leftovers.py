"""What a run that was killed left is cleared by whatever command comes next, which says so."""

import contextlib
from pathlib import Path

import click

from bench.errors import MachineError


def clear(results: Path) -> None:
    """Clear it, unless a run holds the host: then it is that run's own."""
    from bench.conductor.site import WORK, clear_leftovers
    from bench.lock import host_lock

    if not (results / WORK).exists() or _in_use(results / WORK):
        return
    try:
        with host_lock():
            clear_leftovers(results, lambda text: click.echo(f"bench: {text}", err=True))
    except MachineError:
        return


def _in_use(folder: Path) -> bool:
    """Whether a process is about its files: that of a run whose lock is elsewhere, by another TMPDIR."""
    name = str(folder.resolve()).encode()
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if name in words.read_bytes():
                return True
    return False

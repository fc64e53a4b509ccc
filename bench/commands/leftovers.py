"""What a run that was killed left is cleared by whatever command comes next, which says so."""

from pathlib import Path

import click

from bench.errors import MachineError


def clear(results: Path) -> None:
    """Clear it, unless a run holds the host: then it is that run's own."""
    from bench.conductor.site import WORK, clear_leftovers
    from bench.lock import host_lock

    if not (results / WORK).exists():
        return
    try:
        with host_lock():
            clear_leftovers(results, lambda text: click.echo(f"bench: {text}", err=True))
    except MachineError:
        return

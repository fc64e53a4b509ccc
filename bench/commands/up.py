"""`bench up`: a generation to look into."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import click

from bench.commands.console import console_of
from bench.commands.driving import drive


@click.command()
@click.argument("generation", type=click.Choice(["monolith", "sharded", "microservices"]))
@click.option("--clients", type=click.IntRange(2, 1_000_000), default=100, show_default=True,
              help="How many accounts there are: u0, u1, …")  # fmt: skip
@click.pass_obj
def up(results: Path, generation: str, clients: int) -> None:
    """Start GENERATION, print where to connect, and keep it up until Ctrl-C.

    \b
    Example:
      bench up sharded
    """
    from bench.conductor.run import keep_up
    from bench.planning import single
    from bench.report.progress import RunProgress
    from bench.report.up import show_up

    console = console_of()
    the_plan = single(generation, clients)
    with RunProgress(console) as watcher, contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        watcher.trial(the_plan, the_plan.trials[0])

        def announce(deployment: Any) -> None:
            watcher.step("up")
            console.print(show_up(generation, deployment.endpoints, deployment.views(), the_plan))

        drive(keep_up(the_plan, results, watcher, announce))
    click.echo("stopped", err=True)

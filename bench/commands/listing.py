"""`bench list`: what there is to run, and what was run."""

from pathlib import Path

import click

from bench.commands.console import console_of
from bench.project import PROJECT


@click.command("list")
@click.argument("what", type=click.Choice(["all", "profiles", "generations", "runs"]), default="all")
@click.pass_obj
def list_(results: Path, what: str) -> None:
    """List profiles, generations and runs.

    \b
    Example:
      bench list runs
    """
    from bench.report.listing import show_generations, show_profiles, show_runs

    console = console_of()
    if what in {"all", "profiles"}:
        console.print(show_profiles(PROJECT / "profiles"))
    if what in {"all", "generations"}:
        console.print(show_generations())
    if what in {"all", "runs"}:
        console.print(show_runs(results))

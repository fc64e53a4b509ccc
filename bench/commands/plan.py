"""`bench plan`: what a run would do."""

from pathlib import Path

import click

from bench.commands.console import console_of
from bench.commands.options import plan_of


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
def plan(profile: Path) -> None:
    """Show what running PROFILE would do; start nothing.

    \b
    Example:
      bench plan profiles/quick.yaml
    """
    from bench.report.plan import show_plan

    console_of().print(show_plan(plan_of(profile)))

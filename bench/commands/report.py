"""`bench report`: a run folder analysed again."""

from pathlib import Path

import click

from bench.commands.showing import show_report


@click.command()
@click.argument("run")
@click.pass_obj
def report(results: Path, run: str) -> None:
    """Analyse RUN's folder again and show the result.

    RUN is a folder, a name under results/ or the beginning of one, or `latest`.

    \b
    Example:
      bench report latest
    """
    from bench.results import find

    show_report(results, find(results, run))

"""`bench compare`: runs side by side."""

from pathlib import Path

import click

from bench.commands.console import console_of


@click.command()
@click.argument("baseline")
@click.argument("contender")
@click.option("--force", is_flag=True, help="Compare runs that differ in more than their figures.")
@click.pass_obj
def compare(results: Path, baseline: str, contender: str, force: bool) -> None:
    """Set the run CONTENDER beside the run BASELINE, figure by figure.

    \b
    Example:
      bench compare 20260102-0304 latest
    """
    from bench.analysis.analyse import analyse
    from bench.analysis.comparison import compare as set_beside
    from bench.report.terminal import render_comparison
    from bench.results import find

    evidence = [find(results, text).evidence() for text in (baseline, contender)]
    one, other = ((each, analyse(each)) for each in evidence)
    console_of().print(render_comparison(set_beside(one, other, force=force)), crop=False)

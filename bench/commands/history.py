"""`bench history`: all runs over time."""

from pathlib import Path

import click

from bench.commands.console import console_of


@click.command()
@click.option("--profile", default=None, metavar="NAME", help="Only runs of this profile.")
@click.option("--format", "form", type=click.Choice(["terminal", "json", "csv"]), default="terminal",
              show_default=True, help="What to print.")  # fmt: skip
@click.pass_obj
def history(results: Path, profile: str | None, form: str) -> None:
    """Show every figure over all runs under results/, where it changed, and which version changed there.

    Runs of the same plan on the same host are one series; it takes four to find a change.

    \b
    Example:
      bench history
      bench history --profile quick --format csv
    """
    from bench.analysis.history import history as over_time
    from bench.records import HistoryRow
    from bench.report.history import history_json, history_rows, render_history
    from bench.sides import read_analysed
    from bench.tables import to_csv

    runs, passed_over = read_analysed(results, profile)
    series = over_time(runs)
    if form == "terminal":
        console_of().print(render_history(series, passed_over))
    elif form == "json":
        click.echo(history_json(series, passed_over), nl=False)
    else:
        click.echo(to_csv(HistoryRow, history_rows(series)), nl=False)

"""`bench published`: what was measured, beside what is claimed."""

from pathlib import Path

import click

from bench.commands.console import console_of
from bench.project import PROJECT


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--table", type=click.Path(path_type=Path), default=None, metavar="FILE",
              help="Another table of the same shape as results/reference/report_table.csv.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["terminal", "markdown", "json", "csv"]),
              default="terminal", show_default=True, help="What to print.")  # fmt: skip
@click.pass_obj
def published(results: Path, runs: tuple[str, ...], table: Path | None, form: str) -> None:
    """Set what RUNs measured beside the published table, with a word for each cell and why.

    A run says response and recovery, a search for capacity throughput, a sweep of data volumes (bench
    recovery) how far recovery carries: name one of each. Words: measured, projected, consistent,
    contradicted, untestable here.

    \b
    Example:
      bench published latest
      bench published 20260102-0304-quick 20260102-0405-capacity --table claims.csv
    """
    from bench.analysis.published import Cell, beside_published
    from bench.claims import measured_in
    from bench.report.published import published_json, published_markdown, render_published
    from bench.results import find, read_claims, read_published
    from bench.tables import to_csv

    claims = read_published(PROJECT / "results") if table is None else read_claims(table)
    folders = [find(results, text) for text in runs]
    cells = beside_published(measured_in(folders), claims)
    sources = [folder.path.name for folder in folders]
    if form == "terminal":
        console_of().print(render_published(cells, sources), crop=False)
    elif form == "markdown":
        click.echo(published_markdown(cells, sources), nl=False)
    elif form == "json":
        click.echo(published_json(cells, sources), nl=False)
    else:
        click.echo(to_csv(Cell, cells), nl=False)

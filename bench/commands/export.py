"""`bench export`: a run's tables for other tools."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from bench.commands.console import short
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.export import Form


@click.command()
@click.argument("run")
@click.option("--format", "form", type=click.Choice(["csv", "parquet", "json"]), required=True,
              help="Of the files.")  # fmt: skip
@click.option("--table", "tables", multiple=True, metavar="NAME",
              help="Only this one, such as summary; may be given again. Default: all.")  # fmt: skip
@click.option("--to", default="", metavar="FOLDER",
              help="A folder to make; - prints one table. Default: RUN-FORMAT here.")  # fmt: skip
@click.pass_obj
def export(results: Path, run: str, form: str, tables: tuple[str, ...], to: str) -> None:
    """Write RUN's tables as files of another format, the run's name in each row.

    \b
    Example:
      bench export latest --format parquet
      bench export latest --format json --table summary --to -
    """
    from bench.export import encoded, tables_of, write_tables
    from bench.results import find

    folder, chosen = find(results, run), cast("Form", form)
    if to == "-":
        if len(tables) != 1:
            raise UserError("--to -: prints one table: name it with --table, such as --table summary")
        for _, table in tables_of(folder, tables):
            click.echo(encoded(table, chosen), nl=False)
        return
    target = Path(to) if to else Path(f"{folder.path.name}-{form}")
    for path in write_tables(folder, chosen, target, tables):
        click.echo(short(path))

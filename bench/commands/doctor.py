"""`bench doctor`: what this machine lacks."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from bench.commands.console import console_of
from bench.errors import UserError

if TYPE_CHECKING:
    from rich.status import Status

    from bench.programs import Purpose


@click.command()
@click.option("--install", is_flag=True, help="Install what is missing, through apt as root or by sudo.")
@click.option("--quiet", is_flag=True, help="Say only what is wrong.")
@click.option("--for", "purpose", type=click.Choice(["runs", "tests", "benchmarks"]),
              default="runs", show_default=True, help="What the machine is to be good for.")  # fmt: skip
@click.pass_obj
def doctor(results: Path, install: bool, quiet: bool, purpose: str) -> None:
    """Say what this machine lacks or has badly set, and the command that mends it.

    \b
    Example:
      bench doctor
      bench doctor --install
    """
    from bench import doctor as surgery
    from bench.report.listing import show_findings

    wanted = cast("Purpose", purpose)
    if install:
        from rich.console import Console

        with Console(stderr=True).status("looking for what is missing") as status:
            surgery.install(wanted, lambda text: tell(status, text))
    findings = surgery.examine(results, wanted)
    shown = [finding for finding in findings if not quiet or finding.level != "well"]
    if shown:
        console_of().print(show_findings(shown))
    missing = [finding.name for finding in findings if finding.level == "missing"]
    if missing:
        raise UserError(f"{', '.join(missing)}: missing; the last column says what mends it")


def tell(status: "Status", text: str) -> None:
    """What takes long, on a line of its own and beside what turns meanwhile."""
    click.echo(f"bench: {text}", err=True)
    status.update(text)

"""The `bench` command: its groups, its errors, its exit codes. A command is one file in bench/commands/.

Exit codes: 0 done; 1 a run broke; 2 something the user can mend; 130 interrupted. `bench compare` adds one a
verdict, in its own file.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from bench.errors import BenchError
from bench.project import PROJECT

COMMANDS = {
    "run": "run",
    "calibrate": "calibrate",
    "capacity": "capacity",
    "recovery": "recovery",
    "selftest": "selftest",
    "plan": "plan",
    "worker": "worker",
    "report": "report",
    "compare": "compare",
    "published": "published",
    "history": "history",
    "export": "export",
    "up": "up",
    "list": "listing",
    "doctor": "doctor",
}
"""Command by name, in the order of --help: its file in bench/commands/, loaded when it is asked for."""


class _Commands(click.Group):
    """Errors of our own tree become one line and their exit code; anything else is a defect, and shows."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BenchError as error:
            click.echo(f"bench: {error}", err=True)
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            # Whoever read our output has left; there is nobody to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        file = COMMANDS.get(cmd_name)
        if file is None:
            return None
        commands = vars(import_module(f"bench.commands.{file}")).values()
        return next(c for c in commands if isinstance(c, click.Command) and c.name == cmd_name)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=PROJECT / "results",
    show_default="results/ beside the project",
    help="Where run folders are kept.",
)
@click.version_option(package_name="threegen", prog_name="bench")
@click.pass_context
def main(ctx: click.Context, results: Path) -> None:
    """A wind tunnel for messaging architectures: three generations, one load, the same faults.

    \b
    Example:
      bench plan profiles/quick.yaml     look before you run
      bench run profiles/quick.yaml      run it; the result is shown at the end
      bench report latest                show it again
    """
    from bench.commands.leftovers import clear

    ctx.obj = results
    clear(results)

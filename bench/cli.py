"""The `bench` command: wiring and exit codes, nothing else.

Exit codes: 0 done; 1 a run broke; 2 something the user can mend; 130 interrupted.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.errors import BenchError, UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from bench.plan import Plan
    from bench.programs import Purpose
    from bench.results import RunFolder

PROJECT = Path(__file__).resolve().parent.parent
INTERRUPTED = 130


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
        return list(self.commands)


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
    ctx.obj = results


@main.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.pass_obj
def run(results: Path, profile: Path) -> None:
    """Run PROFILE on its generations and show the result.

    Ctrl-C ends it within seconds; what was measured so far is kept and shown.

    \b
    Example:
      bench run profiles/quick.yaml
    """
    from bench import conductor
    from bench.report.progress import RunProgress

    plan = _plan(profile)
    before = _names(results)
    error: BaseException | None = None
    with RunProgress(_console()) as watcher:
        try:
            _drive(conductor.run(plan, results, PROJECT, watcher))
        except (KeyboardInterrupt, asyncio.CancelledError, BenchError) as caught:
            error = caught
        except ExceptionGroup as group:
            error = group.exceptions[0]
    made = [folder for folder in _folders(results) if folder.path.name not in before]
    if made:
        click.echo()
        _report(results, made[-1])
    if isinstance(error, BenchError):
        raise error
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        click.echo("bench: interrupted; what was measured is kept", err=True)
        sys.exit(INTERRUPTED)
    if error is not None:
        raise error


@main.command()
@click.argument("profile", type=click.Path(path_type=Path))
def plan(profile: Path) -> None:
    """Show what running PROFILE would do; start nothing.

    \b
    Example:
      bench plan profiles/quick.yaml
    """
    from bench.report.plan import show_plan

    _console().print(show_plan(_plan(profile)))


@main.command()
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

    _report(results, find(results, run))


@main.command()
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
    _console().print(render_comparison(set_beside(one, other, force=force)))


@main.command()
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
    from bench import conductor
    from bench.plan import single
    from bench.report.progress import RunProgress
    from bench.report.up import show_up

    console = _console()
    the_plan = single(generation, clients)
    with RunProgress(console) as watcher, contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        watcher.trial(the_plan, the_plan.trials[0])

        def announce(deployment: Any) -> None:
            watcher.step("up")
            console.print(show_up(generation, deployment.endpoints, deployment.views(), the_plan))

        _drive(conductor.keep_up(the_plan, results, watcher, announce))
    click.echo("stopped", err=True)


@main.command("list")
@click.argument("what", type=click.Choice(["all", "profiles", "generations", "runs"]), default="all")
@click.pass_obj
def list_(results: Path, what: str) -> None:
    """List profiles, generations and runs.

    \b
    Example:
      bench list runs
    """
    from bench.report.listing import show_generations, show_profiles, show_runs

    console = _console()
    if what in {"all", "profiles"}:
        console.print(show_profiles(PROJECT / "profiles"))
    if what in {"all", "generations"}:
        console.print(show_generations())
    if what in {"all", "runs"}:
        console.print(show_runs(results))


@main.command()
@click.option("--install", is_flag=True, help="Install what is missing, through apt as root or by sudo.")
@click.option("--quiet", is_flag=True, help="Say only what is wrong.")
@click.option("--for", "purpose", type=click.Choice(["runs", "tests"]), default="runs", show_default=True,
              help="What the machine is to be good for.")  # fmt: skip
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

    wanted: Purpose = "tests" if purpose == "tests" else "runs"
    if install:
        from rich.console import Console

        with Console(stderr=True).status("looking for what is missing") as status:
            surgery.install(wanted, lambda text: _tell(status, text))
    findings = surgery.examine(results, wanted)
    shown = [finding for finding in findings if not quiet or finding.level != "well"]
    if shown:
        _console().print(show_findings(shown))
    missing = [finding.name for finding in findings if finding.level == "missing"]
    if missing:
        raise UserError(f"{', '.join(missing)}: missing; the last column says what mends it")


def _tell(status: "Status", text: str) -> None:
    """What takes long, on a line of its own and beside what turns meanwhile."""
    click.echo(f"bench: {text}", err=True)
    status.update(text)


def _short(path: Path) -> Path:
    """The path as a user here would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _plan(profile: Path) -> "Plan":
    from bench.plan import make_plan
    from bench.profile import load_profile

    return make_plan(load_profile(profile))


def _console() -> "Console":
    from rich.console import Console

    console = Console(highlight=False)
    # 80 columns when piped, so that tables keep their shape in files and mails.
    return console if console.is_terminal else Console(highlight=False, width=80)


def _folders(results: Path) -> "list[RunFolder]":
    from bench.results import list_runs

    return list_runs(results)


def _names(results: Path) -> set[str]:
    return {folder.path.name for folder in _folders(results)}


def _drive(work: Coroutine[Any, Any, Any]) -> None:
    """Run to the end; SIGINT, SIGTERM and SIGHUP cancel it, and its clean-up still runs."""

    async def guarded() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await work

    asyncio.run(guarded())


def _report(results: Path, folder: "RunFolder") -> None:
    from bench.analysis.analyse import analyse
    from bench.report.terminal import render
    from bench.results import read_published

    analysis = analyse(folder.evidence(), read_published(PROJECT / "results"))
    folder.write_analysis(summary=analysis.summary, recovery=analysis.recovery)
    _console().print(render(analysis, _short(folder.path)))

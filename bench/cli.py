"""The `bench` command: wiring and exit codes, nothing else.

Exit codes: 0 done; 1 a run broke; 2 something the user can mend; 130 interrupted.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from bench.errors import BenchError, UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from bench.analysis.capacity import Search
    from bench.load.driver import Crew
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
@click.option("--workers", type=click.IntRange(0, 64), default=0, metavar="N",
              help="Make the load with N processes of this host; without, with one.")  # fmt: skip
@click.option("--join", type=click.IntRange(0, 64), default=0, metavar="N",
              help="Wait for N workers from other hosts as well (there: bench worker).")  # fmt: skip
@click.option("--listen", default="", metavar="HOST[:PORT]",
              help="With --join: this host's address as those hosts see it.")  # fmt: skip
@click.pass_obj
def run(results: Path, profile: Path, workers: int, join: int, listen: str) -> None:
    """Run PROFILE on its generations and show the result.

    Ctrl-C ends it within seconds; what was measured so far is kept and shown.

    \b
    Example:
      bench run profiles/quick.yaml
      bench run profiles/quick.yaml --workers 2
      bench run profiles/quick.yaml --join 1 --listen 192.0.2.10
    """
    from bench.conductor import calibrating
    from bench.conductor.run import run as conduct
    from bench.report.plan import crossing_line
    from bench.report.progress import RunProgress

    plan = _plan(profile)
    crew = _crew(plan, workers, join, listen)
    ceilings_per_s = calibrating.ceilings(plan, results, PROJECT)
    _refuse_impossible(plan, profile, ceilings_per_s, crew)
    if workers + join > 1:
        click.echo(crossing_line(plan, workers + join))
    before = _names(results)
    error: BaseException | None = None
    with RunProgress(_console()) as watcher:
        try:
            _drive(conduct(plan, results, PROJECT, watcher, crew, ceilings_per_s))
        except (KeyboardInterrupt, asyncio.CancelledError, BenchError) as caught:
            error = caught
        except ExceptionGroup as group:
            error = group.exceptions[0]
    _end(results, before, error)


@main.command()
@click.option("--protocol", type=click.Choice(["xmpp", "http", "websocket"]), multiple=True,
              help="Only this one; may be given again. Default: all.")  # fmt: skip
@click.option("--again", is_flag=True, help="Measure anew what is known already.")
@click.option("--offer", default="3s", show_default=True, metavar="DURATION",
              help="For how long each rate is offered.")  # fmt: skip
@click.pass_obj
def calibrate(results: Path, protocol: tuple[str, ...], again: bool, offer: str) -> None:
    """Find how much load this machine's generator can make, protocol by protocol.

    The answers are kept under results/calibration/, and runs judge themselves by them.

    \b
    Example:
      bench calibrate
      bench calibrate --protocol xmpp --again
    """
    from bench.calibration import PROTOCOLS, Calibration
    from bench.conductor import calibrating
    from bench.report.calibration import rung_line, show_calibrations
    from bench.report.progress import SearchProgress

    offer_s = _duration(offer, "--offer")
    found: list[Calibration] = []

    async def all_of_them() -> None:
        with SearchProgress(_console()) as watcher:
            for client in [one for one in PROTOCOLS if not protocol or one in protocol]:
                known = None if again else calibrating.known(results, PROJECT, client)
                found.append(
                    known
                    or await calibrating.calibrate(
                        client,
                        results,
                        PROJECT,
                        watcher,
                        lambda client, rung: watcher.result(rung_line(client, rung)),
                        offer_s=offer_s,
                    )
                )

    try:
        _drive(all_of_them())
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("bench: interrupted; the protocols that were done are kept", err=True)
        sys.exit(INTERRUPTED)
    _console().print(show_calibrations(found))


@main.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--generation", type=click.Choice(["monolith", "sharded", "microservices"]), multiple=True,
              help="Only this one of the profile's; may be given again.")  # fmt: skip
@click.option("--trial", default="", metavar="DURATION", help="How long one trial offers its rate.")
@click.option("--total", default="", metavar="DURATION", help="How long each rate is tried in all.")
@click.option("--highest", default="", metavar="RATE", help="No trial offers more, such as 2000/s.")
@click.pass_obj
def capacity(
    results: Path, profile: Path, generation: tuple[str, ...], trial: str, total: str, highest: str
) -> None:
    """Search for the rates that PROFILE's generations can carry.

    One search for several goals at once: p99 within each of the profile's times, and none. The options
    override the profile's `capacity`.

    \b
    Example:
      bench capacity profiles/capacity.yaml
      bench capacity profiles/capacity.yaml --generation monolith --trial 10s
    """
    from bench.conductor import calibrating
    from bench.conductor.searching import generations_of, search_capacity, search_of
    from bench.plan import make_plan
    from bench.profile import load_profile
    from bench.report.capacity import trial_line
    from bench.report.progress import SearchProgress

    the_profile = load_profile(profile)
    plan = generations_of(make_plan(the_profile), generation)
    if not plan.generations:
        raise UserError(f"--generation: {', '.join(generation)}: not among {profile}'s generations")
    search = _overridden(search_of(the_profile.capacity, the_profile.slo.share), trial, total, highest)
    ceilings_per_s = calibrating.ceilings(plan, results, PROJECT)
    _refuse_impossible(plan, profile, {}, _crew(plan, 0, 0, ""))
    before = _names(results)
    error: BaseException | None = None
    with SearchProgress(_console()) as watcher:
        try:
            _drive(
                search_capacity(
                    plan,
                    search,
                    results,
                    PROJECT,
                    watcher,
                    lambda row, bounds: watcher.result(trial_line(search, row, bounds)),
                    ceilings_per_s,
                )
            )
        except (KeyboardInterrupt, asyncio.CancelledError, BenchError) as caught:
            error = caught
        except ExceptionGroup as group:
            error = group.exceptions[0]
    _end(results, before, error)


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
@click.option("--master", required=True, metavar="HOST[:PORT]", help="Where the run listens.")
@click.option("--wait", default="10s", show_default=True, metavar="DURATION",
              help="How long to look for a master before giving up.")  # fmt: skip
def worker(master: str, wait: str) -> None:
    """Make load for a run on another host, which waits for workers with --join.

    \b
    Example:
      bench worker --master 192.0.2.10
    """
    from bench.load.joining import DEFAULT_PORT, work

    host, port = _address(master, "--master", DEFAULT_PORT)
    wait_s = _duration(wait, "--wait")
    try:
        _drive(work(host, port, wait_s, lambda text: click.echo(text, err=True)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("bench: interrupted", err=True)
        sys.exit(INTERRUPTED)


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
    _console().print(render_comparison(set_beside(one, other, force=force)), crop=False)


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
    from bench.conductor.run import keep_up
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

        _drive(keep_up(the_plan, results, watcher, announce))
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
            surgery.install(wanted, lambda text: _tell(status, text))
    findings = surgery.examine(results, wanted)
    shown = [finding for finding in findings if not quiet or finding.level != "well"]
    if shown:
        _console().print(show_findings(shown))
    missing = [finding.name for finding in findings if finding.level == "missing"]
    if missing:
        raise UserError(f"{', '.join(missing)}: missing; the last column says what mends it")


def _end(results: Path, before: set[str], error: BaseException | None) -> None:
    """Show what was made since `before`, then raise what ended it."""
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


def _overridden(search: "Search", trial: str, total: str, highest: str) -> "Search":
    """The search with what the command line says instead; raises UserError where that cannot be."""
    from bench.quantities import rate_per_s

    trial_s = _duration(trial, "--trial") if trial else search.trial_s
    total_s = _duration(total, "--total") if total else max(search.total_s, trial_s)
    if total_s < trial_s or trial_s <= 0:
        raise UserError(f"--total: {total_s:g}s is less than one trial, {trial_s:g}s, or that is nothing")
    try:
        highest_per_s = rate_per_s(highest) if highest else search.highest_per_s
    except ValueError as error:
        raise UserError(f"--highest: {highest!r}: {error}") from error
    if highest_per_s <= search.lowest_per_s:
        raise UserError(f"--highest: {highest_per_s:g}/s is not above the lowest, {search.lowest_per_s:g}/s")
    return replace(search, trial_s=trial_s, short_s=trial_s / 2, total_s=total_s, highest_per_s=highest_per_s)


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


def _duration(text: str, option: str) -> float:
    """A duration with its unit, in seconds; raises UserError."""
    from bench.quantities import duration_s

    try:
        return duration_s(text)
    except ValueError as error:
        raise UserError(f"{option}: {text!r}: {error}") from error


def _refuse_impossible(
    plan: "Plan", profile: Path, ceilings_per_s: Mapping[str, float], crew: "Crew"
) -> None:
    """Raise ProfileError where this machine cannot do what the plan asks."""
    from bench import machine
    from bench.preflight import defects
    from bench.profile import refusal

    found = defects(
        plan,
        ceilings_per_s={} if crew.join else ceilings_per_s,  # other hosts add cores of their own
        most_files=machine.most_open_files(),
        load_processes=max(1, crew.workers + crew.join),
    )
    if found:
        raise refusal(profile, found[0].loc, found[0].what)


def _crew(plan: "Plan", workers: int, join: int, listen: str) -> "Crew":
    """Who makes the load; raises UserError where that cannot be."""
    from bench.load.driver import Crew
    from bench.load.joining import DEFAULT_PORT

    if join and not listen:
        raise UserError("--join: needs --listen HOST, this host's address as the workers see it")
    if listen and not join:
        raise UserError("--listen: is for workers of other hosts; say with --join N how many are to come")
    if workers + join > plan.clients:
        raise UserError(
            f"--workers: {workers + join} workers for {plan.clients} clients; at most one for each client"
        )
    if not listen:
        return Crew(workers)
    host, port = _address(listen, "--listen", DEFAULT_PORT)
    _require_own_address(host)
    return Crew(workers, join, host, port)


def _address(text: str, option: str, default_port: int) -> tuple[str, int]:
    """HOST[:PORT] in parts; raises UserError."""
    host, colon, port = text.partition(":")
    if not host or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise UserError(f"{option}: {text!r}: expected HOST or HOST:PORT, such as 192.0.2.10:{default_port}")
    return host, int(port) if colon else default_port


def _require_own_address(host: str) -> None:
    """Raise UserError where nothing can listen at `host` that others could be sent to."""
    import socket

    expected = "expected an address of this host by which the workers reach it"
    if host in {"0.0.0.0", "*", "::"}:
        raise UserError(f"--listen: {host} is no single address; {expected}")
    try:
        with socket.socket() as trial:
            trial.bind((host, 0))
    except OSError as error:
        raise UserError(f"--listen: {host}: {error.strerror or error}; {expected}") from error


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
    if folder.manifest().kind == "capacity":
        _report_capacity(folder)
        return
    from bench.analysis.analyse import analyse
    from bench.report.terminal import render
    from bench.results import read_published

    analysis = analyse(folder.evidence(), read_published(PROJECT / "results"))
    folder.write_analysis(summary=analysis.summary, recovery=analysis.recovery, trials=analysis.trials)
    _console().print(render(analysis, _short(folder.path)), crop=False)


def _report_capacity(folder: "RunFolder") -> None:
    from bench.analysis.capacity import Search, answers
    from bench.plan import client_kind
    from bench.report.capacity import show_capacity

    manifest, trials = folder.manifest(), folder.capacity_trials()
    search = Search.of(folder.plan())
    found = [
        row
        for name in dict.fromkeys(trial.generation for trial in trials)
        for row in answers(search, name, trials, ceiling_per_s=manifest.ceilings_per_s.get(client_kind(name)))
    ]
    folder.write_capacity(found)
    _console().print(show_capacity(manifest, search, found, trials, _short(folder.path)), crop=False)

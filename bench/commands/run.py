"""`bench run`: a profile on its generations, and the result."""

from pathlib import Path

import click

from bench.commands.console import console_of
from bench.commands.driving import ended_by
from bench.commands.options import crew_of, plan_of, refuse_impossible
from bench.commands.showing import names, show_and_end
from bench.project import PROJECT


@click.command()
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

    plan = plan_of(profile)
    crew = crew_of(plan, workers, join, listen)
    ceilings_per_s = calibrating.ceilings(plan, results, PROJECT)
    refuse_impossible(plan, profile, ceilings_per_s, crew)
    if workers + join > 1:
        click.echo(crossing_line(plan, workers + join))
    before = names(results)
    with RunProgress(console_of()) as watcher:
        error = ended_by(conduct(plan, results, PROJECT, watcher, crew, ceilings_per_s))
    show_and_end(results, before, error)

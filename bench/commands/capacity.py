"""`bench capacity`: the rates that generations can carry."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.commands.console import console_of
from bench.commands.driving import ended_by
from bench.commands.options import crew_of, duration, refuse_impossible
from bench.commands.showing import names, show_and_end
from bench.errors import UserError
from bench.project import PROJECT

if TYPE_CHECKING:
    from bench.analysis.capacity import Search


@click.command()
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
    from bench.planning import make_plan
    from bench.profile import load_profile
    from bench.report.capacity import trial_line
    from bench.report.progress import SearchProgress

    the_profile = load_profile(profile)
    plan = generations_of(make_plan(the_profile), generation)
    if not plan.generations:
        raise UserError(f"--generation: {', '.join(generation)}: not among {profile}'s generations")
    search = _overridden(search_of(the_profile.capacity, the_profile.slo.share), trial, total, highest)
    ceilings_per_s = calibrating.ceilings(plan, results, PROJECT)
    refuse_impossible(plan, profile, {}, crew_of(plan, 0, 0, ""))
    before = names(results)
    with SearchProgress(console_of()) as watcher:
        error = ended_by(
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
    show_and_end(results, before, error)


def _overridden(search: "Search", trial: str, total: str, highest: str) -> "Search":
    """The search with what the command line says instead; raises UserError where that cannot be."""
    from bench.quantities import rate_per_s

    trial_s = duration(trial, "--trial") if trial else search.trial_s
    total_s = duration(total, "--total") if total else max(search.total_s, trial_s)
    if total_s < trial_s or trial_s <= 0:
        raise UserError(f"--total: {total_s:g}s is less than one trial, {trial_s:g}s, or that is nothing")
    try:
        highest_per_s = rate_per_s(highest) if highest else search.highest_per_s
    except ValueError as error:
        raise UserError(f"--highest: {highest!r}: {error}") from error
    if highest_per_s <= search.lowest_per_s:
        raise UserError(f"--highest: {highest_per_s:g}/s is not above the lowest, {search.lowest_per_s:g}/s")
    return replace(search, trial_s=trial_s, short_s=trial_s / 2, total_s=total_s, highest_per_s=highest_per_s)

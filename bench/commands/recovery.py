"""`bench recovery`: how long recovery takes, by how much there is to recover."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.commands.console import console_of
from bench.commands.driving import ended_by
from bench.commands.options import crew_of, refuse_impossible
from bench.commands.showing import names, show_and_end
from bench.errors import UserError
from bench.project import PROJECT

if TYPE_CHECKING:
    from bench.profile import Profile
    from bench.sweep import Sweep

MOST_SHARE = 0.8
"""Of the free disk, and of the memory, that a history may take."""


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--data", default="1,2,4,8", show_default=True, metavar="LIST",
              help="Data volumes, in units of the profile's history.")  # fmt: skip
@click.option("--users", default="1", show_default=True, metavar="LIST",
              help="People online, in units of the profile's clients.")  # fmt: skip
@click.option("--generation", type=click.Choice(["monolith", "sharded", "microservices"]), multiple=True,
              help="Only this one of the profile's; may be given again.")  # fmt: skip
@click.pass_obj
def recovery(results: Path, profile: Path, data: str, users: str, generation: tuple[str, ...]) -> None:
    """Measure PROFILE's recovery against the data volume.

    Each trial starts with a history of its size in the generation's own store; the profile's faults strike
    under its load. A line is put through the times to recover.

    \b
    Example:
      bench recovery profiles/recovery.yaml
      bench recovery profiles/recovery.yaml --data 1,4 --generation monolith
      bench recovery profiles/recovery.yaml --data 1,2,4 --users 1,2,4
    """
    from bench.conductor import calibrating
    from bench.conductor.run import run as conduct
    from bench.profile import load_profile
    from bench.report.progress import RunProgress
    from bench.sweep import make_sweep, profiles_of

    factors = _factors(data, "--data"), _factors(users, "--users")
    the_profile = _chosen(load_profile(profile), profile, generation)
    _refuse_contradictions(profiles_of(the_profile, *factors).values(), profile)
    sweep = make_sweep(the_profile, *factors)
    _refuse_too_large(sweep, results)
    ceilings_per_s = calibrating.ceilings(sweep.plan, results, PROJECT)
    crew = crew_of(sweep.plan, 0, 0, "")
    for plan in sweep.plans.values():
        refuse_impossible(plan, profile, ceilings_per_s, crew)
    click.echo(f"{len(sweep.settings)} trials, about {sweep.estimate_s / 60:.0f} min")
    before = names(results)
    with RunProgress(console_of()) as watcher:
        error = ended_by(conduct(sweep.plan, results, PROJECT, watcher, crew, ceilings_per_s, sweep))
    show_and_end(results, before, error)


def _factors(text: str, option: str) -> Sequence[float]:
    """The factors of a list such as `1,2,4`; raises UserError where they do not rise from above 0."""
    expected = "expected rising numbers above 0, such as 1,2,4,8"
    factors: list[float] = []
    for part in text.split(","):
        try:
            factor = float(part)
        except ValueError as error:
            raise UserError(f"{option}: {part!r} in {text!r} is no number; {expected}") from error
        if not 0 < factor < 1e6:
            raise UserError(f"{option}: {part} in {text!r}: expected a number above 0, below a million")
        if factors and factor <= factors[-1]:
            raise UserError(f"{option}: {part} does not rise above {factors[-1]:g} in {text!r}; {expected}")
        factors.append(factor)
    return factors


def _chosen(profile: "Profile", path: Path, only: Sequence[str]) -> "Profile":
    """The profile with those generations alone; raises UserError where one has nothing to recover from."""
    if profile.deployment != "local":
        raise UserError(
            f"{path}: deployment: {profile.deployment}: a history can be put in by: local; change it"
        )
    missing = [name for name in only if name not in profile.generations]
    if missing:
        raise UserError(f"--generation: {', '.join(missing)}: not among {path}'s generations")
    chosen = [name for name in profile.generations if not only or name in only]
    faults = [fault for fault in profile.faults if fault.kind != "none"]
    for name in chosen:
        if not any(fault.generations is None or name in fault.generations for fault in faults):
            raise UserError(f"{path}: faults: none strikes {name}: nothing to recover from; give it one")
    return profile.model_copy(update={"generations": chosen})


def _refuse_contradictions(profiles: Iterable["Profile"], path: Path) -> None:
    """Raise ProfileError where so many trials, or people, make a profile unsound that was sound."""
    from bench.profile import contradictions, refusal

    for profile in profiles:
        for loc, what in contradictions(profile):
            raise refusal(path, loc, what)


def _refuse_too_large(sweep: "Sweep", results: Path) -> None:
    """Raise UserError where the largest history fits neither the disk nor the memory."""
    from bench import machine
    from bench.sweep import FOOTPRINTS

    results.mkdir(parents=True, exist_ok=True)
    free_bytes, memory_bytes = shutil.disk_usage(results).free, machine.host().memory_bytes
    body_bytes = sweep.body_bytes
    for setting in sweep.largest:
        footprint = FOOTPRINTS[setting.generation]
        head = f"--data: {setting.generation} with {setting.messages:,} messages needs about"
        for needed, there, what in (
            (
                footprint.disk_bytes(setting.messages, body_bytes),
                free_bytes,
                f"free on the disk of {results}",
            ),
            (footprint.memory_bytes(setting.messages, body_bytes), memory_bytes, "of memory in this machine"),
        ):
            if needed > MOST_SHARE * there:
                raise UserError(
                    f"{head} {needed / 1e9:,.0f} GB, more than {MOST_SHARE:.0%} of the {there / 1e9:,.0f} GB "
                    f"{what}; give smaller factors, or the profile's history fewer messages"
                )

"""What run folders say to a published table: runs their figures, searches for capacity their bounds."""

from collections.abc import Sequence
from dataclasses import replace

from bench.analysis.analyse import CARRIED_SHARE, FIGURES
from bench.analysis.audit import gate
from bench.analysis.capacity import Search, answers
from bench.analysis.comparison import median
from bench.analysis.published import Capacity, Measured, Projection
from bench.analysis.subject import RECOVERY, Subject, subjects
from bench.errors import UserError
from bench.generations import GENERATIONS
from bench.plan import client_kind
from bench.results import RunFolder
from bench.sides import read_side

GIGABYTE = 1e9
FIGURES_BESIDE = ("tps", "response_p50_ms", RECOVERY)


def measured_in(folders: Sequence[RunFolder]) -> list[Measured]:
    """Each generation, oldest first, with what at most one run and one search say of it.

    Raises UserError where two folders say it of the same generation, or none says anything.
    """
    runs: dict[str, Measured] = {}
    bounds: dict[str, Capacity] = {}
    fits: dict[str, Projection] = {}
    for folder in folders:
        kind = folder.manifest().kind
        figures = _figures(folder) if kind == "run" else {}
        capacities = _capacities(folder) if kind == "capacity" else {}
        if kind == "recovery":
            fits |= _projections(folder)
        twice = (figures.keys() & runs.keys()) | (capacities.keys() & bounds.keys())
        if twice:
            raise UserError(
                f"{folder.path.name}: an earlier folder says the same of {min(twice)}: expected one run and "
                "one search of each generation"
            )
        runs |= figures
        bounds |= capacities
    nothing = Measured("", dict.fromkeys(FIGURES_BESIDE))
    names = [name for name in GENERATIONS if name in runs.keys() | bounds.keys() | fits.keys()]
    if not names:
        raise UserError(
            f"{folders[0].path.name}: no trial was measured: there is nothing to set beside the table"
        )
    return [
        replace(
            _joined(replace(runs.get(name, nothing), generation=name), bounds.get(name)),
            projections={RECOVERY: fits[name]} if name in fits else {},
        )
        for name in names
    ]


def _figures(folder: RunFolder) -> dict[str, Measured]:
    return {
        subject.generation: _of_subject(subject)
        for subject in subjects(read_side(folder.path, str(folder.path)))
    }


def _of_subject(subject: Subject) -> Measured:
    by_trial = {name: subject.figures.get(name, ()) for name in (*FIGURES, RECOVERY)}
    medians = {name: median(by_trial[name]) for name in (*FIGURES_BESIDE, "offered_rate")}
    tps, offered = medians["tps"], medians.pop("offered_rate")
    if medians[RECOVERY] == float("inf"):
        medians[RECOVERY] = None
    return Measured(
        generation=subject.generation,
        figures=medians,
        by_trial=by_trial,
        objection=gate(subject.losses),
        carried=bool(tps is not None and offered and tps >= CARRIED_SHARE * offered),
    )


def _capacities(folder: RunFolder) -> dict[str, Capacity]:
    """The bounds without a latency goal, computed again from the search's trials."""
    manifest, trials = folder.manifest(), folder.capacity_trials()
    search = Search.of(folder.plan())
    found = {}
    for name in dict.fromkeys(trial.generation for trial in trials):
        ceiling_per_s = manifest.ceilings_per_s.get(client_kind(name))
        for row in answers(search, name, trials, ceiling_per_s=ceiling_per_s):
            if row.goal == "max" and not row.down:  # a degraded capacity is not what is published
                found[name] = Capacity(row.lower_per_s, row.upper_per_s, row.believed)
    return found


def _projections(folder: RunFolder) -> dict[str, Projection]:
    """The projection of each generation's recovery against its data, where the sweep has one."""
    return {
        row.generation: Projection(
            published=row.published_recovery_s,
            reached_at=row.reached_at / GIGABYTE,
            low=None if row.reached_at_lower is None else row.reached_at_lower / GIGABYTE,
            high=None if row.reached_at_upper is None else row.reached_at_upper / GIGABYTE,
            of="GB of data",
            fit=f"a line through {row.points} recoveries, {row.slope_s:.3g} s a GB (machine time)",
        )
        for row in folder.fits()
        if (row.figure, row.against, row.verdict) == (RECOVERY, "data_bytes", "projected")
        if row.reached_at is not None and row.published_recovery_s is not None
    }


def _joined(measured: Measured, capacity: Capacity | None) -> Measured:
    """The measured TPS is the capacity's lower bound, where it was searched for."""
    if capacity is None:
        return measured
    return replace(measured, capacity=capacity, figures={**measured.figures, "tps": capacity.lower_per_s})

"""What a run, or as much of one as is at hand, can be compared by: a subject for each of its generations.

A run's folder holds all of it. CSV files alone hold part of it, and `lacking` says in sentences what a
comparison then cannot know.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.analyse import FIGURES, believed
from bench.analysis.audit import Losses, losses
from bench.analysis.incidents import headline_recoveries, recovery_by_trial
from bench.analysis.planned import headline_phase
from bench.manifest import Manifest, Trial
from bench.records import RecoveryRow

RECOVERY = "time_to_recover_s"
NOT_MEASURED = frozenset({"login", "warmup", "drain"})
"""Phases that are never what a comparison is of, where no plan says which one is."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """As much of a run as is at hand; the frames have the columns of SummaryRow, AuditRow, TrialRow.

    `only` is the generation asked for, None for all. None is what is not at hand.
    """

    name: str
    manifest: Manifest | None
    plan: Mapping[str, Any] | None
    summary: pd.DataFrame | None
    recovery: Sequence[RecoveryRow] | None
    audit: pd.DataFrame | None
    trials: pd.DataFrame | None = None
    only: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """One generation of one run. `figures` has a value a believed trial, in their order.

    A recovery that never came is infinity. `losses` is None where no audit is at hand.
    """

    run: str
    generation: str
    phase: str
    figures: Mapping[str, tuple[float, ...]]
    losses: Losses | None

    @property
    def label(self) -> str:
        """`run:generation`, as a command line names it."""
        return f"{self.run}:{self.generation}"


def subjects(recorded: Recorded, phase: str | None = None) -> tuple[Subject, ...]:
    """The run's generations in the plan's order, those that have a believed trial; pure.

    Their figures are of `phase`, by default the plan's first steady stage, or what looks like it.
    """
    phase = phase or phase_of(recorded)
    by_generation: dict[str, list[Trial]] = {}
    for trial in trials_of(recorded):
        by_generation.setdefault(trial.generation, []).append(trial)
    planned = [str(name) for name in (recorded.plan or {}).get("generations", ())]
    names = sorted(by_generation, key=lambda name: planned.index(name) if name in planned else len(planned))
    return tuple(
        Subject(
            run=recorded.name,
            generation=name,
            phase=phase,
            figures=_figures(recorded, name, chosen, phase),
            losses=None if recorded.audit is None else losses(recorded.audit, chosen),
        )
        for name in names
        if recorded.only in (None, name)
        for chosen in [believed(by_generation[name])]
        if chosen
    )


def phase_of(recorded: Recorded) -> str:
    """The phase the headline figures are of; empty where none can be told."""
    if recorded.plan is not None:
        return headline_phase(recorded.plan) or ""
    if recorded.summary is None:
        return ""
    named = [str(name) for name in dict.fromkeys(recorded.summary["phase"])]
    if "steady" in named:
        return "steady"
    return next((name for name in named if name not in NOT_MEASURED), "")


def trials_of(recorded: Recorded) -> tuple[Trial, ...]:
    """The trials as the manifest has them, else trials.csv, else as the other files name them."""
    if recorded.manifest is not None:
        return recorded.manifest.trials
    if recorded.trials is not None:
        columns = zip(*(recorded.trials[name] for name in ("generation", "trial", "status")), strict=True)
        return tuple(Trial(str(name), int(number), status, 0) for name, number, status in columns)
    keys: dict[tuple[str, int], None] = {}
    for table in (recorded.summary, recorded.audit):
        if table is not None:
            keys |= dict.fromkeys(zip(table["generation"], table["trial"], strict=True))
    keys |= dict.fromkeys((row.generation, row.trial) for row in recorded.recovery or ())
    return tuple(Trial(str(name), int(number), "complete", 0) for name, number in keys)


def lacking(recorded: Recorded) -> tuple[str, ...]:
    """What is not known of the run, a sentence each; nothing for a whole one."""
    said = []
    if recorded.manifest is None or recorded.plan is None:
        said.append("no manifest: whether plan, versions, deployment and host are equal is not known")
        if recorded.trials is None:
            said.append("no trials.csv: which trials were cut short is not known")
    elif recorded.manifest.ended != "complete":
        planned = recorded.plan.get("trials")
        of = f" of {len(planned)}" if isinstance(planned, list) else ""
        words = {"interrupted": "was interrupted", "failed": "failed", "running": "never finished"}
        said.append(f"the run {words[recorded.manifest.ended]}: {len(recorded.manifest.trials)}{of} trials")
    if recorded.summary is None:
        said.append("no summary.csv: rates, latencies and CPU are not known")
    if recorded.recovery is None:
        said.append("no recovery.csv: times to recover are not known")
    if recorded.audit is None:
        said.append("no audit.csv: whether messages were lost is not known, and so nothing of it is better")
    return tuple(said)


def _figures(
    recorded: Recorded, generation: str, trials: Sequence[Trial], phase: str
) -> dict[str, tuple[float, ...]]:
    numbers = [trial.trial for trial in trials]
    found: dict[str, tuple[float, ...]] = dict.fromkeys(FIGURES, ())
    if recorded.summary is not None:
        table = recorded.summary
        own = table[(table["generation"] == generation) & (table["phase"] == phase)]
        values: dict[tuple[str, str], dict[int, float]] = {}
        columns = (own[name] for name in ("operation", "metric", "trial", "value"))
        for operation, metric, trial, value in zip(*columns, strict=True):
            values.setdefault((operation, metric), {})[trial] = value
        for name, key in FIGURES.items():
            by_trial = values.get(key, {})
            given = (by_trial.get(number, math.nan) for number in numbers)
            found[name] = tuple(float(value) for value in given if not math.isnan(value))
    found[RECOVERY] = _recoveries(recorded.recovery, generation, numbers)
    return found


def _recoveries(
    rows: Sequence[RecoveryRow] | None, generation: str, numbers: Sequence[int]
) -> tuple[float, ...]:
    """The time to recover from the generation's headline fault, a value a trial; infinity for never."""
    own = [row for row in rows or () if row.generation == generation and row.trial in numbers]
    return tuple(recovery_by_trial(headline_recoveries(own)))

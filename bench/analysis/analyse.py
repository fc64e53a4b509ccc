"""The one entry to the analysis: from a run's evidence to everything a report shows.

A figure of a generation is the median over its complete trials; where it has none, over what there is,
and it is marked. Times to recover are of every injection of one fault, the generation's first that is no
control: the same kind at the same node, however often, in all its trials. Other faults have lines of
their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.audit import Blamed, Losses, blamed, gate, losses
from bench.analysis.bins import histograms_by_bin, original_bins, while_offered
from bench.analysis.incidents import (
    Incident,
    headline_recoveries,
    incidents,
    median_recovery,
    recovery_by_trial,
)
from bench.analysis.metrics import summarise
from bench.analysis.phases import phases
from bench.analysis.planned import closed_loop, generations, headline_phase, slo, stages, timeout_s
from bench.analysis.published import Cell, Measured, beside_published
from bench.analysis.recovery import recoveries
from bench.analysis.steady_state import SteadyState, steady_state
from bench.evidence import Evidence, PublishedRow
from bench.histograms import Histogram
from bench.manifest import Manifest, Trial
from bench.records import PhaseRow, RecoveryRow, SummaryRow, TrialRow

FIGURES: Mapping[str, tuple[str, str]] = {
    "tps": ("", "tps"),
    "response_p50_ms": ("send", "response_p50"),
    "response_p99_ms": ("send", "response_p99"),
    "delivery_p99_ms": ("send", "delivery_p99"),
    "cpu_us_per_transaction": ("", "cpu_us_per_transaction"),
    "slo_share": ("", "slo_share"),
    "offered_rate": ("", "offered_rate"),
}
"""Headline figure by name: the operation and metric in summary.csv that it is the median of."""
CARRIED_SHARE = 0.99
"""Acknowledged over offered from which on TPS is what was asked for, and not what a system can do."""


@dataclass(frozen=True, slots=True)
class Headline:
    """One generation's line of the closing table; None is not measured.

    `recovery_censored` says that `time_to_recover_s` is a lower bound. `trials` are those the figures
    are of; `complete` is False where none of them ran to its end.
    """

    generation: str
    tps: float | None
    response_p50_ms: float | None
    response_p99_ms: float | None
    delivery_p99_ms: float | None
    cpu_us_per_transaction: float | None
    slo_share: float | None
    offered_rate: float | None
    time_to_recover_s: float | None
    recovery_censored: bool
    losses: Losses | None
    trials: int
    complete: bool

    @property
    def carried(self) -> bool:
        """Whether the system carried all the load it was offered, so that its capacity is not known."""
        if self.tps is None or not self.offered_rate:
            return False
        return self.tps >= CARRIED_SHARE * self.offered_rate


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything a report shows of a run; nothing in it needs computing again.

    `headlines` and `cells` go by generation in the plan's order; ratios are over the first. `phase` is
    the stage the headline figures are of. In a `closed_loop` people waited for answers. Of void
    trials there is a row in `trials` and nothing else. `flawed` are the trials that are not complete;
    `findings` the messages that the audits of the others found fault with.
    """

    manifest: Manifest
    profile: str
    phase: str | None
    slo_response_ms: float
    slo_share: float
    summary: tuple[SummaryRow, ...]
    recovery: tuple[RecoveryRow, ...]
    phases: tuple[PhaseRow, ...]
    headlines: tuple[Headline, ...]
    incidents: tuple[Incident, ...]
    cells: tuple[Cell, ...]
    trials: tuple[TrialRow, ...]
    flawed: tuple[Trial, ...]
    trials_planned: int | None
    closed_loop: bool = False
    findings: tuple[Blamed, ...] = ()

    def cell(self, generation: str, figure: str) -> Cell | None:
        """The cell of one figure of one generation."""
        return next((c for c in self.cells if (c.generation, c.figure) == (generation, figure)), None)


def analyse(evidence: Evidence, published: Sequence[PublishedRow] = ()) -> Analysis:
    """Everything that can be said of whatever trials there are; pure, and the same from the same folder."""
    void = {(t.generation, t.trial) for t in evidence.manifest.trials if t.status == "void"}
    summary = tuple(row for row in summarise(evidence) if (row.generation, row.trial) not in void)
    recovery = tuple(row for row in recoveries(evidence) if (row.generation, row.trial) not in void)
    steps = tuple(row for row in phases(evidence) if (row.generation, row.trial) not in void)
    phase = headline_phase(evidence.plan)
    trials = evidence.manifest.trials
    headlines = tuple(
        _headline(
            generation, [t for t in trials if t.generation == generation], phase, evidence, summary, recovery
        )
        for generation in generations(evidence.plan, trials)
    )
    goal = slo(evidence.plan)
    return Analysis(
        manifest=evidence.manifest,
        profile=evidence.manifest.profile,
        phase=phase,
        slo_response_ms=goal.response_ms,
        slo_share=goal.share,
        summary=summary,
        recovery=recovery,
        phases=steps,
        headlines=headlines,
        incidents=incidents(recovery, steps),
        cells=beside_published(
            [_measured(headline, trials, phase, summary, recovery) for headline in headlines], published
        ),
        trials=_trial_rows(evidence),
        flawed=tuple(trial for trial in trials if trial.status != "complete"),
        trials_planned=_planned_trials(evidence),
        closed_loop=closed_loop(evidence.plan),
        findings=blamed(
            evidence.findings,
            evidence.faults,
            [trial for trial in trials if trial.status != "void"],
            timeout_s(evidence.plan),
        ),
    )


def believed(trials: Sequence[Trial]) -> list[Trial]:
    """The complete trials; where there is none, those that were cut short; void ones never."""
    complete = [trial for trial in trials if trial.status == "complete"]
    return complete or [trial for trial in trials if trial.status != "void"]


def figures_by_trial(
    generation: str, trials: Sequence[Trial], phase: str | None, summary: Sequence[SummaryRow]
) -> dict[str, list[float]]:
    """Each headline figure of each given trial that has one, in the trials' order."""
    index = {(r.generation, r.trial, r.phase, r.operation, r.metric): r.value for r in summary}
    found: dict[str, list[float]] = {}
    for name, (operation, metric) in FIGURES.items():
        values = [index.get((generation, t.trial, phase or "", operation, metric)) for t in trials]
        found[name] = [value for value in values if value is not None]
    return found


def _headline(
    generation: str,
    trials: Sequence[Trial],
    phase: str | None,
    evidence: Evidence,
    summary: Sequence[SummaryRow],
    recovery: Sequence[RecoveryRow],
) -> Headline:
    chosen = believed(trials)
    numbers = {trial.trial for trial in chosen}
    values = figures_by_trial(generation, chosen, phase, summary)
    medians = {name: float(np.median(found)) if found else None for name, found in values.items()}
    struck = headline_recoveries([r for r in recovery if r.generation == generation and r.trial in numbers])
    time_to_recover_s, censored = median_recovery(struck)
    return Headline(
        generation=generation,
        tps=medians["tps"],
        response_p50_ms=medians["response_p50_ms"],
        response_p99_ms=medians["response_p99_ms"],
        delivery_p99_ms=medians["delivery_p99_ms"],
        cpu_us_per_transaction=medians["cpu_us_per_transaction"],
        slo_share=medians["slo_share"],
        offered_rate=medians["offered_rate"],
        time_to_recover_s=time_to_recover_s,
        recovery_censored=censored,
        losses=losses(evidence.audit, chosen),
        trials=len(chosen),
        complete=any(trial.status == "complete" for trial in chosen),
    )


def _trial_rows(evidence: Evidence) -> tuple[TrialRow, ...]:
    histograms = histograms_by_bin(evidence.histograms)
    return tuple(
        TrialRow(
            generation=trial.generation,
            trial=trial.trial,
            status=trial.status,
            verdict=trial.verdict,
            verdict_reason=trial.verdict_reason,
            retry_of=trial.retry_of,
            steady_state=state.word,
            steady_from_s=state.from_s,
            steady_reason=state.reason,
            detail=trial.detail,
        )
        for trial in evidence.manifest.trials
        for state in [_steady_state(evidence, trial, histograms)]
    )


def _steady_state(
    evidence: Evidence,
    trial: Trial,
    histograms: Mapping[tuple[str, int], Mapping[tuple[int, str], Sequence[Histogram]]],
) -> SteadyState:
    """Whether the stage that the headline figures are of had come to rest in this trial."""
    name = headline_phase(evidence.plan)
    stage = next((stage for stage in stages(evidence.plan) if stage.name == name), None)
    if stage is None:
        return SteadyState("unknown", None, "no stage is measured")
    if not stage.level:
        return SteadyState("unknown", None, f"the rate changes within the {name} stage")
    table = evidence.timeline
    key = trial.generation, trial.trial
    own = table[(table["generation"] == key[0]) & (table["trial"] == key[1])]
    bins = original_bins(own, [stage.name], histograms.get(key, {}))
    return steady_state(while_offered(bins), slo(evidence.plan).response_ms)


def _measured(
    headline: Headline,
    trials: Sequence[Trial],
    phase: str | None,
    summary: Sequence[SummaryRow],
    recovery: Sequence[RecoveryRow],
) -> Measured:
    chosen = believed([trial for trial in trials if trial.generation == headline.generation])
    numbers = {trial.trial for trial in chosen}
    own = [row for row in recovery if row.generation == headline.generation and row.trial in numbers]
    by_trial = figures_by_trial(headline.generation, chosen, phase, summary)
    return Measured(
        generation=headline.generation,
        figures=_figures(headline),
        by_trial={**by_trial, "time_to_recover_s": recovery_by_trial(headline_recoveries(own))},
        carried=headline.carried,
        objection=gate(headline.losses),
    )


def _figures(headline: Headline) -> dict[str, float | None]:
    # A lower bound has no ratio.
    recovery_s = None if headline.recovery_censored else headline.time_to_recover_s
    return {
        "tps": headline.tps,
        "response_p50_ms": headline.response_p50_ms,
        "response_p99_ms": headline.response_p99_ms,
        "delivery_p99_ms": headline.delivery_p99_ms,
        "time_to_recover_s": recovery_s,
        "cpu_us_per_transaction": headline.cpu_us_per_transaction,
    }


def _planned_trials(evidence: Evidence) -> int | None:
    planned = evidence.plan.get("trials")
    return len(planned) if isinstance(planned, list) else None

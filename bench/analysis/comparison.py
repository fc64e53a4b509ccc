"""Runs side by side: the unit is a trial, never a request.

A contender is set beside a baseline, each generation beside itself, or the one generation of either that
was asked for. The primary figures of a pair are judged together (judgement.py); the others stand there
without a word. Runs that differ in more than their figures are refused (comparability.py), unless forced,
and then the comparison carries the list.

Audits come before figures: nothing is better for a system whose acknowledged messages were lost, or that
cannot show they were not. One that lost messages where the other lost none is worse, whatever its figures.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.analysis.audit import gate
from bench.analysis.comparability import DIMENSIONS, Difference, Dimension, differences
from bench.analysis.judgement import Better, Judgement, Sample, Word, describe, judge, overall
from bench.analysis.subject import Recorded, Subject, lacking, phase_of, subjects
from bench.errors import UserError

PRIMARY: Sequence[str] = (
    "tps",
    "response_p50_ms",
    "response_p99_ms",
    "time_to_recover_s",
    "cpu_us_per_transaction",
)
"""The figures a comparison is decided by, Holm's family: at most six, so that 5 v 5 trials can tell."""
FURTHER: Sequence[str] = ("delivery_p99_ms", "slo_share")
HIGHER_IS_BETTER = frozenset({"tps", "slo_share"})
LOST = "lost"
OTHER_KINDS: Mapping[str, tuple[str, str]] = {
    "capacity": ("a search for capacity", "capacity.csv"),
    "recovery": ("a sweep of data volumes", "recovery_fit.csv"),
}
"""What is no run to compare, by the manifest's kind, and where its figures stand."""
DECIDED: Sequence[Word] = ("better", "worse")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a pair: each side's median over its believed trials; infinity is one that never came."""

    figure: str
    primary: bool
    baseline: float | None
    contender: float | None
    trials: tuple[int, int]
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Pair:
    """Two subjects compared. `word` is on the primary figures and the losses; `reasons` are sentences."""

    baseline: Subject
    contender: Subject
    rows: tuple[Row, ...]
    word: Word
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A contender beside the baseline. `between` is what the comparison is about, as far as it was named.

    `allowed` differ for that reason; `differing` is empty unless the comparison was forced. `lacking` are
    sentences, each with the run's name before it.
    """

    baseline: str
    contender: str
    between: tuple[Dimension, ...]
    allowed: tuple[Difference, ...]
    differing: tuple[Difference, ...]
    lacking: tuple[str, ...]
    pairs: tuple[Pair, ...]

    @property
    def word(self) -> Word:
        """The word on all pairs together."""
        return overall(pair.word for pair in self.pairs)


def compare(
    baseline: Recorded,
    contender: Recorded,
    *,
    between: Sequence[Dimension] = (),
    force: bool = False,
    phase: str | None = None,
    noise: Sequence[Recorded] = (),
) -> Comparison:
    """The contender beside the baseline, pair by pair; pure. `noise` are further runs of equal systems.

    Raises UserError where the runs are not comparable and `force` is False, or there is nothing to pair.
    """
    for recorded in (baseline, contender, *noise):
        _require_run(recorded)
    for recorded in noise:
        _require_equal(baseline, recorded, force=force)
    found = differences(baseline, contender)
    allowed = tuple(one for one in found if one.dimension in between)
    differing = tuple(one for one in found if one.dimension not in between)
    if differing and not force:
        raise UserError(_refusal(baseline, contender, differing))
    if phase is not None:
        _require_phase(phase, baseline, contender)
    phase = phase or phase_of(baseline) or phase_of(contender) or None
    pairs = _pairs(baseline, contender, phase)
    more = {s.label: s for recorded in noise for s in subjects(recorded, phase)}.values()
    return Comparison(
        baseline=baseline.name,
        contender=contender.name,
        between=tuple(one for one in DIMENSIONS if one in between),
        allowed=allowed,
        differing=differing,
        lacking=tuple(
            dict.fromkeys(f"{each.name}: {text}" for each in (baseline, contender) for text in lacking(each))
        ),
        pairs=tuple(
            _compared(one, other, [s for s in more if s.generation == one.generation]) for one, other in pairs
        ),
    )


def _require_run(recorded: Recorded) -> None:
    kind = "run" if recorded.manifest is None else recorded.manifest.kind
    if kind != "run":
        what, where = OTHER_KINDS[kind]
        raise UserError(f"{recorded.name} is of {what}: expected a run; its figures stand in its {where}")


def _require_equal(baseline: Recorded, noise: Recorded, *, force: bool) -> None:
    found = differences(baseline, noise)
    if found and not force:
        raise UserError(
            f"{noise.name} is no further run of {baseline.name}'s system: they differ in "
            f"{'; '.join(map(str, found))}: expected runs of equal systems to take the margin from"
        )


def _require_phase(phase: str, *sides: Recorded) -> None:
    for recorded in sides:
        if recorded.summary is not None:
            there = [str(name) for name in dict.fromkeys(recorded.summary["phase"])]
            if phase not in there:
                raise UserError(f"{recorded.name}: no phase {phase!r}: expected one of {', '.join(there)}")


def _refusal(baseline: Recorded, contender: Recorded, differing: Sequence[Difference]) -> str:
    dimensions = " ".join(
        f"--between {name}" for name in DIMENSIONS if name in {d.dimension for d in differing}
    )
    return (
        f"{contender.name} is not comparable with {baseline.name}: they differ in "
        f"{'; '.join(map(str, differing))}: expected equal ones, so that a difference in figures is the "
        f"system's; {dimensions} if that is what you compare; --force compares all the same and says so"
    )


def _pairs(baseline: Recorded, contender: Recorded, phase: str | None) -> list[tuple[Subject, Subject]]:
    ours, theirs = (subjects(each, phase) for each in (baseline, contender))
    for recorded, found in ((baseline, ours), (contender, theirs)):
        if not found:
            what = f"no trial of {recorded.only}" if recorded.only else "no trial to be believed"
            raise UserError(f"{recorded.name}: {what} was measured: there is nothing to compare")
    if baseline.only and contender.only:
        return [(ours[0], theirs[0])]
    by_name = {subject.generation: subject for subject in theirs}
    shared = [(one, by_name[one.generation]) for one in ours if one.generation in by_name]
    if not shared:
        raise UserError(
            f"{baseline.name} and {contender.name} have no generation in common "
            f"({', '.join(s.generation for s in ours)} v {', '.join(by_name)}): name one of each, "
            "as in RUN:monolith RUN:sharded"
        )
    return shared


def _compared(one: Subject, other: Subject, noise: Iterable[Subject]) -> Pair:
    more = list(noise)
    samples = {
        figure: _sample(figure, one, other, more)
        for figure in (*PRIMARY, *FURTHER)
    }  # fmt: skip
    gates = gate(one.losses), gate(other.losses)
    judged = [_gated(judgement, gates) for judgement in judge([samples[figure] for figure in PRIMARY])]
    rows = [_row(samples[judgement.figure], judgement, primary=True) for judgement in judged]
    rows += [
        _row(samples[figure], describe(samples[figure], "not among the primary figures"), primary=False)
        for figure in FURTHER
    ]
    rows.append(_lost(one, other))
    words = [row.judgement.word for row in rows if row.primary]
    words += [row.judgement.word for row in rows if row.figure == LOST and row.judgement.word in DECIDED]
    return Pair(one, other, tuple(rows), overall(words), tuple(_reasons(one, other, gates)))


def _sample(figure: str, one: Subject, other: Subject, noise: Sequence[Subject]) -> Sample:
    better: Better = "higher" if figure in HIGHER_IS_BETTER else "lower"
    return Sample(
        figure,
        better,
        one.figures[figure],
        other.figures[figure],
        tuple(values for subject in noise if (values := subject.figures[figure])),
    )


def _gated(judgement: Judgement, gates: tuple[str, str]) -> Judgement:
    """The judgement where its winner's audit stands, else inconclusive, with the reason."""
    if judgement.word not in DECIDED:
        return judgement
    side, why = ("contender", gates[1]) if judgement.word == "better" else ("baseline", gates[0])
    if not why:
        return judgement
    reason = f"would be {judgement.word}, but the {side} cannot win: {why}"
    return replace(judgement, word="inconclusive", reason=reason)


def _row(sample: Sample, judgement: Judgement, *, primary: bool) -> Row:
    return Row(
        figure=sample.figure,
        primary=primary,
        baseline=median(sample.baseline),
        contender=median(sample.contender),
        trials=(len(sample.baseline), len(sample.contender)),
        judgement=judgement,
    )


def _lost(one: Subject, other: Subject) -> Row:
    """Messages acknowledged and never delivered, in all believed trials; a loss is a fact, not a sample."""
    counts = tuple(None if each.losses is None else float(each.losses.lost) for each in (one, other))
    word: Word = "descriptive only"
    reason = "a count: it has no ratio"
    if None in counts:
        word, reason = "no figure", ""
    elif counts[0] == 0 and counts[1] and not gate(one.losses):
        word, reason = "worse", "it lost acknowledged messages, and the baseline none"
    elif counts[1] == 0 and counts[0] and not gate(other.losses):
        word, reason = "better", "the baseline lost acknowledged messages, and it none"
    trials = tuple(max(map(len, each.figures.values()), default=0) for each in (one, other))
    judgement = Judgement(LOST, word, reason, None, None, None, None, None, None)
    return Row(LOST, False, counts[0], counts[1], (trials[0], trials[1]), judgement)


def _reasons(one: Subject, other: Subject, gates: tuple[str, str]) -> Iterable[str]:
    for subject, why in ((one, gates[0]), (other, gates[1])):
        if why:
            yield f"{subject.label}: {why}: none of its figures can be better"


def median(values: Sequence[float]) -> float | None:
    """The median; None for none, and infinity where half of them never came."""
    if not values:
        return None
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return math.inf if math.inf in (low, high) else (low + high) / 2

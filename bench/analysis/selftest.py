"""What the harness must get back from targets whose misdeeds are written down, and whether it did.

Each function is one truth: it is given what a trial left and gives the checks of it. A check says what was
expected, what was got, and whether that is the same; it is never left out, so that what could not be told
has failed. Pure.

The limits are those of a busy machine with two cores: everything there is late, so a truth is looked for
where lateness cannot hide or feign it. A stall of 1.4 s is two hundred times an answer; an outage is
refused messages and not slow ones; and systems to compare take 200 ms an answer, beside which a machine's
lateness is small.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.analysis.judgement import Word, judge_one
from bench.analysis.metrics import summarise
from bench.analysis.planned import Slo
from bench.analysis.recovery import recoveries
from bench.analysis.verdict import GENERATOR_CPU_LIMIT, Signs, Verdict, judge
from bench.evidence import Evidence
from bench.records import FINDING_KINDS, AuditFindingRow, FaultRow, FindingKind, RecoveryRow
from bench.tables import frame

STALL_S = 1.4
OUTAGE_S = 4.0
BASE_MS, SLOWER_MS = 200.0, 220.0
"""What the systems that are compared add to each answer: two the first, one the second."""
SHOWN_SHARE = 0.85
"""Of a stall, that the 99th percentile must show at least: it is less the hundredth of the load after it."""
UNSEEN_SHARE = 0.25
"""Of a stall, that the service time must stay below not to show it: its 90th percentile. What had just left
when the generator stopped truly waited for it, and on a busy machine that may be more than a hundredth."""
LATE_S = 0.6
"""By how much a machine may be late itself after a stall."""
FIRST_NAMED = 3
"""Messages, where a check names some."""
MISDEEDS: Mapping[FindingKind, str] = {
    "lost": "a lost message",
    "duplicated": "a doubled message",
    "reordered": "a swapped message",
    "corrupt": "a corrupted message",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One truth held against what was measured."""

    name: str
    expected: str
    got: str
    passed: bool


def of_stalls(
    evidence: Evidence, target_phase: str, generator_phase: str, generator_stalled_s: float
) -> tuple[Check, ...]:
    """In one phase the target stalls for 1.4 s, in the other the generator does: its messages leave late.

    A busy machine ends a stall late. So each is held to its real length, which the target tells itself.
    """
    found = {(row.phase, row.metric): row.value for row in summarise(evidence) if row.operation == "send"}
    told = [float(event.fields["for_s"]) for event in evidence.events if event.event == "stalled"]
    service = found.get((generator_phase, "service_p90"))
    unseen_ms = UNSEEN_SHARE * generator_stalled_s * 1000
    return (
        _stall("target", told[0] if told else None, found.get((target_phase, "response_p99"))),
        _stall("generator", generator_stalled_s, found.get((generator_phase, "response_p99"))),
        Check(
            "and not in the service time",
            f"service p90 below {unseen_ms:,.0f} ms",
            _ms(service),
            service is not None and service < unseen_ms,
        ),
    )


def _stall(who: str, length_s: float | None, p99_ms: float | None) -> Check:
    name = f"a {who} that stalls for {STALL_S:g} s shows in the corrected p99"
    if length_s is None or length_s < STALL_S:
        return Check(name, f"a stall of {STALL_S:g} s", "none was told", False)
    least_ms, most_ms = SHOWN_SHARE * length_s * 1000, (length_s + LATE_S) * 1000
    shows = p99_ms is not None and least_ms <= p99_ms <= most_ms
    return Check(name, f"response p99 of {least_ms:,.0f} to {most_ms:,.0f} ms", _ms(p99_ms), shows)


def of_outage(evidence: Evidence, bin_width_s: float) -> Check:
    """The target refuses every message from its event `down` to its event `up`, 4 s later.

    A busy machine ends an outage late, too: it is held to its real length.
    """
    faults = with_outages(evidence)
    rows = recoveries(faults)
    found = rows[0].time_to_recover_s if rows else None
    moments_s = faults.faults["completed_s"].tolist()
    lasted_s = moments_s[1] - moments_s[0] if len(moments_s) > 1 else math.nan
    return Check(
        f"an outage of {OUTAGE_S:g} s is a recovery of {OUTAGE_S:g} s",
        f"{lasted_s:.2f} s ± {bin_width_s:.2f} s, a bin",
        _recovered(rows),
        found is not None
        and lasted_s >= OUTAGE_S - bin_width_s / 10  # moments are told in ms
        and math.isclose(found, lasted_s, abs_tol=bin_width_s + 1e-9),
    )


def with_outages(evidence: Evidence) -> Evidence:
    """The same evidence with a fault for each `down` that the target told, healed at its `up`."""
    rows = []
    told = [event for event in evidence.events if event.event in ("down", "up")]
    for number, event in enumerate(told):
        down = event.event == "down"
        moments = (event.t_s, event.t_s, event.t_s)
        key = (event.generation, event.trial, number // 2 + 1, "outage", event.node)
        rows.append(FaultRow(*key, "inject" if down else "heal", *moments, ""))
    return replace(evidence, faults=frame(FaultRow, rows))


def of_misdeeds(protocol: str, evidence: Evidence) -> tuple[Check, ...]:
    """The target did each misdeed to one message and named it; the audit must name the same, and no other."""
    truth, found = _injected(evidence), _found(evidence)
    checks = [
        Check(
            f"{words}, by {protocol}",
            _names(truth[kind]),
            _names(found[kind]),
            bool(truth[kind]) and truth[kind] == found[kind],
        )
        for kind, words in MISDEEDS.items()
    ]
    (verdict,) = evidence.audit.loc[evidence.audit["phase"] == "all", "verdict"].tolist() or ("none",)
    checks.append(
        Check(
            f"and the audit's verdict, by {protocol}",
            "violated, and nothing found besides",
            f"{verdict}, {len(found['phantom'])} found besides",
            verdict == "violated" and not found["phantom"],
        )
    )
    return tuple(checks)


def of_overload(easy: Signs, overloaded: Signs, slo: Slo) -> tuple[Check, ...]:
    """A generator that held an easy rate was asked for far more than its core can make.

    Its ceiling is reckoned from what the easy rate cost it. Without a ceiling a machine that others use as
    well may be blamed instead; the trial is void in either case.
    """
    used = easy.generator_cpu_ratio
    ceiling_per_s = GENERATOR_CPU_LIMIT * easy.offered_per_s / used if used else None
    alone = judge([overloaded], slo)
    known = judge([overloaded], slo, ceiling_per_s=ceiling_per_s)
    return (
        Check(
            "an overloaded generator's trial is void", "generator_bound or noisy", _said(alone), alone.void
        ),
        Check(
            "and called generator-bound, its ceiling known",
            "generator_bound",
            "no ceiling: its CPU was not read" if ceiling_per_s is None else _said(known),
            ceiling_per_s is not None and known.word == "generator_bound",
        ),
        Check(
            "and a generator at ease is not",
            "sut_bound or noisy",
            _said(judge([easy], slo)),
            judge([easy], slo).word != "generator_bound",
        ),
    )


def of_comparisons(
    one: Sequence[float], equal: Sequence[float], slower: Sequence[float]
) -> tuple[Check, ...]:
    """Two equal systems and one that is 10 % slower, by the p50 of each trial, as `bench compare` does it."""
    percent = round((SLOWER_MS / BASE_MS - 1) * 100)
    return (
        _compared("two equal systems", one, equal, "equivalent"),
        _compared(f"a system {percent} % slower", one, slower, "worse"),
        _compared(f"a system {percent} % quicker", slower, one, "better"),
    )


def undecided(one: Sequence[float], equal: Sequence[float], slower: Sequence[float]) -> bool:
    """Whether more trials are needed for a word on each of these."""
    return any(judge_one(one, other, "lower").word == "inconclusive" for other in (equal, slower))


def _compared(name: str, baseline: Sequence[float], contender: Sequence[float], word: Word) -> Check:
    found = judge_one(baseline, contender, "lower")
    got: str = found.word
    if found.ratio is not None:
        got += f", × {found.ratio:.3f}"
    if found.interval is not None and found.margin is not None:
        low, high = found.interval
        got += f" ({low:.3f} to {high:.3f}, margin {found.margin * 100:.0f} %)"
    trials = f"{len(baseline)} v {len(contender)} trials"
    verb = "are" if word == "equivalent" else "is"
    return Check(f"{name} {verb} {word}", f"{word}, {trials}", got, found.word == word)


def p50s(evidence: Evidence, phase: str) -> list[float]:
    """The median response time of each trial's phase, in ms."""
    return [
        row.value
        for row in summarise(evidence)
        if (row.phase, row.operation, row.metric) == (phase, "send", "response_p50") and row.value is not None
    ]


def _injected(evidence: Evidence) -> Mapping[str, frozenset[str]]:
    told = [event for event in evidence.events if event.event == "injected"]
    names: dict[str, set[str]] = {kind: set() for kind in FINDING_KINDS}
    for event in told:
        names[str(event.fields["kind"])].update(event.fields["messages"])
    return {kind: frozenset(every) for kind, every in names.items()}


def _found(evidence: Evidence) -> Mapping[str, frozenset[str]]:
    table = frame(AuditFindingRow, ()) if evidence.findings is None else evidence.findings
    return {
        kind: frozenset(table.loc[table["finding"] == kind, "message_id"].tolist()) for kind in FINDING_KINDS
    }


def _names(messages: frozenset[str]) -> str:
    named = sorted(messages)[:FIRST_NAMED]
    more = f" and {len(messages) - len(named):,} more" if len(messages) > len(named) else ""
    return ", ".join(named) + more or "none"


def _recovered(rows: Sequence[RecoveryRow]) -> str:
    if not rows:
        return "no outage was told"
    row = rows[0]
    if row.time_to_recover_s is None:
        return f"{row.outcome}: {row.detail}"
    return f"{row.time_to_recover_s:.2f} s, {row.outcome}"


def _said(verdict: Verdict) -> str:
    return f"{verdict.word}: {verdict.reason}"


def _ms(value_ms: float | None) -> str:
    return "no figure" if value_ms is None else f"{value_ms:,.0f} ms"


def failed(checks: Sequence[Check]) -> str:
    """One line that says which checks failed; empty where none did."""
    wrong = [check for check in checks if not check.passed]
    if not wrong:
        return ""
    said = "; ".join(f"{check.name}: expected {check.expected}, got {check.got}" for check in wrong)
    return f"{len(wrong)} of {len(checks)} checks failed: {said}"

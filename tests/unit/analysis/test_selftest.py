"""The self-test's checks: each passes on its truth, and fails when the thing it checks is broken."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bench.analysis.planned import Slo
from bench.analysis.selftest import (
    Check,
    failed,
    of_comparisons,
    of_misdeeds,
    of_outage,
    of_overload,
    of_stalls,
    p50s,
)
from bench.analysis.verdict import Signs
from bench.evidence import Evidence, NodeEvent
from bench.histograms import Histogram
from bench.records import AuditFindingRow, FindingKind
from bench.tables import frame
from tests.unit.analysis.synthetic import Outage, Scripted, evidence

STAGES = (("target", "steady", 0.0, 4.0), ("generator", "steady", 4.0, 8.0))
BOTH = (Outage(1.0, 2.4), Outage(5.0, 6.4))
KINDS: tuple[FindingKind, ...] = ("lost", "duplicated", "reordered", "corrupt")


def passed(checks: Sequence[Check]) -> list[bool]:
    return [check.passed for check in checks]


def stalled(outages: Sequence[Outage], *, service_ms: float = 1.0) -> Evidence:
    given = evidence(Scripted(outages=outages, stages=STAGES, rate_per_s=500))
    served = Histogram.of_values(np.full(2_000, service_ms * 1000))
    lines = [
        line._replace(histogram=served) if line.tag.measure == "service" else line
        for line in given.histograms
    ]
    return replace(given, histograms=tuple(lines))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (stalled(BOTH), [True, True, True]),
        (stalled(BOTH[1:]), [False, True, True]),
        (stalled(BOTH[:1]), [True, False, True]),
        (stalled(BOTH, service_ms=1_300), [True, True, False]),
        (stalled([Outage(1.0, 3.5), Outage(5.0, 5.7)]), [False, False, True]),
        (evidence(Scripted(stages=STAGES, rate_per_s=10)), [False, False, False]),
    ],
)
def test_a_stall_must_show_in_the_corrected_p99_and_not_in_the_service_time(
    given: Evidence, expected: list[bool]
) -> None:
    assert passed(of_stalls(given, "target", "generator")) == expected


@pytest.mark.parametrize(
    ("outages", "told", "expected"),
    [
        ([Outage(21.0, 25.2)], [(21.0, "down"), (25.0, "up")], True),
        ([Outage(21.0, 26.2)], [(21.0, "down"), (25.0, "up")], False),
        ([Outage(21.0, 24.2)], [(21.0, "down"), (25.0, "up")], False),
        ([], [(21.0, "down"), (25.0, "up")], False),
        ([Outage(21.0, 80.0)], [(21.0, "down"), (25.0, "up")], False),
        ([Outage(21.0, 25.2)], [], False),
    ],
)
def test_an_outage_must_come_back_as_its_length(
    outages: list[Outage], told: list[tuple[float, str]], expected: bool
) -> None:
    check = of_outage(evidence(Scripted(outages=outages, events=told)), 0.1)
    assert check.passed is expected, check.got


def ill_treated(found: Sequence[tuple[str, str]], verdict: str = "violated") -> Evidence:
    """The target did each misdeed to the message of that name; the audit found these."""
    given = evidence(Scripted())
    told = [NodeEvent("monolith", 1, 1.0, "noop", "injected", {"kind": k, "messages": [k]}) for k in KINDS]
    rows = [
        AuditFindingRow("monolith", 1, kind, name, "u1", "u2", "steady", 1.0, "")  # type: ignore[arg-type]
        for kind, name in found
    ]
    audit = given.audit.assign(verdict=verdict)
    return replace(given, events=tuple(told), findings=frame(AuditFindingRow, rows), audit=audit)


ALL = [(kind, kind) for kind in KINDS]


def test_each_misdeed_must_be_found_by_name() -> None:
    assert passed(of_misdeeds("xmpp", ill_treated(ALL))) == [True] * 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_misdeed_that_is_not_found_or_misnamed_fails_its_check_alone(kind: FindingKind) -> None:
    expected = [name != kind for name in KINDS] + [True]
    assert passed(of_misdeeds("xmpp", ill_treated([one for one in ALL if one[0] != kind]))) == expected
    other = [(name, "other" if name == kind else name) for name in KINDS]
    assert passed(of_misdeeds("xmpp", ill_treated(other))) == expected
    assert passed(of_misdeeds("xmpp", ill_treated([*ALL, (kind, "another")]))) == expected


def test_a_verdict_that_is_not_violated_a_phantom_and_a_target_that_did_nothing_fail() -> None:
    assert passed(of_misdeeds("xmpp", ill_treated(ALL, "complete"))) == [True] * 4 + [False]
    assert passed(of_misdeeds("xmpp", ill_treated([*ALL, ("phantom", "x")]))) == [True] * 4 + [False]
    assert passed(of_misdeeds("xmpp", replace(ill_treated([], "complete"), events=()))) == [False] * 5
    assert passed(of_misdeeds("xmpp", replace(ill_treated(ALL), findings=None))) == [False] * 4 + [True]


EASY = Signs("easy", "steady", 2_000.0, 1.0, 1.0, 0.2, 0.0, 0.0, 0.4, 0.0, 0.1)
OVERLOADED = replace(
    EASY, offered_per_s=60_000.0, on_time_share=0.1, lag_p99_ms=900.0, generator_cpu_ratio=0.99
)
STARVED = replace(OVERLOADED, generator_cpu_ratio=0.4, generator_wait_ratio=0.6, foreign_cpu_ratio=0.5)


@pytest.mark.parametrize(
    ("easy", "overloaded", "expected"),
    [
        (EASY, OVERLOADED, [True, True, True]),
        (EASY, STARVED, [True, True, True]),
        (EASY, EASY, [False, False, True]),
        (replace(EASY, generator_cpu_ratio=None), OVERLOADED, [True, False, True]),
        (replace(EASY, generator_cpu_ratio=0.9), OVERLOADED, [True, True, False]),
    ],
)
def test_an_overloaded_generator_must_be_called_so_and_one_at_ease_not(
    easy: Signs, overloaded: Signs, expected: list[bool]
) -> None:
    assert passed(of_overload(easy, overloaded, Slo(1_000.0, 0.99))) == expected


BASE = [200.0, 201.0, 200.5, 199.5, 202.0]


@pytest.mark.parametrize(
    ("equal", "slower", "expected"),
    [
        (1.0, 1.1, [True, True, True]),
        (1.1, 1.1, [False, True, True]),
        (1.0, 1.0, [True, False, False]),
        (1.0, 0.9, [True, False, False]),
    ],
)
def test_equal_systems_must_be_equivalent_and_a_slower_one_worse(
    equal: float, slower: float, expected: list[bool]
) -> None:
    checks = of_comparisons(BASE, [equal * ms for ms in BASE], [slower * ms for ms in BASE])
    assert passed(checks) == expected


def test_noise_that_hides_a_difference_fails_the_check() -> None:
    wild = [150.0, 260.0, 180.0, 230.0, 205.0]
    assert passed(of_comparisons(wild, wild[::-1], [1.1 * ms for ms in wild])) == [False, False, False]


def test_the_medians_compared_are_those_of_the_phase() -> None:
    found = p50s(evidence(Scripted(mean_response_ms=10), Scripted(trial=2, mean_response_ms=20)), "steady")
    assert found == pytest.approx([6.9, 13.9], rel=0.1)


def test_what_failed_is_said_in_one_line() -> None:
    well, ill = Check("one", "a", "a", True), Check("two", "b", "c", False)
    assert failed([well]) == ""
    assert failed([well, ill]) == "1 of 2 checks failed: two: expected b, got c"

"""What audits of several trials come to, and what they forbid to conclude."""

from dataclasses import replace

import pytest

from bench.analysis.analyse import analyse
from bench.analysis.audit import Losses, Struck, blame_of, gate
from bench.records import AuditFindingRow
from bench.tables import frame
from tests.unit.analysis.synthetic import Scripted, evidence

WELL = Losses(100, 100, 0, 0, 0, 0, 0, 0, "complete", "", 0.03)


def test_a_complete_audit_forbids_nothing() -> None:
    assert gate(WELL) == ""
    assert gate(analyse(evidence(Scripted())).headlines[0].losses) == ""


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "no audit"),
        (Losses(100, 97, 3, 0, 0, 0, 0, 0, "violated", "", None), "3 acknowledged messages lost"),
        (Losses(100, 100, 0, 1, 0, 0, 2, 0, "violated", "", None), "1 phantom, 2 corrupt"),
        (
            Losses(100, 97, 3, 0, 0, 0, 0, 0, "unknown", "2 of 40 people are offline", None),
            "audit unknown: 2 of 40 people are offline",
        ),
    ],
)
def test_anything_else_gates_with_its_reason(found: Losses | None, why: str) -> None:
    assert gate(found) == why


KILL = Struck(1, "kill server", 20.0, 22.0)
PAUSE = Struck(2, "pause server", 21.0, 30.0)
OWN_HEALING = Struck(3, "kill nats-1", 50.0, None)
TIMEOUT_S = 5.0


@pytest.mark.parametrize(
    ("intended_s", "blame"),
    [
        (10.0, ""),
        (19.5, "0.50 s before kill server (fault 1)"),
        (20.5, "during kill server (fault 1)"),
        (21.5, "during pause server (fault 2)"),
        (29.0, "during pause server (fault 2)"),
        (31.0, "10.00 s after pause server (fault 2)"),
        (49.0, "1.00 s before kill nats-1 (fault 3)"),
        (51.5, "1.50 s after kill nats-1 (fault 3)"),
    ],
)
def test_a_message_is_blamed_on_the_active_fault_the_one_that_caught_it_or_the_last(
    intended_s: float, blame: str
) -> None:
    assert blame_of(intended_s, [KILL, PAUSE, OWN_HEALING], TIMEOUT_S) == blame


def test_the_findings_of_void_trials_are_left_out_and_those_of_others_blamed() -> None:
    given = evidence(Scripted(injected_s=[21.0]), Scripted(trial=2, status="void"))
    rows = [
        AuditFindingRow("monolith", trial, "lost", f"1.0.{trial}", "u1", "u2", "fault", 20.999, "")
        for trial in (1, 2)
    ]
    phantom = AuditFindingRow("monolith", 1, "phantom", "probe", "u1", "u2", "", None, "of no run of ours")
    found = analyse(replace(given, findings=frame(AuditFindingRow, [*rows, phantom]))).findings
    assert [(one.trial, one.message_id, one.blame) for one in found] == [
        (1, "1.0.1", "during kill server (fault 1)"),
        (1, "probe", ""),
    ]

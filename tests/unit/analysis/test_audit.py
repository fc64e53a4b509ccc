"""What audits of several trials come to, and what they forbid to conclude."""

import pytest

from bench.analysis.analyse import analyse
from bench.analysis.audit import Losses, gate
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
        (
            Losses(100, 100, 0, 1, 0, 0, 2, 0, "violated", "", None),
            "audit violated: 1 phantom, 2 corrupt messages",
        ),
        (
            Losses(100, 97, 3, 0, 0, 0, 0, 0, "unknown", "2 of 40 people are offline", None),
            "audit unknown: 2 of 40 people are offline",
        ),
    ],
)
def test_anything_else_gates_with_its_reason(found: Losses | None, why: str) -> None:
    assert gate(found) == why

"""What nodes say is told of the fault that it is about, also where faults overlap."""

from dataclasses import replace

import pytest

from bench.analysis.phases import phases
from bench.analysis.recovery import recoveries
from bench.evidence import Evidence, NodeEvent
from bench.records import PhaseRow, RecoveryRow
from tests.unit.analysis.synthetic import Outage, Scripted, evidence

KILLED = Scripted(
    "sharded",
    node="shard-0-primary",
    outages=[Outage(21.0, 23.0)],
    injected_s=[21.0],
    healed_s=[26.0],
)


def said(t_s: float, event: str, node: str = "failover", **fields: str) -> NodeEvent:
    return NodeEvent("sharded", 1, t_s, node, event, fields)


def told(given: Evidence) -> list[tuple[int, str, float, str, str]]:
    return [
        (row.fault, row.phase, round(row.since_injection_s, 3), row.node, row.source) for row in phases(given)
    ]


def row_of(scripted: Scripted, **plan: float) -> RecoveryRow:
    (row,) = recoveries(evidence(scripted, **plan))
    return row


def test_the_steps_come_with_their_node_their_source_and_the_time_since_the_injection() -> None:
    events = [
        said(5.0, "redundant", target="shard-0-replica"),  # when it started
        said(22.0, "detected", target="shard-0-primary"),
        said(22.5, "promoted", target="shard-0-replica", old="shard-0-primary"),
        said(22.6, "promoted", target="shard-0-replica", old="shard-0-primary"),  # only the first
        said(22.7, "mapped", "api-1"),  # no step
        said(28.0, "redundant", target="shard-0-primary"),
    ]
    given = evidence(replace(KILLED, events=events))
    assert told(given) == [
        (1, "detected", 1.0, "shard-0-primary", "failover"),
        (1, "promoted", 1.5, "shard-0-replica", "failover"),
        (1, "restarted", 5.0, "shard-0-primary", "operator"),
        (1, "redundant", 7.0, "shard-0-primary", "failover"),
    ]
    (row,) = recoveries(given)
    assert (row.detected_s, row.redundant_s) == (22.0, 28.0)


def test_a_node_that_sees_a_death_before_it_is_confirmed_is_not_early() -> None:
    given = evidence(replace(KILLED, events=[said(20.9995, "detected", target="shard-0-primary")]))
    assert told(given)[0] == (1, "detected", 0.0, "shard-0-primary", "failover")
    assert recoveries(given)[0].detected_s == 21.0


def test_steps_of_overlapping_faults_do_not_mix() -> None:
    events = [
        said(24.0, "detected", target="shard-0-primary"),  # of the first, though the second has struck
        said(24.1, "detected", target="shard-1-primary"),
        said(24.5, "redundant", target="shard-0-primary+shard-0-replica"),  # names several, one at fault
        said(25.0, "rebalanced"),  # of nobody in particular: of the last
    ]
    given = evidence(replace(KILLED, injected_s=[21.0, 23.0], healed_s=[None, None], events=events))
    second = given.faults["fault"] == 2
    given.faults.loc[second, "node"] = "shard-1-primary+shard-1-replica"
    assert [(fault, phase) for fault, phase, *_ in told(given)] == [
        (1, "detected"), (1, "redundant"), (2, "detected"), (2, "rebalanced"),
    ]  # fmt: skip


def test_who_is_promoted_may_have_been_at_fault_before() -> None:
    events = [
        said(24.0, "decided", target="shard-0-replica", old="shard-0-primary"),
        said(34.0, "decided", target="shard-0-primary", old="shard-0-replica"),  # the other way round
    ]
    given = evidence(replace(KILLED, injected_s=[21.0, 33.0], healed_s=[None, None], events=events))
    given.faults.loc[given.faults["fault"] == 2, "node"] = "shard-0-replica"
    assert [(fault, at) for fault, _, at, *_ in told(given)] == [(1, 3.0), (2, 1.0)]


@pytest.mark.parametrize("kind", ["kill", "stop"])
def test_the_operators_part_is_in_a_recovery_that_waited_for_the_operator(kind: str) -> None:
    waited = Scripted(
        outages=[Outage(21, 33)],
        injected_s=[21],
        healed_s=[31.0],
        kinds=[kind],
        events=[(30.99, "restarted")],  # by whoever the operator told to
    )
    row = row_of(waited, operator_notice_s=6.0, operator_decide_s=4.0)
    assert row.human_s == 10.0
    assert row.time_to_recover_s is not None
    assert row.time_to_recover_s - row.human_s == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize(
    "scripted",
    [
        Scripted(outages=[Outage(21, 23)], injected_s=[21], healed_s=[31.0]),  # back before the operator came
        Scripted(injected_s=[21], healed_s=[31.0]),  # nobody noticed
        Scripted(outages=[Outage(21, 33)], injected_s=[21], healed_s=[31.0], kinds=["pause"]),
        Scripted(outages=[Outage(21, 33)], injected_s=[21], healed_s=[None]),  # nobody to wait for
        replace(
            KILLED, outages=[Outage(21, 33)], events=[said(32.0, "promoted", target="shard-0-replica")]
        ),  # the system's own doing
    ],
)
def test_where_nobody_was_waited_for_the_operators_part_is_nothing(scripted: Scripted) -> None:
    assert row_of(scripted, operator_notice_s=6.0, operator_decide_s=4.0).human_s == 0.0


def test_a_run_without_faults_has_no_steps() -> None:
    given = evidence(Scripted(events=[(21.0, "detected")]))
    assert phases(given) == ()


def test_a_row_holds_what_its_docstring_says() -> None:
    (row,) = phases(evidence(replace(KILLED, healed_s=[None], events=[said(22.0, "decided", target="a")])))
    assert row == PhaseRow("sharded", 1, 1, "decided", 22.0, 1.0, "a", "failover")

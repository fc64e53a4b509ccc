"""The blast radius is the share of clients that did not get what they asked for while a fault lasted."""

from dataclasses import replace

import pytest

from bench.analysis.recovery import recoveries
from bench.analysis.touched import touched_between
from bench.errors import RunFolderError
from bench.records import TouchedRow
from bench.tables import frame
from tests.unit.analysis.synthetic import Outage, Scripted, evidence


def row(bin_start_s: float, people: str, operation: str = "send") -> TouchedRow:
    return TouchedRow("monolith", 1, bin_start_s, 0.1, operation, 0, people)


def test_everybody_is_counted_once_and_only_within_the_stretch() -> None:
    table = frame(TouchedRow, [row(9.9, "0-9"), row(10.0, "1-3"), row(10.0, "3 7", "login"), row(12.0, "20")])
    assert touched_between(table, 10.05, 12.0) == 4
    assert touched_between(table, 9.95, 12.01) == 11
    assert touched_between(table, 13.0, 20.0) == 0


def test_a_cell_that_is_no_set_of_numbers_is_refused_by_name() -> None:
    with pytest.raises(RunFolderError, match=r"touched\.csv: column 'people': .*'3-1'"):
        touched_between(frame(TouchedRow, [row(1.0, "3-1")]), 0.0, 2.0)


def test_an_outage_touches_whoever_sent_during_it() -> None:
    given = evidence(Scripted(injected_s=[21.0], outages=[Outage(21.0, 24.0)], people=50))
    (all_of_them,) = recoveries(given)
    assert (all_of_them.touched_clients, all_of_them.touched_ratio) == (50, 1.0)
    (some,) = recoveries(
        evidence(Scripted(injected_s=[21.0], outages=[Outage(21.0, 22.0)], people=2_000, rate_per_s=200))
    )
    # Of 200 sends in the second those of the first 0.7 s are late, by 140 of 2,000 people, a few twice.
    assert some.touched_clients is not None
    assert some.touched_clients == pytest.approx(140, abs=35)
    assert some.touched_ratio == pytest.approx(some.touched_clients / 2_000)


def test_a_control_touches_nobody_and_a_run_that_did_not_record_it_says_nothing() -> None:
    given = evidence(Scripted(injected_s=[21.0], kinds=["none"]))
    assert recoveries(given)[0].touched_clients == 0
    (untold,) = recoveries(replace(given, touched=None))
    assert (untold.touched_clients, untold.touched_ratio) == (None, None)

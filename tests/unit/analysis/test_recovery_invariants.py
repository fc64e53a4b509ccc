"""What holds of every recovery, whatever happened: order in time, no blank where nothing came, nothing lost."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.bins import ARRIVALS_PER_BIN, Bin, widen
from bench.analysis.health import HOLD_S, course_of
from bench.analysis.recovery import recoveries
from tests.unit.analysis.synthetic import Outage, Scripted, evidence

STAGES = (("warmup", "warmup", 0.0, 2.0), ("steady", "steady", 2.0, 10.0), ("fault", "fault", 10.0, 40.0))


@st.composite
def struck(draw: st.DrawFn) -> Scripted:
    injected_s = sorted(draw(st.lists(st.floats(10.5, 38.0), min_size=1, max_size=3)))
    outages = [
        Outage(at_s + draw(st.floats(0, 2)), at_s + draw(st.floats(2.1, 15)))
        for at_s in injected_s
        if draw(st.booleans())
    ]
    return Scripted(
        stages=STAGES,
        injected_s=injected_s,
        kinds=[draw(st.sampled_from(["kill", "pause", "none"])) for _ in injected_s],
        healed_s=[draw(st.none() | st.just(at_s + 1.0)) for at_s in injected_s],
        outages=outages,
        rate_per_s=draw(st.sampled_from([60.0, 200.0])),
        bin_width_s=0.25,
        seed=draw(st.integers(1, 50)),
    )


@settings(deadline=None, max_examples=15)
@given(struck())
def test_every_recovery_is_in_order_and_none_is_blank(scripted: Scripted) -> None:
    rows = recoveries(evidence(scripted, operator_notice_s=0.25))
    assert len(rows) == len(scripted.injected_s)
    for row, following_s in zip(rows, [*list(scripted.injected_s)[1:], 40.0], strict=True):
        if row.outcome == "unknown":
            assert row.detail
            continue
        assert row.injected_s is not None
        assert following_s is not None
        moments = [row.injected_s, row.impact_s, row.restored_s]
        assert all(one <= other for one, other in pairwise(m for m in moments if m is not None))
        assert all(m >= row.injected_s for m in (row.caught_up_s, row.first_success_s) if m is not None)
        if row.outcome == "not recovered":
            assert row.time_to_recover_s is None
            assert row.censored_at_s is not None
            assert 0 < row.censored_at_s <= following_s - row.injected_s + 0.3
            assert row.detail
        else:
            assert row.censored_at_s is None
            assert row.time_to_recover_s == (row.restored_s or row.injected_s) - row.injected_s
            assert row.human_s in (0.0, 0.25)
        assert row.unhealthy_s is not None
        assert 0 <= row.unhealthy_s <= following_s - row.injected_s + 0.6
        assert (row.unhealthy_s > 0) <= (row.outcome != "no impact")
        assert row.touched_ratio is not None
        assert 0 <= row.touched_ratio <= 1
        assert row.lost_goodput_messages is not None
        assert row.lost_goodput_messages >= 0


@given(st.lists(st.sampled_from("gbn"), min_size=2, max_size=60))
def test_a_recovery_stands_only_where_no_outage_follows_it(letters: list[str]) -> None:
    bins = [Bin(float(at), at + 1.0, 100, 100, 0, (), ()) for at in range(len(letters))]
    bad, good = (np.array([letter == kind for letter in letters]) for kind in "bg")
    course = course_of(bins, bad, good)
    assert 0 <= course.unhealthy_s <= len(letters)
    if course.impact is None:
        assert (course.restored, course.relapses, course.unhealthy_s) == (None, 0, 0)
        return
    if course.restored is None:
        assert course.unhealthy_s > 0
        return
    after = bad[course.restored :]
    assert course.restored > course.impact
    assert not (after[:-1] & after[1:]).any()
    assert len(after) >= HOLD_S
    assert good[course.restored]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=60))
def test_wide_bins_hold_what_the_narrow_ones_held_and_none_overlap(offered: list[int]) -> None:
    narrow = [Bin(at * 0.1, at * 0.1 + 0.1, many, many, 0, (), ()) for at, many in enumerate(offered)]
    wide = widen(narrow)
    assert sum(b.offered for b in wide) == sum(offered)
    assert (wide[0].start_s, wide[-1].end_s) == (narrow[0].start_s, narrow[-1].end_s)
    assert all(one.end_s == pytest.approx(other.start_s) for one, other in pairwise(wide))
    assert all(b.offered >= ARRIVALS_PER_BIN for b in wide) or len(wide) == 1

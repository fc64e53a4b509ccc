"""When the wait after the load is over, on a clock that the tests turn."""

from dataclasses import replace

import pytest

from bench.load.drain import NOTHING_DELIVERED, Drain, Drained
from bench.load.trial import Assignment, State
from bench.planning import single

END_S = 100.0
DONE = State(over=True)


def drain_of(
    quiet_s: float | None = None, tail_s: float = 0.0, limit_s: float = 60.0, *, delivers: bool = True
) -> Drain:
    plan = replace(single("monolith", 2), drain_quiet_s=quiet_s, drain_limit_s=limit_s)
    return Drain(plan, ns(END_S), lambda: tail_s, delivers=delivers)


def ns(t_s: float) -> int:
    return round(t_s * 1e9)


def look(drain: Drain, after_s: float, state: State = DONE) -> Drained | None:
    return drain.look(state, ns(END_S + after_s))


def test_by_the_rule_it_must_be_quiet_for_ten_seconds() -> None:
    drain = drain_of()
    assert look(drain, 9.9) is None
    assert look(drain, 10.0) == Drained(True, "", 10.0, "rule", 0)


@pytest.mark.parametrize(("client", "delivers"), [("request", False), ("xmpp", True), ("http", True)])
def test_a_plain_web_server_delivers_nothing(client: str, delivers: bool) -> None:
    assert Assignment("it", client, 1, 1, 1, ()).delivers is delivers


def test_where_nothing_is_delivered_nothing_can_be_told() -> None:
    ended = look(drain_of(delivers=False), 10.0)
    assert ended is not None
    assert (ended.done, ended.detail) == (False, NOTHING_DELIVERED)


def test_and_for_three_times_the_tail_where_that_is_longer() -> None:
    drain = drain_of(tail_s=5.0)
    assert look(drain, 14.9) is None
    assert look(drain, 15.0) == Drained(True, "", 15.0, "rule", 0)


def test_a_profile_may_shorten_it_and_the_row_says_so() -> None:
    assert look(drain_of(2.0, tail_s=5.0), 2.0) == Drained(True, "", 2.0, "profile", 0)


def test_every_arrival_begins_the_quiet_anew() -> None:
    drain = drain_of(2.0)
    assert look(drain, 3.0, replace(DONE, last_arrival_ns=ns(END_S + 1.5))) is None
    assert look(drain, 3.5, replace(DONE, last_arrival_ns=ns(END_S + 1.5))) is not None


def test_who_comes_back_is_given_the_whole_quiet_to_collect_what_waits() -> None:
    drain = drain_of(2.0)
    away = replace(DONE, offline=3, missing="3 of 9 people are offline")
    assert look(drain, 0.0, away) is None
    assert look(drain, 5.0, replace(away, offline=1)) is None
    assert look(drain, 6.0, replace(away, offline=1)) is None
    assert look(drain, 6.1) is None
    assert look(drain, 7.9) is None
    assert look(drain, 8.0) == Drained(True, "", 2.0, "profile", 3)


@pytest.mark.parametrize(
    ("state", "detail"),
    [
        (replace(DONE, offline=1, missing="1 of 9 people are offline"), "1 of 9 people are offline"),
        (replace(DONE, last_arrival_ns=ns(END_S + 59)), "quiet for only 1.1 s of 10 s at the limit"),
    ],
)
def test_past_the_limit_it_ends_without_being_done(state: State, detail: str) -> None:
    drain = drain_of()
    assert look(drain, 60.0, state) is None
    assert look(drain, 60.1, state) == Drained(False, detail)

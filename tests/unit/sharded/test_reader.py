"""Polls where no database is needed: what is asked, and who is answered with nothing."""

import orjson

from services.sharded.http import Exchange
from services.sharded.reader import MOST_ROWS, Reader, query, shared_out, starts
from services.sharded.routing import Account
from tests.unit.sharded.test_writer import Recorded


def reader() -> Reader:
    return Reader(Account(user="a", password="b"), lambda number: f"u{number}", delivered=lambda _: None)


def test_one_query_asks_for_many_people() -> None:
    assert query([(1, 5), (4, 0)]).partition(" WHERE ")[2] == (
        f"(person=1 AND seq>5) OR (person=4 AND seq>0) ORDER BY person,seq LIMIT {MOST_ROWS}"
    )


def test_rows_are_shared_out_by_person_in_order() -> None:
    rows = [(1, 5, 2, "a", None, "x"), (1, 6, 2, "b", None, "x"), (4, 1, 2, "c", 7, "x")]
    assert shared_out(rows) == {1: rows[:2], 4: rows[2:]}
    assert shared_out([]) == {}


async def test_a_second_poll_of_a_person_ends_the_first_with_nothing() -> None:
    polls, connection = reader(), Recorded()
    first, second = Exchange(connection), Exchange(connection)  # type: ignore[arg-type]
    polls.poll(1, 5, 10, first)
    polls.poll(1, 7, 10, second)
    assert first.ready is not None
    assert orjson.loads(first.ready.partition(b"\r\n\r\n")[2]) == {"messages": [], "next": 5}
    assert second.ready is None
    polls.let_go()
    assert second.ready is not None
    assert polls.waiting == 0


async def test_a_poll_whose_connection_ended_is_forgotten_and_a_newer_one_is_not() -> None:
    polls, connection = reader(), Recorded()
    first, second = Exchange(connection), Exchange(connection)  # type: ignore[arg-type]
    polls.poll(1, 5, 10, first)
    gone = first.on_gone
    assert gone is not None
    polls.poll(1, 5, 10, second)
    gone()
    assert polls.waiting == 1
    assert second.on_gone is not None
    second.on_gone()
    assert polls.waiting == 0


async def test_a_look_leaves_the_poll_waiting_and_both_are_asked_for_together() -> None:
    polls, connection = reader(), Recorded()
    waiting, looking = Exchange(connection), Exchange(connection)  # type: ignore[arg-type]
    polls.poll(1, 7, 10, waiting)
    polls.look(1, 5, looking)
    asked, looks = polls._take_due()
    assert starts(asked, looks) == {1: 5}
    polls._answer_looks(looks, {1: [(1, 6, 2, "a", 3, "x"), (1, 7, 2, "b", None, "y")]}, None)
    assert looking.ready is not None
    assert orjson.loads(looking.ready.partition(b"\r\n\r\n")[2]) == {
        "messages": [
            {"seq": 6, "id": "a", "from": "u2", "body": "x", "group": "g3"},
            {"seq": 7, "id": "b", "from": "u2", "body": "y"},
        ],
        "next": 7,
    }
    assert waiting.ready is None
    assert polls.waiting == 1
    polls.let_go()


async def test_a_look_that_a_full_answer_did_not_reach_is_asked_for_again() -> None:
    polls, connection = reader(), Recorded()
    look = Exchange(connection)  # type: ignore[arg-type]
    polls.look(9, 0, look)
    _, looks = polls._take_due()
    polls._answer_looks(looks, {4: [(4, 1, 2, "a", None, "x")]}, cut_at=4)
    assert look.ready is None
    assert polls._take_due()[1].keys() == {9}
    polls._answer_looks(looks, {}, None)
    assert look.ready is not None

from typing import Any

import orjson

from services.microservices.log import RECORD_SPAN, position_of
from services.microservices.mailbox import Mailboxes


def record(*messages: tuple[Any, ...]) -> bytes:
    return orjson.dumps(messages)


def ids(mailboxes: Mailboxes, user: str, after: int = 0) -> list[str]:
    items, more = mailboxes.after(user, after, most_items=100, most_bytes=10**6)
    assert not more
    return [orjson.loads(item.frame)["id"] for item in items]


def test_positions_grow_within_a_record_and_from_record_to_record() -> None:
    assert position_of(1, 0) < position_of(1, RECORD_SPAN - 1) < position_of(2, 0)


def test_messages_are_kept_in_log_order_by_addressee() -> None:
    mailboxes = Mailboxes()
    items = mailboxes.apply(1, record((9, "u1", "a", "u2", "x"), (1, "u1", "b", "u3", "y")))
    mailboxes.apply(2, record((8, "u4", "c", "u2", "z")))
    assert [item.user for item in items] == ["u2", "u3"]
    assert ids(mailboxes, "u2") == ["a", "c"]
    assert ids(mailboxes, "u2", after=position_of(1, 0)) == ["c"]
    assert ids(mailboxes, "u9") == []


def test_a_message_stored_again_is_left_out_and_the_same_id_of_another_sender_is_not() -> None:
    mailboxes = Mailboxes()
    mailboxes.apply(1, record((1, "u1", "a", "u2", "x")))
    assert mailboxes.apply(2, record((2, "u1", "a", "u2", "x"))) == []
    assert len(mailboxes.apply(3, record((3, "u3", "a", "u2", "x")))) == 1
    assert mailboxes.duplicates == 1


def test_at_least_half_of_the_window_is_always_remembered() -> None:
    mailboxes = Mailboxes(remembered=10)
    for sequence in range(1, 7):
        mailboxes.apply(sequence, record((sequence, "u1", f"m{sequence}", "u2", "")))
    for sequence in range(2, 7):
        assert mailboxes.apply(sequence + 10, record((0, "u1", f"m{sequence}", "u2", ""))) == []


def test_a_frame_says_all_that_a_client_needs() -> None:
    mailboxes = Mailboxes()
    (item,) = mailboxes.apply(7, record((3, "u1", "a", "u2", "hé")))
    assert orjson.loads(item.frame) == {
        "op": "message",
        "seq": 3,
        "at": position_of(7, 0),
        "id": "a",
        "from": "u1",
        "body": "hé",
    }


def test_pages_end_at_the_item_bound_and_at_the_byte_bound_but_hold_one_at_least() -> None:
    mailboxes = Mailboxes()
    mailboxes.apply(1, record(*((n, "u1", f"m{n}", "u2", "x" * 1000) for n in range(5))))
    page, more = mailboxes.after("u2", 0, most_items=2, most_bytes=10**6)
    assert (len(page), more) == (2, True)
    page, more = mailboxes.after("u2", 0, most_items=10, most_bytes=1)
    assert (len(page), more) == (1, True)
    page, more = mailboxes.after("u2", page[0].position, most_items=10, most_bytes=10**6)
    assert (len(page), more) == (4, False)


def test_a_message_to_a_group_stands_once_for_each_addressee_and_pushes_those_behind_it_back() -> None:
    mailboxes = Mailboxes()
    items = mailboxes.apply(
        7,
        record(
            (9, "u1", "a", "u2", "x"),
            ([4, 5, 6], "u1", "b", ["u2", "u3", "u4"], "hé", "g8"),
            (10, "u1", "c", "u2", "z"),
        ),
    )
    assert [(item.user, item.position) for item in items] == [
        ("u2", position_of(7, 0)),
        ("u2", position_of(7, 1)),
        ("u3", position_of(7, 2)),
        ("u4", position_of(7, 3)),
        ("u2", position_of(7, 4)),
    ]
    assert orjson.loads(items[2].frame) == {
        "op": "message",
        "seq": 5,
        "at": position_of(7, 2),
        "id": "b",
        "from": "u1",
        "body": "hé",
        "group": "g8",
    }


def test_a_message_to_a_group_that_is_copied_again_is_left_out_for_all() -> None:
    mailboxes = Mailboxes()
    mailboxes.apply(1, record(([1, 1], "u1", "a", ["u2", "u3"], "x", "g8")))
    items = mailboxes.apply(
        2, record(([2, 2], "u1", "a", ["u2", "u3"], "x", "g8"), (3, "u1", "b", "u3", "y"))
    )
    assert [(item.user, item.position) for item in items] == [("u3", position_of(2, 2))]
    assert ids(mailboxes, "u2") == ["a"]
    assert ids(mailboxes, "u3") == ["a", "b"]
    assert mailboxes.duplicates == 1


def test_a_mailbox_reaches_its_last_message_and_never_less_than_what_was_asked_from() -> None:
    mailboxes = Mailboxes()
    assert mailboxes.reach("u2", 5) == 5
    mailboxes.apply(1, record((9, "u1", "a", "u2", "x"), (10, "u1", "b", "u2", "x")))
    assert mailboxes.reach("u2", 0) == position_of(1, 1)
    assert mailboxes.reach("u2", position_of(3, 0)) == position_of(3, 0)

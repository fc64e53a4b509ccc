"""Copying a message to a group, where no database is needed."""

import asyncio

import pytest

from services.sharded import outbox as module
from services.sharded.batch import Letter, Post
from services.sharded.outbox import Outbox, mark
from services.sharded.routing import Account
from services.sharded.writer import Answer

POST = Post(5, 1, "m", "hello")


class Line:
    """Stands in for the lines of the members' shards."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.answers: list[Answer] = []

    def submit(self, letter: Letter, answer: Answer) -> None:
        self.letters.append(letter)
        self.answers.append(answer)


def outbox(line: Line, members: list[int]) -> Outbox:
    return Outbox(Account(user="a", password="b"), lambda group, sender: members, line.submit)


def test_each_member_gets_a_letter_and_the_post_waits_until_all_are_stored() -> None:
    line = Line()
    box = outbox(line, [2, 3])
    box.take(POST)
    assert line.letters == [Letter(2, 1, "m", "hello", 5), Letter(3, 1, "m", "hello", 5)]
    line.answers[0](200, b"")
    assert not box._copied
    line.answers[1](200, b"")
    assert box._copied == [POST]


def test_a_post_in_hand_is_not_taken_twice() -> None:
    line = Line()
    box = outbox(line, [2])
    box.take(POST)
    box.take(POST)
    assert len(line.letters) == 1


def test_a_post_that_nobody_else_gets_is_done_at_once() -> None:
    box = outbox(Line(), [])
    box.take(POST)
    assert box._copied == [POST]


async def test_a_letter_that_could_not_be_stored_yet_is_put_in_line_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TRY_AGAIN_S", 0)
    line = Line()
    box = outbox(line, [2])
    box.take(POST)
    line.answers[0](503, b"")
    await asyncio.sleep(0.01)
    assert line.letters == [Letter(2, 1, "m", "hello", 5)] * 2
    assert box.waiting == 1
    line.answers[1](200, b"")
    assert box._copied == [POST]


def test_a_mark_names_the_whole_key() -> None:
    assert mark([POST, Post(6, 2, "it's", "")]) == (
        "UPDATE outbox SET copied=TRUE WHERE (grp=5 AND sender=1 AND message_id='m')"
        " OR (grp=6 AND sender=2 AND message_id='it\\'s'); COMMIT"
    )

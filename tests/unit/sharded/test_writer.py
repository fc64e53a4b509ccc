"""What the line of one shard does where no database is needed."""

from collections.abc import Callable

from services.sharded.batch import Letter, Presence
from services.sharded.http import Exchange
from services.sharded.routing import Account
from services.sharded.writer import LONGEST_LINE, Writer


class Recorded:
    """Stands in for an exchange's connection."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def answered(self, exchange: Exchange) -> None:
        assert exchange.ready is not None
        self.answers.append(exchange.ready)


def writer(suppressed: Callable[[int], None] = lambda _: None) -> Writer:
    def ignore(*_: object) -> None:
        pass

    account = Account(user="a", password="b")
    return Writer(account, hold_s=1, stored=ignore, measured=ignore, suppressed=suppressed, troubled=ignore)


def test_a_message_sent_again_while_in_line_takes_no_second_place() -> None:
    suppressed: list[int] = []
    answers: list[int] = []
    line = writer(suppressed.append)
    for _ in range(3):
        line.submit(Letter(1, 2, "same", "x"), lambda status, _: answers.append(status))
    line.submit(Letter(1, 3, "same", "x"), lambda status, _: answers.append(status))
    assert line.waiting == 2
    assert sum(suppressed) == 2
    assert answers == []


def test_each_change_of_a_presence_has_its_own_place() -> None:
    suppressed: list[int] = []
    line = writer(suppressed.append)
    line.submit(Presence(1, "away", 0), lambda *_: None)
    line.submit(Presence(1, "dnd", 1), lambda *_: None)
    assert line.waiting == 2
    assert suppressed == []


def test_a_full_line_answers_503_at_once() -> None:
    line = writer()
    answers: list[int] = []
    for number in range(LONGEST_LINE + 1):
        line.submit(Letter(1, 2, f"m{number}", ""), lambda status, _: answers.append(status))
    assert line.waiting == LONGEST_LINE
    assert answers == [503]

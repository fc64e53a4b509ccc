"""What a batch becomes, and what the line of sends does where no database is needed."""

from collections.abc import Callable

from services.sharded.http import Exchange
from services.sharded.routing import Account
from services.sharded.writer import LONGEST_LINE, Letter, Writer, transaction


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
    return Writer(
        account,
        hold_s=1,
        stored=ignore,
        measured=ignore,
        suppressed=suppressed,
        answered=ignore,
        troubled=ignore,
    )


def test_a_batch_numbers_each_inbox_in_the_order_of_the_sends_and_locks_in_the_order_of_persons() -> None:
    batch = [Letter(7, 1, "a", "x"), Letter(3, 1, "b", "it's"), Letter(7, 2, "c", "z")]
    bump, insert, commit, proof = transaction(batch, 2).split(";")
    assert bump.startswith("INSERT INTO sequences (person,last) VALUES (3,1),(7,2) ")
    assert f"GREATEST(last,{2 << 32})+VALUES(last)" in bump
    rows = insert.partition(" VALUES ")[2]
    assert rows == (
        "(7,(SELECT last-1 FROM sequences WHERE person=7),1,'a','x'),"
        "(3,(SELECT last-0 FROM sequences WHERE person=3),1,'b','it\\'s'),"
        "(7,(SELECT last-0 FROM sequences WHERE person=7),2,'c','z')"
    )
    assert (commit, proof) == ("COMMIT", "DO 1")


def test_a_message_sent_again_while_in_line_takes_no_second_place() -> None:
    suppressed: list[int] = []
    line, connection = writer(suppressed.append), Recorded()
    for _ in range(3):
        line.submit(Letter(1, 2, "same", "x"), Exchange(connection))  # type: ignore[arg-type]
    line.submit(Letter(1, 3, "same", "x"), Exchange(connection))  # type: ignore[arg-type]
    assert line.waiting == 2
    assert sum(suppressed) == 2
    assert connection.answers == []


def test_a_full_line_answers_503_at_once() -> None:
    line, connection = writer(), Recorded()
    for number in range(LONGEST_LINE + 1):
        line.submit(Letter(1, 2, f"m{number}", ""), Exchange(connection))  # type: ignore[arg-type]
    assert line.waiting == LONGEST_LINE
    assert [answer.split()[1] for answer in connection.answers] == [b"503"]

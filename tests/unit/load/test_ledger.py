from bench.load.ledger import Ledger, sequence_of
from bench.load.message_id import MessageId, crc_of
from bench.records import AuditRow

RUN, PEOPLE = 0xABC, 10


def attempted(ledger: Ledger, count: int, phase: str = "steady") -> list[MessageId]:
    return [ledger.attempt(phase, 1, 2, 1000 * i, crc_of("hello")) for i in range(count)]


def whole(ledger: Ledger, *, drained: bool = True) -> AuditRow:
    return ledger.audit("monolith", 1, resent=0, drained=drained, detail="")[-1]


def arrive(ledger: Ledger, message: MessageId, body: str = "hello") -> MessageId | None:
    return ledger.deliver(str(message), "u1", 2, body)


def test_ids_survive_their_text_and_strangers_do_not_parse() -> None:
    message = MessageId(RUN, 0, 12, 5, 123456, 0xDEADBEEF)
    assert MessageId.parse(str(message)) == message
    assert sequence_of(str(message)) == 5
    assert MessageId.parse("probe") is None
    assert MessageId.parse("1.2.3") is None


def test_everything_acknowledged_and_delivered_is_complete() -> None:
    ledger = Ledger(RUN, 0, PEOPLE)
    for message in attempted(ledger, 3):
        ledger.acknowledge(message.sequence)
        assert arrive(ledger, message) == message
    row = whole(ledger)
    assert (row.attempted, row.acknowledged, row.delivered) == (3, 3, 3)
    assert (row.lost, row.phantom, row.rescued, row.duplicated, row.reordered, row.corrupt) == (0,) * 6
    assert row.verdict == "complete"


def test_an_acknowledged_message_that_never_arrives_is_lost() -> None:
    ledger = Ledger(RUN, 0, PEOPLE)
    first, second, _ = attempted(ledger, 3)
    ledger.acknowledge(first.sequence)
    ledger.acknowledge(second.sequence)
    arrive(ledger, second)
    row = whole(ledger)
    assert (row.lost, row.unknown, row.verdict) == (1, 1, "violated")
    assert whole(ledger, drained=False).verdict == "unknown"


def test_a_message_that_arrives_without_having_been_acknowledged_is_rescued() -> None:
    ledger = Ledger(RUN, 0, PEOPLE)
    arrive(ledger, attempted(ledger, 1)[0])
    row = whole(ledger)
    assert (row.rescued, row.unknown, row.lost, row.verdict) == (1, 1, 0, "complete")


def test_each_further_arrival_is_a_duplicate() -> None:
    ledger = Ledger(RUN, 0, PEOPLE)
    message = attempted(ledger, 1)[0]
    assert arrive(ledger, message) == message
    assert arrive(ledger, message) is None
    assert arrive(ledger, message) is None
    assert whole(ledger).duplicated == 2


def test_a_swap_in_one_conversation_is_one_reordering() -> None:
    ledger = Ledger(RUN, 0, PEOPLE)
    first, second, third = attempted(ledger, 3)
    for message in (second, first, third):
        arrive(ledger, message)
    assert whole(ledger).reordered == 1


def test_a_changed_body_is_corrupt() -> None:
    ledger = Ledger(RUN, 0, PEOPLE)
    arrive(ledger, attempted(ledger, 1)[0], body="hellO")
    row = whole(ledger)
    assert (row.corrupt, row.verdict) == (1, "violated")


def test_what_nobody_sent_or_came_to_the_wrong_person_is_a_phantom() -> None:
    ledger = Ledger(RUN, 0, PEOPLE)
    message = attempted(ledger, 1)[0]
    assert ledger.deliver("probe", "u1", 2, "x") is None
    assert ledger.deliver(str(message._replace(run=RUN + 1)), "u1", 2, "hello") is None
    assert ledger.deliver(str(message._replace(sequence=9)), "u1", 2, "hello") is None
    assert ledger.deliver(str(message), "u1", 3, "hello") is None
    assert ledger.deliver(str(message), "u7", 2, "hello") is None
    row = whole(ledger)
    assert (row.phantom, row.delivered, row.verdict) == (5, 0, "violated")


def test_each_loss_is_blamed_on_its_phase() -> None:
    ledger = Ledger(RUN, 0, PEOPLE)
    for phase in ("steady", "fault"):
        for message in attempted(ledger, 2, phase):
            ledger.acknowledge(message.sequence)
    arrive(ledger, MessageId(RUN, 0, 12, 0, 0, crc_of("hello")))
    arrive(ledger, MessageId(RUN, 0, 12, 1, 0, crc_of("hello")))
    arrive(ledger, MessageId(RUN, 0, 12, 3, 0, crc_of("hello")))
    arrive(ledger, MessageId(RUN, 0, 12, 3, 0, crc_of("hello")))
    rows = ledger.audit("monolith", 1, resent=4, drained=True, detail="")
    assert [(r.phase, r.attempted, r.lost, r.duplicated, r.resent) for r in rows] == [
        ("steady", 2, 0, 0, 0),
        ("fault", 2, 1, 1, 0),
        ("all", 4, 1, 1, 4),
    ]


def test_an_empty_ledger_has_one_row_of_zeroes() -> None:
    rows = Ledger(RUN, 0, PEOPLE).audit("monolith", 1, resent=0, drained=False, detail="nothing was sent")
    assert [(r.phase, r.attempted, r.verdict, r.detail) for r in rows] == [
        ("all", 0, "unknown", "nothing was sent")
    ]

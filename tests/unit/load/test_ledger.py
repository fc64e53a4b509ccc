import pytest

from bench.load.audit import Audit
from bench.load.drain import Drained
from bench.load.ledger import BLOCK, FEW_OPEN, YOUNG_BLOCKS, Ledger
from bench.load.message_id import MessageId, conversation, crc_of, group_conversation
from bench.records import AuditRow

RUN, PEOPLE = 0xABC, 10
GROUPS = [[1, 2, 5], [3, 4]]


def ledger_of(*, producer: int = 0, producers: int = 1, delivers: bool = True) -> Ledger:
    ledger = Ledger(RUN, PEOPLE, GROUPS, producer=producer, producers=producers, delivers=delivers)
    ledger.enter("steady")
    return ledger


def attempted(ledger: Ledger, count: int, first: int = 0) -> list[str]:
    return [ledger.attempt(first + i, 1, 2, 1000 * i, crc_of("hello"), False) for i in range(count)]


def tidy(ledger: Ledger) -> None:
    for _ in ledger.tidy():
        pass


def all_well_but(ledger: Ledger, lost: int) -> list[str]:
    """Two blocks' ids, acknowledged and delivered but for one that was only acknowledged, and tidied."""
    texts = attempted(ledger, 2 * BLOCK)
    for sequence, text in enumerate(texts):
        ledger.acknowledge(sequence)
        if sequence != lost:
            arrive(ledger, text)
    tidy(ledger)
    return texts


def in_group(ledger: Ledger, sequence: int) -> str:
    return ledger.attempt(sequence, 1, 0, 1000, crc_of("hello"), True)


def whole(ledger: Ledger, *, drained: bool = True) -> AuditRow:
    return audited(ledger, drained=drained).rows[-1]


def audited(ledger: Ledger, *, drained: bool = True) -> Audit:
    return ledger.audit("monolith", 1, resent=0, drained=Drained(drained))


def arrive(ledger: Ledger, text: str, body: str = "hello", *, at: int = 2, group: str = "") -> int | None:
    return ledger.deliver(text, "u1", at, body, group)


def test_ids_survive_their_text_and_strangers_do_not_parse() -> None:
    message = MessageId(RUN, 0, 12, 3, 5, 123456, 0xDEADBEEF)
    assert MessageId.parse(str(message)) == message
    assert MessageId.parse("probe") is None
    assert MessageId.parse("1.2.3") is None
    assert attempted(ledger_of(), 2)[1] == str(MessageId(RUN, 0, 12, 1, 1, 1000, crc_of("hello")))


def test_conversations_of_two_and_of_groups_have_numbers_of_their_own() -> None:
    pairs = {conversation(a, b, PEOPLE) for a in range(PEOPLE) for b in range(PEOPLE)}
    groups = {group_conversation(a, g, PEOPLE) for a in range(PEOPLE) for g in range(5)}
    assert len(pairs) == 100
    assert len(groups) == 50
    assert not pairs & groups


def test_everything_acknowledged_and_delivered_is_complete() -> None:
    ledger = ledger_of()
    for sequence, text in enumerate(attempted(ledger, 3)):
        ledger.acknowledge(sequence)
        assert arrive(ledger, text) == 1000 * sequence
    row = whole(ledger)
    assert (row.attempted, row.acknowledged, row.delivered) == (3, 3, 3)
    assert (row.lost, row.phantom, row.rescued, row.duplicated, row.reordered, row.corrupt) == (0,) * 6
    assert row.verdict == "complete"


def test_an_acknowledged_message_that_never_arrives_is_lost() -> None:
    ledger = ledger_of()
    texts = attempted(ledger, 3)
    ledger.acknowledge(0)
    ledger.acknowledge(1)
    arrive(ledger, texts[1])
    row = whole(ledger)
    assert (row.lost, row.unknown, row.verdict) == (1, 1, "violated")
    assert whole(ledger, drained=False).verdict == "unknown"


def test_a_message_that_arrives_without_having_been_acknowledged_is_rescued() -> None:
    ledger = ledger_of()
    arrive(ledger, attempted(ledger, 1)[0])
    row = whole(ledger)
    assert (row.rescued, row.unknown, row.lost, row.verdict) == (1, 1, 0, "complete")


def test_each_further_arrival_is_a_duplicate() -> None:
    ledger = ledger_of()
    text = attempted(ledger, 1)[0]
    assert [arrive(ledger, text) for _ in range(3)] == [0, None, None]
    assert whole(ledger).duplicated == 2


def test_a_swap_in_one_conversation_is_one_reordering() -> None:
    ledger = ledger_of()
    first, second, third = attempted(ledger, 3)
    for text in (second, first, third):
        arrive(ledger, text)
    assert whole(ledger).reordered == 1


def test_a_changed_body_is_corrupt() -> None:
    ledger = ledger_of()
    arrive(ledger, attempted(ledger, 1)[0], body="hellO")
    row = whole(ledger)
    assert (row.corrupt, row.verdict) == (1, "violated")


def test_what_nobody_sent_or_came_to_the_wrong_person_is_a_phantom() -> None:
    ledger = ledger_of()
    text = attempted(ledger, 1)[0]
    message = MessageId.parse(text)
    assert message is not None
    assert ledger.deliver("probe", "u1", 2, "x", "") is None
    assert ledger.deliver(str(message._replace(run=RUN + 1)), "u1", 2, "hello", "") is None
    assert ledger.deliver(str(message._replace(sequence=9)), "u1", 2, "hello", "") is None
    assert ledger.deliver(str(message._replace(place=7)), "u1", 2, "hello", "") is None
    assert ledger.deliver(str(message._replace(crc=7)), "u1", 2, "hello", "") is None
    assert ledger.deliver(text, "u1", 3, "hello", "") is None
    assert ledger.deliver(text, "u7", 2, "hello", "") is None
    assert ledger.deliver(text, "u1", 2, "hello", "g0") is None
    row = whole(ledger)
    assert (row.phantom, row.delivered, row.verdict) == (8, 0, "violated")


def test_each_loss_is_blamed_on_its_phase() -> None:
    ledger = Ledger(RUN, PEOPLE)
    texts = []
    for start, phase in ((0, "steady"), (2, "fault")):
        ledger.enter(phase)
        texts += attempted(ledger, 2, first=start)
    for sequence in range(4):
        ledger.acknowledge(sequence)
    for text in (texts[0], texts[1], texts[3], texts[3]):
        arrive(ledger, text)
    rows = ledger.audit("monolith", 1, resent=4, drained=Drained(True)).rows
    assert [(r.phase, r.attempted, r.lost, r.duplicated, r.resent) for r in rows] == [
        ("steady", 2, 0, 0, 0),
        ("fault", 2, 1, 1, 0),
        ("all", 4, 1, 1, 4),
    ]


def test_an_empty_ledger_has_one_row_of_zeroes() -> None:
    rows = Ledger(RUN, PEOPLE).audit("monolith", 1, resent=0, drained=Drained(False, "nothing was sent")).rows
    assert [(r.phase, r.attempted, r.verdict, r.detail) for r in rows] == [
        ("all", 0, "unknown", "nothing was sent")
    ]


def test_a_group_message_is_delivered_once_it_has_reached_every_other_member() -> None:
    ledger = ledger_of()
    texts = [in_group(ledger, sequence) for sequence in range(2)]
    for sequence in range(2):
        ledger.acknowledge(sequence)
    assert arrive(ledger, texts[0], at=2, group="g0") == 1000
    assert arrive(ledger, texts[0], at=5, group="g0") == 1000
    assert arrive(ledger, texts[1], at=2, group="g0") == 1000
    assert arrive(ledger, texts[1], at=2, group="g0") is None
    row = whole(ledger)
    assert (row.attempted, row.delivered, row.lost, row.duplicated) == (2, 1, 1, 1)


@pytest.mark.parametrize(("at", "group"), [(3, "g0"), (1, "g0"), (2, "g1"), (2, ""), (2, "g7")])
def test_a_group_message_at_a_stranger_the_sender_or_elsewhere_is_a_phantom(at: int, group: str) -> None:
    ledger = ledger_of()
    assert arrive(ledger, in_group(ledger, 0), at=at, group=group) is None
    assert whole(ledger).phantom == 1


def test_a_swap_in_a_group_is_judged_at_each_member() -> None:
    ledger = ledger_of()
    first, second = (in_group(ledger, sequence) for sequence in range(2))
    for at, texts in ((2, (first, second)), (5, (second, first))):
        for text in texts:
            arrive(ledger, text, at=at, group="g0")
    assert whole(ledger).reordered == 1


def test_what_has_ended_well_is_let_go_and_still_counted_and_known_again() -> None:
    ledger = ledger_of()
    texts = attempted(ledger, 3 * BLOCK)
    for sequence, text in enumerate(texts):
        if sequence != 2 * BLOCK + 5:  # the third block keeps one that is not answered
            ledger.acknowledge(sequence)
        arrive(ledger, text)
    tidy(ledger)
    assert sum(block is not None for block in ledger._blocks) == 1
    assert arrive(ledger, texts[7]) is None
    row = whole(ledger)
    assert (row.attempted, row.acknowledged, row.delivered) == (3 * BLOCK, 3 * BLOCK - 1, 3 * BLOCK)
    assert (row.rescued, row.duplicated, row.lost) == (1, 1, 0)


def test_sequences_that_other_operations_took_are_no_messages() -> None:
    ledger = ledger_of()
    texts = [ledger.attempt(sequence, 1, 2, 0, crc_of("hello"), False) for sequence in (3, 5_000)]
    for sequence, text in zip((3, 5_000), texts, strict=True):
        ledger.acknowledge(sequence)
        arrive(ledger, text)
    tidy(ledger)
    missing = MessageId(RUN, 0, 12, 1, 4, 0, crc_of("hello"))
    arrive(ledger, str(missing))
    row = whole(ledger)
    assert (row.attempted, row.delivered) == (2, 2)


def test_what_arrives_elsewhere_is_handed_on_and_judged_by_its_producer() -> None:
    here, there = (ledger_of(producer=number, producers=2) for number in range(2))
    text = attempted(here, 1)[0]
    here.acknowledge(0)
    assert there.deliver(text, "u1", 2, "hello", "") == 0
    (arrival,) = there.elsewhere
    assert whole(here).lost == 1
    assert arrival.producer == 0
    assert here.arrived(arrival.message_id, arrival.addressee, corrupt=arrival.corrupt)
    assert whole(here).verdict == "complete"
    assert whole(there).attempted == whole(there).phantom == 0


def named(ledger: Ledger) -> list[tuple[str, str, str]]:
    return [(row.finding, row.message_id, row.detail) for row in audited(ledger).findings]


def test_each_message_found_fault_with_is_named() -> None:
    ledger = ledger_of()
    texts = attempted(ledger, 6)
    for sequence in range(6):
        ledger.acknowledge(sequence)
    for text, body in ((texts[1], "hello"), (texts[2], "hellO"), (texts[4], "hello"), (texts[3], "hello")):
        arrive(ledger, text, body)
    arrive(ledger, texts[5])
    arrive(ledger, texts[5])
    arrive(ledger, "probe")
    audit = audited(ledger)
    assert named(ledger) == [
        ("lost", texts[0], ""),
        ("phantom", "probe", "of no run of ours"),
        ("corrupt", texts[2], ""),
        ("duplicated", texts[5], "sent once by its client"),
        ("reordered", texts[3], "1 of the conversation had gone ahead"),
    ]
    lost = audit.findings[0]
    assert (lost.sender, lost.target, lost.phase, lost.intended_s) == ("u1", "u2", "steady", 0.0)
    assert all(row.message_id in audit.rows[-1].detail for row in audit.findings)


def test_duplicates_are_split_by_whether_the_client_had_sent_the_message_again() -> None:
    ledger = ledger_of()
    first, second = attempted(ledger, 2)
    ledger.sent_again(0)
    for text in (first, first, second, second, second):
        arrive(ledger, text)
    row = whole(ledger)
    assert (row.duplicated, row.duplicated_by_resend, row.duplicated_by_server) == (3, 1, 2)
    assert [detail for _, _, detail in named(ledger)] == [
        "sent again by its client",
        "sent once by its client",
        "sent once by its client",
    ]


def test_the_largest_displacement_counts_messages_of_the_same_conversation_alone() -> None:
    ledger = Ledger(RUN, PEOPLE)
    ledger.enter("steady")
    mine = [ledger.attempt(2 * n, 1, 2, n, crc_of("hello"), False) for n in range(4)]
    for n in range(4):
        ledger.attempt(2 * n + 1, 3, 4, n, crc_of("hello"), False)
    ledger.enter("after")
    late = ledger.attempt(8, 1, 2, 9, crc_of("hello"), False)
    last = ledger.attempt(9, 1, 2, 9, crc_of("hello"), False)
    for text in (mine[1], mine[2], mine[3], mine[0], last, late):
        arrive(ledger, text)
    rows = audited(ledger).rows
    assert [(r.phase, r.reordered, r.largest_displacement) for r in rows] == [
        ("steady", 1, 3),
        ("after", 1, 1),
        ("all", 2, 3),
    ]


def test_a_lost_message_to_a_group_names_whom_it_did_not_reach() -> None:
    ledger = ledger_of()
    text = in_group(ledger, 0)
    ledger.acknowledge(0)
    arrive(ledger, text, at=2, group="g0")
    assert named(ledger) == [("lost", text, "did not reach 1 of 2: u5")]
    (found,) = audited(ledger).findings
    assert (found.sender, found.target) == ("u1", "g0")


def test_what_has_not_ended_well_is_named_though_its_neighbours_are_long_gone() -> None:
    ledger = ledger_of()
    texts = all_well_but(ledger, 7)
    assert sum(len(names) for names in ledger._names) == 1
    assert named(ledger) == [("lost", texts[7], "")]
    arrive(ledger, texts[7])
    arrive(ledger, texts[7])
    assert [row.finding for row in audited(ledger).findings] == ["duplicated", "reordered"]


def test_a_defect_that_is_handed_on_is_named_by_its_producer() -> None:
    here, there = (ledger_of(producer=number, producers=2) for number in range(2))
    text = attempted(here, 1)[0]
    there.deliver(text, "u1", 2, "hellO", "")
    (arrival,) = there.elsewhere
    here.arrived(arrival.message_id, arrival.addressee, corrupt=arrival.corrupt)
    here.arrived(arrival.message_id, arrival.addressee, corrupt=arrival.corrupt)
    assert named(there) == []
    assert [(kind, name) for kind, name, _ in named(here)] == [
        ("corrupt", text), ("corrupt", text), ("duplicated", text)
    ]  # fmt: skip


def test_one_that_comes_again_when_its_id_was_let_go_is_counted_and_tidied_as_any_other() -> None:
    ledger = ledger_of()
    texts = all_well_but(ledger, 7)
    arrive(ledger, texts[9])  # its server died before it knew that this one had arrived
    tidy(ledger)
    tidy(ledger)
    assert named(ledger) == [("lost", texts[7], ""), ("duplicated", texts[9], "sent once by its client")]
    assert (whole(ledger).lost, whole(ledger).duplicated) == (1, 1)


def test_where_nothing_is_ever_delivered_all_losses_are_counted_and_the_ids_of_few_kept() -> None:
    ledger = ledger_of()
    blocks = YOUNG_BLOCKS + 3
    for sequence, _ in enumerate(attempted(ledger, blocks * BLOCK)):
        ledger.acknowledge(sequence)
    tidy(ledger)
    assert sum(map(len, ledger._names)) <= (YOUNG_BLOCKS + 1) * BLOCK + 3 * FEW_OPEN
    assert whole(ledger).lost == blocks * BLOCK


def test_where_nothing_is_delivered_nothing_is_lost_and_the_acknowledged_are_let_go() -> None:
    ledger = ledger_of(delivers=False)
    ids = attempted(ledger, BLOCK + 10)
    assert len(set(ids)) == BLOCK + 10
    assert sum(map(len, ledger._names)) == 0  # none comes back to be judged by
    for sequence, _ in enumerate(ids):
        ledger.acknowledge(sequence)
    tidy(ledger)
    row = whole(ledger, drained=False)
    assert (row.attempted, row.acknowledged, row.delivered, row.lost) == (BLOCK + 10, BLOCK + 10, 0, 0)
    assert not audited(ledger).findings
    ledger.acknowledge(0)  # of a block that was let go


def test_places_are_counted_for_each_direction_and_each_group_apart() -> None:
    ledger = ledger_of()
    crc = crc_of("hello")
    asked = [
        *((1, 2, False), (2, 1, False), (1, 2, False), (1, 0, True), (2, 0, True), (1, 0, True)),
        (1, 2, False),
    ]
    ids = [
        ledger.attempt(number, sender, target, 1000, crc, group)
        for number, (sender, target, group) in enumerate(asked)
    ]
    places = [parsed.place for one in ids if (parsed := MessageId.parse(one)) is not None]
    assert places == [0, 0, 1, 0, 0, 1, 2]

"""Groups, syncs and presence in the microservices generation, on real nodes that really die."""

import itertools
import json
import os
import signal
from collections.abc import Iterator

import gevent
import pytest

from bench.load.clients import Request
from bench.load.clients.websocket import WebSocketConnection
from bench.records import Person
from tests.integration.microservices import (
    PASSWORD,
    Delivery,
    Ear,
    Generation,
    Online,
    message,
    running,
    wait_until,
)

PEOPLE = 12
GROUPS = [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1], [4, 5, 6]]
_names = itertools.count()


@pytest.fixture(scope="module")
def generation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generation]:
    folder = tmp_path_factory.mktemp("microservices")
    groups = folder / "groups.json"
    groups.write_text(json.dumps(GROUPS))
    people = {"count": PEOPLE, "password": PASSWORD, "groups_file": str(groups)}
    with running(folder, people) as generation:
        yield generation


@pytest.fixture(autouse=True)
def whole(generation: Generation) -> Iterator[None]:
    generation.wait_whole()
    with gevent.Timeout(90):
        yield


@pytest.fixture
def prefix() -> str:
    """Begins the ids of one test: mailboxes are never emptied, and the generation is shared."""
    return f"t{next(_names)}-"


@pytest.fixture
def members(generation: Generation) -> Iterator[list[Online]]:
    """The members of g0, at both gateways."""
    online = [Online(generation, number, at=number % 2) for number in GROUPS[0]]
    yield online
    for one in online:
        one.close()


def to_group(message_id: str, group: str, body: str = "x") -> Request:
    return Request("group_send", message_id, group, body, 0)


def signalled(generation: Generation, node: str, number: int) -> None:
    pid = generation.deployment.pid(node)
    assert pid is not None
    os.kill(pid, number)


def test_a_message_to_a_group_comes_to_every_other_member_once_and_in_order(
    members: list[Online], prefix: str
) -> None:
    alice, *others = members
    ids = [f"{prefix}{n:03}" for n in range(200)]
    for name in ids:
        alice.client.send(to_group(name, "g0", "é" * 50))
    wait_until(lambda: all(len(one.received(prefix)) >= len(ids) for one in others))
    wait_until(lambda: set(ids) <= set(alice.acknowledgements))
    for one in others:
        assert one.received(prefix) == ids
    assert others[0].deliveries[-1] == Delivery(ids[-1], "u0", "é" * 50, "g0")
    assert alice.received(prefix) == []


def test_messages_of_both_kinds_from_many_members_keep_their_order(
    members: list[Online], prefix: str
) -> None:
    for n in range(50):
        for sender in members[:3]:
            sender.client.send(to_group(f"{prefix}g{sender.number}-{n:03}", "g0"))
            sender.send(f"{prefix}p{sender.number}-{n:03}", "u7")
        gevent.sleep(0)
    wait_until(lambda: len(members[7].received(prefix)) >= 300)
    for kind in "gp":
        for number in range(3):
            sent = [f"{prefix}{kind}{number}-{n:03}" for n in range(50)]
            assert members[7].received(f"{prefix}{kind}{number}-") == sent
    assert len(members[7].received(prefix)) == 300


def test_those_who_are_no_members_are_refused_and_their_neighbours_in_the_batch_are_not(
    generation: Generation, members: list[Online], prefix: str
) -> None:
    ear, connection = Ear(), WebSocketConnection(Person(4, "u4", PASSWORD))
    members[4].close()
    connection.open(generation.endpoints[0], ear)
    connection.send(to_group(f"{prefix}a", "g0"))
    connection.send(to_group(f"{prefix}b", "g1"))
    connection.send(to_group(f"{prefix}c", "g3"))
    connection.send(to_group(f"{prefix}d", "u1"))
    connection.send(to_group(f"{prefix}e", "g2", "x" * 70_000))
    connection.send(to_group(f"{prefix}f", "g2"))
    wait_until(lambda: len(ear.acknowledgements) + len(ear.refusals) >= 6)
    wait_until(lambda: len(members[5].received(prefix)) >= 2)
    assert ear.acknowledgements == [f"{prefix}a", f"{prefix}f"]
    assert ear.refusals == [
        (f"{prefix}b", "not a member"),
        (f"{prefix}c", "unknown group"),
        (f"{prefix}d", "unknown group"),
        (f"{prefix}e", "body too long"),
    ]
    assert members[5].received(prefix) == [f"{prefix}a", f"{prefix}f"]
    connection.close()


def test_a_message_sent_again_elsewhere_is_acknowledged_again_and_delivered_once(
    generation: Generation, members: list[Online], prefix: str
) -> None:
    members[0].close()
    connection = WebSocketConnection(Person(0, "u0", PASSWORD))
    for endpoint in (*generation.endpoints, generation.endpoints[0]):
        ear = Ear()
        connection.open(endpoint, ear)
        connection.send(to_group(f"{prefix}twice", "g0"))
        connection.send(to_group(f"{prefix}twice", "g0"))
        wait_until(lambda ear=ear: len(ear.acknowledgements) >= 2)  # type: ignore[misc]
        assert ear.acknowledgements == [f"{prefix}twice"] * 2
    connection.send(to_group(f"{prefix}last", "g0"))
    for one in members[1:]:
        wait_until(lambda one=one: f"{prefix}last" in one.received(prefix))  # type: ignore[misc]
        assert one.received(prefix) == [f"{prefix}twice", f"{prefix}last"]
    connection.close()


def test_messages_wait_for_members_who_are_away(
    generation: Generation, members: list[Online], prefix: str
) -> None:
    away = members[6:]
    for one in away:
        one.close()
    ids = [f"{prefix}{n:03}" for n in range(600)]
    for name in ids:
        members[0].client.send(to_group(name, "g0"))
    wait_until(lambda: set(ids) <= set(members[0].acknowledgements))
    for one in away:
        back = Online(generation, one.number)
        wait_until(lambda back=back: len(back.received(prefix)) >= len(ids))  # type: ignore[misc]
        assert back.received(prefix) == ids
        back.close()


def test_what_was_acknowledged_and_not_yet_copied_survives_the_death_of_the_node(
    generation: Generation, members: list[Online], prefix: str
) -> None:
    """Without numbers nothing is copied: `sequence` stands still while `group` takes messages, and dies."""
    alice, *others = members
    ids = [f"{prefix}{n:03}" for n in range(100)]
    signalled(generation, "sequence", signal.SIGSTOP)
    for name in ids:
        alice.client.send(to_group(name, "g0"))
    wait_until(lambda: set(ids) <= set(alice.acknowledgements))
    signalled(generation, "group", signal.SIGKILL)
    assert all(one.received(prefix) == [] for one in others)
    signalled(generation, "sequence", signal.SIGCONT)
    wait_until(lambda: all(len(one.received(prefix)) >= len(ids) for one in others))
    for one in others:
        assert one.received(prefix) == ids


@pytest.mark.parametrize("node", ["group", "inbox", "gateway-1", "message-1", "sequence", "nats-2"])
def test_a_killed_node_costs_no_member_a_message(
    generation: Generation, members: list[Online], prefix: str, node: str
) -> None:
    ids = {sender.number: [f"{prefix}{sender.number}-{n:03}" for n in range(150)] for sender in members[:2]}
    for n in range(150):
        if n == 50:
            signalled(generation, node, signal.SIGKILL)
        for sender in members[:2]:
            sender.client.send(to_group(ids[sender.number][n], "g0"))
        gevent.sleep(0.002)
    for sender in members[:2]:
        wait_until(lambda one=sender: set(ids[one.number]) <= set(one.acknowledgements))  # type: ignore[misc]
    wait_until(lambda: all(len(one.received(prefix)) >= 300 for one in members[2:]))
    generation.wait_whole()
    for one in members[2:]:
        for number, sent in ids.items():
            assert one.received(f"{prefix}{number}-") == sent


def test_a_node_that_stands_still_for_a_moment_copies_nothing_twice(
    generation: Generation, members: list[Online], prefix: str
) -> None:
    ids = [f"{prefix}{n:03}" for n in range(120)]
    for n, name in enumerate(ids):
        if n == 40:
            signalled(generation, "group", signal.SIGSTOP)
        if n == 80:
            gevent.sleep(
                1.2
            )  # longer than the gateway's first attempt, shorter than the supervisor's patience
            signalled(generation, "group", signal.SIGCONT)
        members[0].client.send(to_group(name, "g0"))
        gevent.sleep(0.002)
    wait_until(lambda: set(ids) <= set(members[0].acknowledgements))
    wait_until(lambda: all(len(one.received(prefix)) >= len(ids) for one in members[1:]))
    for one in members[1:]:
        assert one.received(prefix) == ids


def test_a_sync_is_answered_behind_everything_the_mailbox_held(
    generation: Generation, members: list[Online], prefix: str
) -> None:
    ids = [f"{prefix}{n:03}" for n in range(1_200)]  # more than two pages
    for name in ids:
        members[0].send(name, "u9")
    wait_until(lambda: set(ids) <= set(members[0].acknowledgements))
    told: list[str] = []

    class Order(Ear):
        def acknowledged(self, request_id: str) -> None:
            told.append(request_id)

        def delivered(self, message_id: str, sender: str, body: str, group: str) -> None:
            told.append(message_id)

    connection = WebSocketConnection(Person(9, "u9", PASSWORD))
    connection.open(generation.endpoints[1], Order())
    connection.send(Request("sync", f"{prefix}sync", "", "", 0))
    wait_until(lambda: f"{prefix}sync" in told)
    assert told[: told.index(f"{prefix}sync")][-len(ids) :] == ids
    connection.send(Request("sync", f"{prefix}again", "", "", 1))
    wait_until(lambda: f"{prefix}again" in told)
    assert told[-1] == f"{prefix}again"
    assert len(told) == len(set(told))
    connection.close()


def test_a_sync_waits_for_an_inbox_that_is_away(
    generation: Generation, members: list[Online], prefix: str
) -> None:
    signalled(generation, "inbox", signal.SIGKILL)
    members[0].send(f"{prefix}a", "u1")
    wait_until(lambda: f"{prefix}a" in members[0].acknowledgements)
    members[1].client.send(Request("sync", f"{prefix}sync", "", "", 0))
    wait_until(lambda: f"{prefix}sync" in members[1].acknowledgements)
    assert members[1].received(prefix) == [f"{prefix}a"]


def test_a_change_of_presence_comes_to_the_contacts_who_are_online_at_any_gateway(
    generation: Generation, prefix: str
) -> None:
    """Without a file of contacts everybody knows the next and the previous person."""
    shown: dict[int, list[tuple[str, str]]] = {}

    class Watching(WebSocketConnection):
        """Keeps the presences that the client itself has no use for."""

        __slots__ = ("number",)

        def __init__(self, number: int) -> None:
            super().__init__(Person(number, f"u{number}", PASSWORD))
            self.number = number

        def _take(self, payload: bytes) -> None:
            told = json.loads(payload)
            if told["op"] == "presence":
                shown.setdefault(self.number, []).append((told["from"], told["show"]))
            super()._take(payload)

    ears = {number: Ear() for number in (7, 8, 9, 10)}
    watching = {number: Watching(number) for number in ears}
    for number, connection in watching.items():
        connection.open(generation.endpoints[number % 2], ears[number])
    for n, show in enumerate(("away", "dnd", "available", "asleep")):
        watching[9].send(Request("presence", f"{prefix}{n}", show, "", n))
    wait_until(lambda: len(shown.get(8, [])) >= 3 and len(shown.get(10, [])) >= 3)
    wait_until(lambda: len(ears[9].acknowledgements) >= 3 and bool(ears[9].refusals))
    wanted = [("u9", "away"), ("u9", "dnd"), ("u9", "available")]
    assert shown == {8: wanted, 10: wanted}
    assert ears[9].acknowledgements == [f"{prefix}{n}" for n in range(3)]
    assert ears[9].refusals == [(f"{prefix}3", "unknown presence")]
    for connection in watching.values():
        connection.close()


def test_what_is_no_request_ends_the_connection(generation: Generation) -> None:
    ear, connection = Ear(), WebSocketConnection(Person(11, "u11", PASSWORD))
    connection.open(generation.endpoints[0], ear)
    connection.send(message("a", 5))  # type: ignore[arg-type]  # an addressee is text
    wait_until(lambda: bool(ear.ends))
    assert "not understood" in ear.ends[0]
    connection.close()

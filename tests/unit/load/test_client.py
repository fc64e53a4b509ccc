from collections.abc import Iterator

import gevent
import pytest

from bench.load.clients import LoginRefused, Request
from bench.load.clients.client import FIRST_BACKOFF_S, LONGEST_BACKOFF_S, Client
from bench.records import Endpoint, Person
from tests.unit.load.scripted import ScriptedServer

HERE = (Endpoint("here", 1), Endpoint("there", 2))


class Diary:
    """A Witness that writes down."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, bool]] = []
        self.again: list[str] = []
        self.errors: list[Exception] = []
        self.turns: list[bool] = []

    def answered(self, person: int, request: Request, ok: bool) -> None:
        self.answers.append((request.request_id, ok))

    def sent_again(self, person: int, request: Request) -> None:
        self.again.append(request.request_id)

    def delivered(self, person: int, message_id: str, sender: str, body: str, group: str) -> None: ...

    def turned(self, person: int, online: bool) -> None:
        self.turns.append(online)

    def failed(self, person: int, error: Exception) -> None:
        self.errors.append(error)


@pytest.fixture(autouse=True)
def _watchdog() -> Iterator[None]:
    with gevent.Timeout(10):
        yield


@pytest.fixture
def diary() -> Diary:
    return Diary()


def client_of(server: ScriptedServer, diary: Diary, waits: list[float] | None = None) -> Client:
    def sleep(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)
        gevent.sleep(0.001)

    return Client(0, server.connect(Person(0, "u0", "secret")), HERE, diary, seed=1, sleep=sleep)


def live(client: Client) -> None:
    client.open()
    while client.wait_lost():
        client.open()


def started(client: Client) -> "gevent.Greenlet[..., None]":
    living = gevent.spawn(live, client)
    while not client.online:
        gevent.sleep(0.001)
    return living


def text(request_id: str, body: str) -> Request:
    return Request("send", request_id, "u9", body, 0)


def test_what_was_not_answered_is_sent_again_under_the_same_id_in_order(diary: Diary) -> None:
    server = ScriptedServer(lambda request: None if request.body == "swallow" else 0.0)
    client = client_of(server, diary)
    living = started(client)
    client.send(text("a", "fine"))
    client.send(text("b", "swallow"))
    client.send(text("c", "swallow"))
    while client.unanswered > 2:
        gevent.sleep(0.001)
    server.crash()
    assert not client.online
    assert diary.turns == [True, False]
    client.send(text("d", "while away"))
    server.delay_s = lambda request: 0.0
    server.down = False
    while client.unanswered:
        gevent.sleep(0.001)
    client.close()
    living.get()
    assert server.received == ["a", "b", "c", "b", "c", "d"]
    assert diary.again == ["b", "c"], "what was only kept goes out for the first time"
    assert client.resent == 2
    assert server.logins == 2
    assert diary.answers == [(name, True) for name in ("a", "b", "c", "d")]


def test_a_refused_message_is_told_and_not_sent_again(diary: Diary) -> None:
    server = ScriptedServer(lambda request: 0.0)
    server.refuse = {"spam"}
    client = client_of(server, diary)
    living = started(client)
    client.send(text("a", "spam"))
    while client.unanswered:
        gevent.sleep(0.001)
    client.close()
    living.get()
    assert diary.answers == [("a", False)]
    assert server.received == ["a"]


def test_a_second_answer_counts_for_nothing(diary: Diary) -> None:
    client = client_of(ScriptedServer(lambda request: None), diary)
    living = started(client)
    client.send(text("a", "x"))
    client.acknowledged("a")
    client.acknowledged("a")
    client.refused("a", "late")
    client.close()
    living.get()
    assert diary.answers == [("a", True)]


def test_logging_out_and_in_is_answered_once_back_and_loses_nothing(diary: Diary) -> None:
    server = ScriptedServer(lambda request: None if request.body == "swallow" else 0.0)
    client = client_of(server, diary)
    living = started(client)
    client.send(text("a", "swallow"))
    client.leave_and_return(Request("login", "login-1", "", "", 1))
    assert client.returning
    assert client.unanswered == 2
    server.delay_s = lambda request: 0.0
    while client.unanswered:
        gevent.sleep(0.001)
    client.close()
    living.get()
    assert server.logins == 2
    assert server.received == ["a", "a"]
    assert diary.answers == [("login-1", True), ("a", True)]


def test_a_dropped_connection_is_made_again_and_loses_nothing(diary: Diary) -> None:
    server = ScriptedServer(lambda request: None if request.body == "swallow" else 0.0)
    client = client_of(server, diary)
    assert not client.drop()  # who has no connection has none to lose
    living = started(client)
    client.send(text("a", "swallow"))
    assert client.drop()
    assert not client.online
    assert not client.drop()
    client.send(text("b", "while away"))
    server.delay_s = lambda request: 0.0
    while client.unanswered:
        gevent.sleep(0.001)
    client.close()
    living.get()
    assert server.logins == 2
    assert server.received == ["a", "a", "b"]
    assert diary.answers == [("a", True), ("b", True)]


def test_waiting_between_attempts_grows_is_capped_and_jittered(diary: Diary) -> None:
    server = ScriptedServer(lambda request: 0.0)
    server.down = True
    waits: list[float] = []
    client = client_of(server, diary, waits)
    opening = gevent.spawn(client.open)
    while len(waits) < 40:
        gevent.sleep(0.001)
    server.down = False
    opening.get()
    bounds = [min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**n) for n in range(len(waits))]
    assert all(0 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
    assert max(waits) > LONGEST_BACKOFF_S / 2
    assert len(set(waits)) > 30


def test_a_refused_login_is_said_and_not_tried_again(diary: Diary) -> None:
    server = ScriptedServer(lambda request: 0.0)
    server.banned = {"u0"}
    client = client_of(server, diary)
    with pytest.raises(LoginRefused, match="banned"):
        client.open()
    assert server.logins == 0


def test_a_defect_met_while_reading_is_told_and_the_client_is_offline(diary: Diary) -> None:
    client = client_of(ScriptedServer(lambda request: 0.0), diary)
    living = started(client)
    client.failed(ValueError("a defect"))
    assert not client.online
    assert [str(error) for error in diary.errors] == ["a defect"]
    client.close()
    living.get()

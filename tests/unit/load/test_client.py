import gevent
import pytest

from bench.load.clients import Acknowledged, LoginRefused, Message, Refused
from bench.load.clients.client import FIRST_BACKOFF_S, LONGEST_BACKOFF_S, Client
from bench.records import Endpoint, Person
from tests.unit.load.scripted import ScriptedServer

HERE = (Endpoint("here", 1), Endpoint("there", 2))


def client_of(server: ScriptedServer, name: str = "u0", waits: list[float] | None = None) -> Client:
    def sleep(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)
        gevent.sleep(0.001)

    person = Person(int(name[1:]), name, "secret")
    return Client(server.connect(person), HERE, first_endpoint=0, seed=1, sleep=sleep)


def listen(client: Client, into: list[object]) -> None:
    client.open()
    into.extend(event for event in client.events())


def test_what_was_not_acknowledged_is_sent_again_under_the_same_id_in_order() -> None:
    server = ScriptedServer(lambda message: None if message.body == "swallow" else 0.0)
    client = client_of(server)
    heard: list[object] = []
    with gevent.Timeout(10):
        listening = gevent.spawn(listen, client, heard)
        while not client.online:
            gevent.sleep(0.001)
        client.send(Message("a", "u9", "fine"))
        client.send(Message("b", "u9", "swallow"))
        client.send(Message("c", "u9", "swallow"))
        while client.unacknowledged > 2:
            gevent.sleep(0.001)
        server.crash()
        gevent.sleep(0.01)
        assert not client.online
        client.send(Message("d", "u9", "while away"))
        server.delay_s = lambda message: 0.0
        server.down = False
        while client.unacknowledged:
            gevent.sleep(0.001)
        client.close()
        listening.get()
    assert server.received == ["a", "b", "c", "b", "c", "d"]
    assert client.resent == 3
    assert client.logins == 2
    assert heard[0] == Acknowledged("a")
    assert set(heard) == {Acknowledged(i) for i in ("a", "b", "c", "d")}


def test_a_refused_message_is_not_sent_again() -> None:
    server = ScriptedServer(lambda message: 0.0)
    server.refuse = {"spam"}
    client = client_of(server)
    heard: list[object] = []
    with gevent.Timeout(10):
        listening = gevent.spawn(listen, client, heard)
        while not client.online:
            gevent.sleep(0.001)
        client.send(Message("a", "u9", "spam"))
        while client.unacknowledged:
            gevent.sleep(0.001)
        client.close()
        listening.get()
    assert heard == [Refused("a", "not-wanted")]


def test_waiting_between_attempts_grows_is_capped_and_jittered() -> None:
    server = ScriptedServer(lambda message: 0.0)
    server.down = True
    waits: list[float] = []
    client = client_of(server, waits=waits)
    with gevent.Timeout(10):
        opening = gevent.spawn(client.open)
        while len(waits) < 40:
            gevent.sleep(0.001)
        server.down = False
        opening.get()
    bounds = [min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**n) for n in range(len(waits))]
    assert all(0 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
    assert max(waits) > LONGEST_BACKOFF_S / 2
    assert len(set(waits)) > 30


def test_a_refused_login_is_said_and_not_tried_again() -> None:
    server = ScriptedServer(lambda message: 0.0)
    server.banned = {"u0"}
    client = client_of(server)
    with pytest.raises(LoginRefused, match="banned"):
        client.open()
    assert client.logins == 0

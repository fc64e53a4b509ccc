"""The monolith as a real process, through its real client, and through slixmpp."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest

from bench.deployment.local import monolith
from bench.deployment.local.topology import Site, Topology
from bench.load.clients import ConnectionLost, LoginRefused, Request
from bench.load.clients.client import Client
from bench.load.clients.xmpp import XmppConnection
from bench.load.clients.xmpp_sasl import login
from bench.records import Endpoint, Person
from tests.certificates import self_signed
from tests.integration.conftest import PEOPLE, Running

PATIENCE_S = 20
DOMAIN = "threegen.example"

Start = Callable[[Callable[[Site], Topology]], Running]
Told = tuple[str, ...]
GROUPS = [[0, 1, 2, 3], [4, 5, 6], [7]]


def person(number: int) -> Person:
    return Person(number, f"u{number}", str(PEOPLE["password"]))


class Someone:
    """A person online, and what their connection tells of, in order; a Listener."""

    def __init__(self, number: int, password: str = str(PEOPLE["password"]), **options: Any) -> None:
        self.connection = XmppConnection(Person(number, f"u{number}", password), **options)
        self.told: list[Told] = []
        self.close_on_delivery = False

    def open(self, endpoint: Endpoint) -> None:
        self.connection.open(endpoint, self)

    def send(self, message_id: str, addressee: str, body: str) -> None:
        self.connection.send(Request("send", message_id, addressee, body, 0))

    def ask(self, operation: str, request_id: str, target: str = "", body: str = "") -> None:
        self.connection.send(Request(operation, request_id, target, body, 0))

    def close(self) -> None:
        self.connection.close()

    def hear(self, kind: str, count: int) -> list[Told]:
        """The next `count` things of this kind; others that come between are dropped.

        Raises ConnectionLost where the end comes first.
        """
        heard: list[Told] = []
        with gevent.Timeout(PATIENCE_S):
            while len(heard) < count:
                while not self.told:
                    gevent.sleep(0.001)
                told = self.told.pop(0)
                if told[0] == kind:
                    heard.append(told[1:])
                elif told[0] == "lost":
                    raise ConnectionLost(told[1])
                assert told[0] != "failed", told
        return heard

    def acknowledged(self, request_id: str) -> None:
        self.told.append(("acknowledged", request_id))

    def refused(self, request_id: str, reason: str) -> None:
        self.told.append(("refused", request_id, reason))

    def delivered(self, message_id: str, sender: str, body: str, group: str) -> None:
        self.told.append(("delivered", message_id, sender, body, group))
        if self.close_on_delivery:
            self.close()

    def lost(self, reason: str) -> None:
        self.told.append(("lost", reason))

    def failed(self, error: Exception) -> None:
        self.told.append(("failed", repr(error)))


def opened(endpoint: Endpoint, number: int, **options: Any) -> Someone:
    someone = Someone(number, **options)
    someone.open(endpoint)
    return someone


def ids_of(heard: list[Told]) -> list[str]:
    return [told[0] for told in heard]


def configured(**keys: Any) -> Callable[[Site], Topology]:
    """The local topology with some of the server's own keys set."""

    def topology(site: Site) -> Topology:
        plain = monolith.topology(site)
        path = Path(plain.processes[0].command[-1])
        path.write_text(json.dumps(json.loads(path.read_text()) | keys))
        return plain

    return topology


def kill(running: Running) -> None:
    pid = running.deployment.pid(monolith.NODE)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    running.reap(monolith.NODE)


def come_back(running: Running) -> None:
    """Start the server again and wait until it listens."""
    running.restart(monolith.NODE)
    endpoint = running.endpoints[0]
    with gevent.Timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection((endpoint.host, endpoint.port), 1).close()
                return
            gevent.sleep(0.01)


def log(running: Running, event: str) -> list[dict[str, Any]]:
    lines = (running.logs / f"{monolith.NODE}.log").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]


@pytest.fixture
def endpoint(start: Start) -> Endpoint:
    return start(monolith.topology).endpoints[0]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_people_log_in_and_talk_both_ways(endpoint: Endpoint, mechanism: str) -> None:
    one = opened(endpoint, 0, mechanisms=[mechanism])
    two = opened(endpoint, 1, mechanisms=[mechanism])
    body = "naïve <&> \"quoted\" 'text'\r\n\tline 2 \U0001f9e7"
    one.send("a<&'1", "u1", body)
    assert one.hear("acknowledged", 1) == [("a<&'1",)]
    assert two.hear("delivered", 1) == [("a<&'1", "u0", body, "")]
    two.send("b1", "u0", "back")
    assert two.hear("acknowledged", 1) == [("b1",)]
    assert one.hear("delivered", 1) == [("b1", "u1", "back", "")]
    for connection in (one, two):
        connection.close()


def test_a_wrong_password_an_unknown_person_and_a_wrong_domain_are_refused(endpoint: Endpoint) -> None:
    for stranger in (Someone(0, "wrong"), Someone(99)):
        with pytest.raises(LoginRefused, match="not-authorized"):
            stranger.open(endpoint)
    with pytest.raises(LoginRefused, match="does not serve"):
        Someone(0, domain="elsewhere.example").open(endpoint)
    with pytest.raises(LoginRefused, match="no common mechanism"):
        Someone(0, mechanisms=["PLAIN"]).open(endpoint)


def test_a_message_to_nobody_is_refused_and_not_acknowledged(endpoint: Endpoint) -> None:
    one = opened(endpoint, 0)
    one.send("nobody", "u99", "x")
    one.send("self", "u0", "to myself")
    assert one.hear("refused", 1) == [("nobody", "service-unavailable")]
    assert one.hear("acknowledged", 1) == [("self",)]
    one.close()


def test_messages_wait_for_whoever_is_offline_in_order(endpoint: Endpoint) -> None:
    one = opened(endpoint, 0)
    for number in range(200):
        one.send(f"m{number}", "u1", str(number))
    one.hear("acknowledged", 200)
    two = opened(endpoint, 1)
    assert ids_of(two.hear("delivered", 200)) == [f"m{n}" for n in range(200)]
    one.close()
    two.close()


def test_what_a_client_did_not_confirm_is_delivered_again_and_what_it_did_is_not(endpoint: Endpoint) -> None:
    one, two = opened(endpoint, 0), opened(endpoint, 1)
    one.send("first", "u1", "x")
    two.hear("delivered", 1)  # and confirmed
    two.close_on_delivery = True
    one.send("second", "u1", "x")
    two.hear("delivered", 1)
    one.send("third", "u1", "x")
    again = opened(endpoint, 1)
    assert ids_of(again.hear("delivered", 2)) == ["second", "third"]
    one.close()
    again.close()


def test_a_new_connection_takes_the_place_of_the_old(endpoint: Endpoint) -> None:
    old = opened(endpoint, 0)
    new = opened(endpoint, 0)
    with pytest.raises(ConnectionLost, match="conflict"):
        old.hear("delivered", 1)
    old.close()
    new.send("still", "u0", "here")
    assert new.hear("delivered", 1)[0][0] == "still"
    new.close()


def test_nothing_is_told_and_nothing_is_sent_after_closing(endpoint: Endpoint) -> None:
    one, two = opened(endpoint, 0), opened(endpoint, 1)
    two.close()
    two.send("late", "u0", "x")
    two.close()
    one.send("m", "u1", "x")
    one.hear("acknowledged", 1)
    one.send("n", "u0", "to myself")
    assert ids_of(one.hear("delivered", 1)) == ["n"]
    assert two.told == []
    one.close()


def test_duplicates_are_acknowledged_and_suppressed_across_a_kill(start: Start) -> None:
    running = start(monolith.topology)
    endpoint = running.endpoints[0]
    one = opened(endpoint, 0)
    for message_id in ("m1", "m2", "m1"):
        one.send(message_id, "u1", "x")
    one.hear("acknowledged", 3)
    kill(running)
    with pytest.raises(ConnectionLost):
        one.hear("acknowledged", 1)
    come_back(running)
    one.open(endpoint)
    for message_id in ("m2", "m1", "m3"):
        one.send(message_id, "u1", "x")
    one.hear("acknowledged", 3)
    two = opened(endpoint, 1)
    assert ids_of(two.hear("delivered", 3)) == ["m1", "m2", "m3"]
    two.send("m1", "u1", "another sender's m1")
    assert two.hear("delivered", 1) == [("m1", "u1", "another sender's m1", "")]
    assert log(running, "replayed")[-1]["undelivered"] == 2
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("acknowledged_before", "snapshot_every_bytes"), [(1, 0), (150, 0), (400, 0), (250, 5_000)]
)
def test_every_acknowledged_message_survives_a_kill_in_a_burst(
    start: Start, acknowledged_before: int, snapshot_every_bytes: int
) -> None:
    running = start(configured(snapshot_every_bytes=snapshot_every_bytes))
    endpoint = running.endpoints[0]
    sender = opened(endpoint, 0)
    ids = [f"m{number}" for number in range(500)]
    for message_id in ids:
        sender.send(message_id, "u1", "x" * 100)
    acknowledged = ids_of(sender.hear("acknowledged", acknowledged_before))
    kill(running)
    with contextlib.suppress(ConnectionLost):
        while True:
            acknowledged += ids_of(sender.hear("acknowledged", 1))
    assert acknowledged == ids[: len(acknowledged)]
    come_back(running)
    sender.open(endpoint)
    remaining = ids[len(acknowledged) :]
    for message_id in remaining:
        sender.send(message_id, "u1", "x" * 100)
    if remaining:
        sender.hear("acknowledged", len(remaining))
    addressee = opened(endpoint, 1)
    # The addressee was away, so nothing came twice: the duplicates stayed suppressed.
    assert ids_of(addressee.hear("delivered", 500)) == ids
    sender.close()
    addressee.close()


class Company:
    """People who stay online, and what becomes of what they ask; a Witness."""

    def __init__(self, running: Running, numbers: range) -> None:
        self.acknowledged: set[str] = set()
        self.broken: list[str] = []
        self.delivered_to: dict[int, list[Told]] = {number: [] for number in numbers}
        self.clients = [
            Client(number, XmppConnection(person(number)), running.endpoints, self, seed=number)
            for number in numbers
        ]
        self._lives = [gevent.spawn(self._live, client) for client in self.clients]
        self.wait_until(lambda: all(client.online for client in self.clients))

    def _live(self, client: Client) -> None:
        client.open()
        while client.wait_lost():
            client.open()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with gevent.Timeout(PATIENCE_S):
            while not condition():
                assert not self.broken
                gevent.sleep(0.01)

    def answered(self, _: int, request: Request, ok: bool) -> None:
        if ok:
            self.acknowledged.add(request.request_id)
        else:
            self.broken.append(f"{request.request_id} was refused")

    def sent_again(self, person: int, request: Request) -> None: ...

    def turned(self, person: int, online: bool) -> None: ...

    def delivered(self, person: int, message_id: str, sender: str, body: str, group: str) -> None:
        self.delivered_to[person].append((message_id, sender, body, group))

    def failed(self, number: int, error: Exception) -> None:
        self.broken.append(f"u{number}: {error!r}")

    def close(self) -> None:
        for client in self.clients:
            client.close()
        gevent.joinall(self._lives, raise_error=True)


def test_people_who_stay_online_lose_nothing_to_repeated_kills(start: Start) -> None:
    running = start(monolith.topology)
    company = Company(running, range(4))
    sent = set()
    for kills in range(3):
        for number in range(400):
            message_id = f"{kills}-{number}"
            sent.add(message_id)
            company.clients[number % 4].send(
                Request("send", message_id, f"u{(number + 1) % 4}", str(kills * 400 + number), number)
            )
            if number % 10 == 0:
                gevent.sleep(0.001)
            if number == 200:
                kill(running)
        come_back(running)
        company.wait_until(lambda: company.acknowledged == sent)
    everything = company.delivered_to.values()
    company.wait_until(lambda: {told[0] for delivered in everything for told in delivered} == sent)
    for delivered in everything:
        seen_first = list(dict.fromkeys(int(told[2]) for told in delivered))
        assert seen_first == sorted(seen_first), "in the order of sending, but for repetitions"
    company.close()


# Groups, sync and presence


def with_groups(folder: Path, **keys: Any) -> Callable[[Site], Topology]:
    """The local topology with `GROUPS`."""
    path = folder / "groups.json"
    path.write_text(json.dumps(GROUPS))
    return configured(people=PEOPLE | {"groups_file": str(path)}, **keys)


def metrics_of(running: Running) -> str:
    url = running.deployment.topology.processes[0].admin_url
    text: str = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    return text


def test_a_message_to_a_group_reaches_every_other_member_and_those_away_when_they_return(
    start: Start, tmp_path: Path
) -> None:
    running = start(with_groups(tmp_path))
    endpoint = running.endpoints[0]
    one, two, stranger = opened(endpoint, 0), opened(endpoint, 1), opened(endpoint, 4)
    body = "to <all> & 'each'"
    for message_id in ("m1", "m2", "m1"):
        one.ask("group_send", message_id, "g0", body)
    assert ids_of(one.hear("acknowledged", 3)) == ["m1", "m2", "m1"]
    expected = [("m1", "u0", body, "g0"), ("m2", "u0", body, "g0")]
    assert two.hear("delivered", 2) == expected
    two.ask("group_send", "m3", "g0", "back")
    assert one.hear("delivered", 1) == [("m3", "u1", "back", "g0")]  # their own were not among them
    three = opened(endpoint, 2)
    assert three.hear("delivered", 3) == [*expected, ("m3", "u1", "back", "g0")]
    one.send("m4", "u4", "the first they hear")
    assert ids_of(stranger.hear("delivered", 1)) == ["m4"]
    metrics = metrics_of(running)
    assert "threegen_group_sends_total 4.0" in metrics
    assert "threegen_messages_acknowledged_total 1.0" in metrics
    assert "threegen_monolith_mailbox_depth 3.0" in metrics  # u3 has not come
    for someone in (one, two, three, stranger):
        someone.close()


def test_only_members_may_write_to_a_group_and_only_to_one_that_is_there(
    start: Start, tmp_path: Path
) -> None:
    endpoint = start(with_groups(tmp_path)).endpoints[0]
    one = opened(endpoint, 0)
    one.ask("group_send", "m1", "g1", "x")
    one.ask("group_send", "m2", "g9", "x")
    one.ask("group_send", "m3", "g0", "x")
    assert one.hear("refused", 2) == [("m1", "forbidden"), ("m2", "item-not-found")]
    assert ids_of(one.hear("acknowledged", 1)) == ["m3"]
    seven = opened(endpoint, 7)
    seven.ask("group_send", "alone", "g2", "x")
    assert ids_of(seven.hear("acknowledged", 1)) == ["alone"]
    one.close()
    seven.close()


@pytest.mark.parametrize("snapshot_every_bytes", [0, 3_000])
def test_a_kill_right_after_the_acknowledgement_takes_a_message_to_a_group_from_nobody(
    start: Start, tmp_path: Path, snapshot_every_bytes: int
) -> None:
    running = start(with_groups(tmp_path, snapshot_every_bytes=snapshot_every_bytes))
    endpoint = running.endpoints[0]
    one, two = opened(endpoint, 0), opened(endpoint, 1)
    for number in range(100):
        one.ask("group_send", f"m{number}", "g0", str(number))
    acknowledged = ids_of(one.hear("acknowledged", 50))
    kill(running)
    with contextlib.suppress(ConnectionLost):
        while True:
            acknowledged += ids_of(one.hear("acknowledged", 1))
    with contextlib.suppress(ConnectionLost):
        two.hear("delivered", 101)
    come_back(running)
    for number in (2, 3):
        away = opened(endpoint, number)
        got = ids_of(away.hear("delivered", len(acknowledged)))
        assert got == acknowledged, "each once, in order: they were away"
        away.close()
    one.open(endpoint)
    for message_id in acknowledged:
        one.ask("group_send", message_id, "g0", "again")
    assert ids_of(one.hear("acknowledged", len(acknowledged))) == acknowledged
    one.ask("group_send", "last", "g0", "x")
    three = opened(endpoint, 3)
    heard = ids_of(three.hear("delivered", 1))
    while heard[-1] != "last":
        heard += ids_of(three.hear("delivered", 1))
    assert not set(heard) & set(acknowledged), "what they had confirmed does not come again"
    for someone in (one, two, three):
        someone.close()


def test_groups_online_lose_nothing_to_a_kill_in_the_middle_of_the_talk(start: Start, tmp_path: Path) -> None:
    running = start(with_groups(tmp_path))
    company = Company(running, range(4))
    sent = set()
    for number in range(300):
        message_id = f"m{number}"
        sent.add(message_id)
        company.clients[number % 4].send(Request("group_send", message_id, "g0", str(number), number))
        if number % 10 == 0:
            gevent.sleep(0.001)
        if number == 150:
            kill(running)
    come_back(running)
    company.wait_until(lambda: company.acknowledged == sent)
    for person_number, delivered in company.delivered_to.items():
        others = {f"m{number}" for number in range(300) if number % 4 != person_number}
        company.wait_until(lambda: {told[0] for told in delivered} == others)  # noqa: B023
        assert all(told[3] == "g0" and told[1] == f"u{int(told[2]) % 4}" for told in delivered)
    company.close()


def test_a_sync_and_a_presence_are_answered_and_the_contacts_see_the_presence(start: Start) -> None:
    running = start(monolith.topology)
    endpoint = running.endpoints[0]
    one = opened(endpoint, 0)
    contact = Raw(endpoint)
    contact.log_in(1)
    contact.say("<presence/>")
    one.ask("sync", "sync-1")
    one.ask("presence", "presence-2", "away")
    assert sorted(ids_of(one.hear("acknowledged", 2))) == ["presence-2", "sync-1"]
    assert f"from='u0@{DOMAIN}/threegen'" in contact.until("<show>away</show>")
    one.ask("presence", "presence-3", "dnd")
    one.send("m", "u2", "x")
    one.ask("presence", "presence-4", "available")
    assert ids_of(one.hear("acknowledged", 3)) == ["presence-3", "m", "presence-4"]
    contact.until("<show>dnd</show>")
    assert "<show>" not in contact.until("</presence>")
    metrics = metrics_of(running)
    assert "threegen_syncs_total 1.0" in metrics
    assert "threegen_presence_changes_total 3.0" in metrics
    one.close()
    contact.close()


def test_a_graceful_stop_says_so_and_the_metrics_and_the_log_tell_the_story(start: Start) -> None:
    running = start(monolith.topology)
    one = opened(running.endpoints[0], 0)
    one.send("m", "u1", "x")
    one.hear("acknowledged", 1)
    metrics = metrics_of(running)
    assert "threegen_messages_acknowledged_total 1.0" in metrics
    assert "threegen_monolith_mailbox_depth 1.0" in metrics
    assert "threegen_sessions 1.0" in metrics
    pid = running.deployment.pid(monolith.NODE)
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    with pytest.raises(ConnectionLost, match="system-shutdown"):
        one.hear("delivered", 1)
    one.close()
    running.reap(monolith.NODE)
    assert [line["event"] for line in log(running, "stopped")] == ["stopped"]
    (replayed,) = log(running, "replayed")
    assert replayed["records"] == 0


# TLS


def test_tls_is_required_where_it_is_offered_and_plain_works_under_it(start: Start, tmp_path: Path) -> None:
    trusted, key = self_signed(tmp_path / "tls")
    running = start(configured(tls_certificate=str(trusted), tls_key=str(key)))
    endpoint = replace(running.endpoints[0], ca_file=str(trusted))
    with pytest.raises(LoginRefused):
        Someone(0).open(replace(endpoint, ca_file=None))
    other, _ = self_signed(tmp_path / "other")
    with pytest.raises(LoginRefused, match="certificate"):
        Someone(0).open(replace(endpoint, ca_file=str(other)))
    with pytest.raises(LoginRefused, match="not-authorized"):
        Someone(0, "wrong", mechanisms=["PLAIN"]).open(endpoint)
    one = opened(endpoint, 0, mechanisms=["PLAIN"])
    two = opened(endpoint, 1)
    for number in range(100):
        one.send(f"m{number}", "u1", "x" * 20_000)  # more than a socket holds
    acknowledging = gevent.spawn(one.hear, "acknowledged", 100)
    assert ids_of(two.hear("delivered", 100)) == [f"m{n}" for n in range(100)]
    assert len(acknowledging.get()) == 100
    one.close()
    two.close()


# What other clients, and hostile ones, may send


class Raw:
    """A socket that speaks XMPP by hand."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._socket = socket.create_connection((endpoint.host, endpoint.port), PATIENCE_S)
        self.seen = ""

    def say(self, text: str) -> None:
        self._socket.sendall(text.encode())

    def until(self, wanted: str) -> str:
        """What arrived, up to and with `wanted`."""
        while wanted not in self.seen:
            data = self._socket.recv(65_536)
            assert data, f"closed before {wanted!r}, after {self.seen!r}"
            self.seen += data.decode()
        found, _, rest = self.seen.partition(wanted)
        self.seen = rest
        return found + wanted

    def until_closed(self) -> str:
        """Everything else, up to the end of the connection."""
        with contextlib.suppress(ConnectionResetError):
            while data := self._socket.recv(65_536):
                self.seen += data.decode()
        self._socket.close()
        return self.seen

    def open(self, to: str = DOMAIN) -> str:
        self.say(
            f"<?xml version='1.0'?><stream:stream to='{to}' version='1.0' xmlns='jabber:client' "
            "xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        return self.until("</stream:features>")

    def log_in(self, number: int) -> None:
        """Be person `number`, with a resource called `raw`."""
        sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
        exchange = login("SCRAM-SHA-256", f"u{number}", str(PEOPLE["password"]))
        self.open()
        first = b64encode(exchange.get_client_first().encode()).decode()
        self.say(f"<auth xmlns='{sasl}' mechanism='SCRAM-SHA-256'>{first}</auth>")
        challenge = self.until("</challenge>").removesuffix("</challenge>").rpartition(">")[2]
        exchange.set_server_first(b64decode(challenge).decode())
        final = b64encode(exchange.get_client_final().encode()).decode()
        self.say(f"<response xmlns='{sasl}'>{final}</response>")
        self.until("</success>")
        self.open()
        self.say(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            "<resource>raw</resource></bind></iq>"
        )
        self.until("</iq>")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def raw(endpoint: Endpoint) -> Iterator[Raw]:
    connection = Raw(endpoint)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("sent", "condition"),
    [
        ("<message to='u1@threegen.example'><body>x</body></message>", "not-authorized"),
        ("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "not-authorized"),
        ("<a><b></a>", "not-well-formed"),
        ("<!-- x -->", "restricted-xml"),
    ],
)
def test_what_breaks_the_protocol_before_login_ends_the_stream(raw: Raw, sent: str, condition: str) -> None:
    features = raw.open()
    assert "SCRAM-SHA-256" in features
    assert "PLAIN" not in features
    raw.say(sent)
    assert f"<stream:error><{condition} " in raw.until_closed()


def test_a_document_type_ends_the_stream_before_it_is_open(raw: Raw) -> None:
    raw.say("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>")
    closing = raw.until_closed()
    assert "<stream:stream" in closing
    assert "<restricted-xml " in closing


def test_failed_logins_may_be_repeated_but_not_for_ever(raw: Raw) -> None:
    raw.open()
    sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
    raw.say(f"<auth xmlns='{sasl}' mechanism='PLAIN'>{b64encode(b'x').decode()}</auth>")
    assert "<invalid-mechanism/>" in raw.until("</failure>")
    raw.say(f"<auth xmlns='{sasl}' mechanism='SCRAM-SHA-1'>***</auth>")
    assert "<incorrect-encoding/>" in raw.until("</failure>")
    raw.say(f"<auth xmlns='{sasl}' mechanism='SCRAM-SHA-1'/>")
    raw.until("<challenge ")
    raw.say(f"<abort xmlns='{sasl}'/>")
    assert "<aborted/>" in raw.until("</failure>")
    assert "policy-violation" in raw.until_closed()


class SlixmppThread:
    """slixmpp on an event loop of its own, in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_S)

    def close(self) -> None:
        async def rest() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.run(rest())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()


@pytest.fixture
def thread() -> Iterator[SlixmppThread]:
    running = SlixmppThread()
    yield running
    running.close()


def test_slixmpp_logs_in_and_uses_what_it_expects_of_a_server(
    endpoint: Endpoint, thread: SlixmppThread
) -> None:
    from slixmpp import JID, ClientXMPP

    ours = opened(endpoint, 1)

    async def session() -> dict[str, Any]:
        theirs = ClientXMPP(
            f"u0@{DOMAIN}/slixmpp",
            str(PEOPLE["password"]),
            plugin_config={"feature_mechanisms": {"unencrypted_scram": True}},
        )
        theirs.enable_direct_tls = theirs.enable_starttls = False
        theirs.enable_plaintext = True
        for plugin in ("xep_0030", "xep_0184", "xep_0198", "xep_0199"):
            theirs.register_plugin(plugin)
        started, received, available, confirmed = (
            asyncio.get_running_loop().create_future() for _ in range(4)
        )

        def once(future: asyncio.Future[Any]) -> Callable[[Any], None]:
            return lambda value: None if future.done() else future.set_result(value)

        def acknowledged(stanza: Any) -> None:
            if stanza.name == "message":
                once(confirmed)(stanza)

        theirs.add_event_handler("session_start", once(started))
        theirs.add_event_handler("message", once(received))
        theirs.add_event_handler("presence_available", once(available))
        theirs.add_event_handler("stanza_acked", acknowledged)
        theirs.connect(endpoint.host, endpoint.port)
        await started
        theirs.send_presence()
        roster: Any = await theirs.get_roster()
        presence = await available
        await theirs.plugin["xep_0199"].ping(JID(DOMAIN), timeout=5)
        info: Any = await theirs.plugin["xep_0030"].get_info(jid=JID(DOMAIN))
        theirs.send_message(mto=JID(f"u1@{DOMAIN}"), mbody="from slixmpp", mtype="chat")
        acked = await confirmed
        message = await received
        await theirs.disconnect()
        return {
            "roster": sorted(str(jid) for jid in roster["roster"]["items"]),
            "presence": presence["from"].bare,
            "features": set(info["disco_info"]["features"]),
            "acked": acked["body"],
            "message": (message["from"].bare, message["body"]),
        }

    running = asyncio.run_coroutine_threadsafe(session(), thread.loop)
    ours.send("hello", "u0", "to slixmpp")
    (delivered,) = ours.hear("delivered", 1)
    assert delivered[1:3] == ("u0", "from slixmpp")
    seen = running.result(PATIENCE_S)
    assert seen["roster"] == [f"u1@{DOMAIN}", f"u7@{DOMAIN}"]
    assert seen["presence"] == f"u1@{DOMAIN}"
    assert "urn:xmpp:ping" in seen["features"]
    assert seen["acked"] == "from slixmpp"
    assert seen["message"] == (f"u1@{DOMAIN}", "to slixmpp")
    ours.close()

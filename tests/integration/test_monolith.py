"""The monolith as a real process, through its real client, and through slixmpp."""

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import signal
import socket
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import gevent
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.deployment.local import monolith
from bench.deployment.local.topology import Site, Topology
from bench.load.clients import (
    Acknowledged,
    ConnectionLost,
    Delivered,
    Event,
    LoginRefused,
    Message,
    Refused,
)
from bench.load.clients.client import Client
from bench.load.clients.xmpp import XmppConnection
from bench.records import Endpoint, Person
from tests.integration.conftest import PEOPLE, Running

PATIENCE_S = 20
DOMAIN = "threegen.example"

Start = Callable[[Callable[[Site], Topology]], Running]
T = TypeVar("T", bound=Event)


def person(number: int) -> Person:
    return Person(number, f"u{number}", str(PEOPLE["password"]))


def opened(endpoint: Endpoint, number: int, **options: Any) -> XmppConnection:
    connection = XmppConnection(person(number), **options)
    connection.open(endpoint)
    return connection


def events(connection: XmppConnection | Client, count: int, kind: type[T]) -> list[T]:
    """The next `count` events of this kind; others that come between are dropped."""
    found: list[T] = []
    with gevent.Timeout(PATIENCE_S):
        for event in connection.events():
            if isinstance(event, kind):
                found.append(event)
                if len(found) == count:
                    break
    return found


def configured(**keys: str | int) -> Callable[[Site], Topology]:
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
    one.send(Message("a<&'1", "u1", body))
    assert events(one, 1, Acknowledged) == [Acknowledged("a<&'1")]
    assert events(two, 1, Delivered) == [Delivered("a<&'1", "u0", body)]
    two.send(Message("b1", "u0", "back"))
    assert events(two, 1, Acknowledged) == [Acknowledged("b1")]
    assert events(one, 1, Delivered) == [Delivered("b1", "u1", "back")]
    for connection in (one, two):
        connection.close()


def test_a_wrong_password_an_unknown_person_and_a_wrong_domain_are_refused(endpoint: Endpoint) -> None:
    for stranger in (Person(0, "u0", "wrong"), Person(99, "u99", str(PEOPLE["password"]))):
        with pytest.raises(LoginRefused, match="not-authorized"):
            XmppConnection(stranger).open(endpoint)
    with pytest.raises(LoginRefused, match="does not serve"):
        XmppConnection(person(0), domain="elsewhere.example").open(endpoint)
    with pytest.raises(LoginRefused, match="no common mechanism"):
        XmppConnection(person(0), mechanisms=["PLAIN"]).open(endpoint)


def test_a_message_to_nobody_is_refused_and_not_acknowledged(endpoint: Endpoint) -> None:
    one = opened(endpoint, 0)
    one.send(Message("nobody", "u99", "x"))
    one.send(Message("self", "u0", "to myself"))
    assert events(one, 1, Refused) == [Refused("nobody", "service-unavailable")]
    assert events(one, 1, Acknowledged) == [Acknowledged("self")]
    one.close()


def test_messages_wait_for_whoever_is_offline_in_order(endpoint: Endpoint) -> None:
    one = opened(endpoint, 0)
    for number in range(200):
        one.send(Message(f"m{number}", "u1", str(number)))
    events(one, 200, Acknowledged)
    two = opened(endpoint, 1)
    assert [event.message_id for event in events(two, 200, Delivered)] == [f"m{n}" for n in range(200)]
    one.close()
    two.close()


def test_what_a_client_did_not_confirm_is_delivered_again_and_what_it_did_is_not(endpoint: Endpoint) -> None:
    one, two = opened(endpoint, 0), opened(endpoint, 1)
    one.send(Message("first", "u1", "x"))
    events(two, 1, Delivered)  # taken, and confirmed only when more is asked for
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.2):
        next(two.events())
    one.send(Message("second", "u1", "x"))
    events(two, 1, Delivered)
    two.close()
    again = opened(endpoint, 1)
    one.send(Message("third", "u1", "x"))
    assert [event.message_id for event in events(again, 2, Delivered)] == ["second", "third"]
    one.close()
    again.close()


def test_a_new_connection_takes_the_place_of_the_old(endpoint: Endpoint) -> None:
    old = opened(endpoint, 0)
    new = opened(endpoint, 0)
    with pytest.raises(ConnectionLost, match="conflict"), gevent.Timeout(PATIENCE_S):
        next(old.events())
    old.close()
    new.send(Message("still", "u0", "here"))
    assert events(new, 1, Delivered)[0].message_id == "still"
    new.close()


def test_closing_from_another_greenlet_ends_the_events(endpoint: Endpoint) -> None:
    connection = opened(endpoint, 0)
    gevent.spawn(connection.close)
    with pytest.raises(ConnectionLost), gevent.Timeout(PATIENCE_S):
        next(connection.events())
    with pytest.raises(ConnectionLost):
        connection.send(Message("late", "u1", "x"))
    connection.close()


def test_duplicates_are_acknowledged_and_suppressed_across_a_kill(start: Start) -> None:
    running = start(monolith.topology)
    endpoint = running.endpoints[0]
    one = opened(endpoint, 0)
    for message_id in ("m1", "m2", "m1"):
        one.send(Message(message_id, "u1", "x"))
    events(one, 3, Acknowledged)
    kill(running)
    with pytest.raises(ConnectionLost):
        events(one, 1, Acknowledged)
    come_back(running)
    one.open(endpoint)
    for message_id in ("m2", "m1", "m3"):
        one.send(Message(message_id, "u1", "x"))
    events(one, 3, Acknowledged)
    two = opened(endpoint, 1)
    assert [event.message_id for event in events(two, 3, Delivered)] == ["m1", "m2", "m3"]
    two.send(Message("m1", "u1", "another sender's m1"))
    assert events(two, 1, Delivered) == [Delivered("m1", "u1", "another sender's m1")]
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
        sender.send(Message(message_id, "u1", "x" * 100))
    acknowledged = [event.message_id for event in events(sender, acknowledged_before, Acknowledged)]
    kill(running)
    with contextlib.suppress(ConnectionLost):
        while True:
            acknowledged += [event.message_id for event in events(sender, 1, Acknowledged)]
    assert acknowledged == ids[: len(acknowledged)]
    come_back(running)
    sender.open(endpoint)
    remaining = ids[len(acknowledged) :]
    for message_id in remaining:
        sender.send(Message(message_id, "u1", "x" * 100))
    if remaining:
        events(sender, len(remaining), Acknowledged)
    addressee = opened(endpoint, 1)
    # The addressee was away, so nothing came twice: the duplicates stayed suppressed.
    assert [event.message_id for event in events(addressee, 500, Delivered)] == ids
    sender.close()
    addressee.close()


def test_people_who_stay_online_lose_nothing_to_repeated_kills(start: Start) -> None:
    running = start(monolith.topology)
    clients = [
        Client(XmppConnection(person(number)), running.endpoints, first_endpoint=0, seed=number)
        for number in range(4)
    ]
    acknowledged: set[str] = set()
    delivered: list[tuple[int, Delivered]] = []

    def listen(number: int) -> None:
        for event in clients[number].events():
            if isinstance(event, Acknowledged):
                acknowledged.add(event.message_id)
            elif isinstance(event, Delivered):
                delivered.append((number, event))

    for client in clients:
        client.open()
    listeners = [gevent.spawn(listen, number) for number in range(4)]
    sent = set()
    for kills in range(3):
        for number in range(400):
            message_id = f"{kills}-{number}"
            sent.add(message_id)
            clients[number % 4].send(Message(message_id, f"u{(number + 1) % 4}", str(kills * 400 + number)))
            if number % 10 == 0:
                gevent.sleep(0.001)
            if number == 200:
                kill(running)
        come_back(running)
        with gevent.Timeout(PATIENCE_S):
            while acknowledged != sent:
                gevent.sleep(0.01)
    with gevent.Timeout(PATIENCE_S):
        while {event.message_id for _, event in delivered} != sent:
            gevent.sleep(0.01)
    for number in range(4):
        mine = [event for receiver, event in delivered if receiver == number]
        seen_first = list(dict.fromkeys(int(event.body) for event in mine))
        assert seen_first == sorted(seen_first), "in the order of sending, but for repetitions"
    for client in clients:
        client.close()
    gevent.killall(listeners)


def test_a_graceful_stop_says_so_and_the_metrics_and_the_log_tell_the_story(start: Start) -> None:
    running = start(monolith.topology)
    one = opened(running.endpoints[0], 0)
    one.send(Message("m", "u1", "x"))
    events(one, 1, Acknowledged)
    url = running.deployment.topology.processes[0].admin_url
    metrics = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    assert "threegen_messages_acknowledged_total 1.0" in metrics
    assert "threegen_monolith_mailbox_depth 1.0" in metrics
    assert "threegen_sessions 1.0" in metrics
    pid = running.deployment.pid(monolith.NODE)
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    with pytest.raises(ConnectionLost, match="system-shutdown"):
        events(one, 1, Delivered)
    one.close()
    running.reap(monolith.NODE)
    assert [line["event"] for line in log(running, "stopped")] == ["stopped"]
    (replayed,) = log(running, "replayed")
    assert replayed["records"] == 0


# TLS


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for the domain: its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, DOMAIN)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(DOMAIN), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file


def test_tls_is_required_where_it_is_offered_and_plain_works_under_it(start: Start, tmp_path: Path) -> None:
    trusted, key = certificate(tmp_path / "tls")
    running = start(configured(tls_certificate=str(trusted), tls_key=str(key)))
    endpoint = replace(running.endpoints[0], ca_file=str(trusted))
    with pytest.raises(LoginRefused):
        XmppConnection(person(0)).open(replace(endpoint, ca_file=None))
    other, _ = certificate(tmp_path / "other")
    with pytest.raises(LoginRefused, match="certificate"):
        XmppConnection(person(0)).open(replace(endpoint, ca_file=str(other)))
    with pytest.raises(LoginRefused, match="not-authorized"):
        XmppConnection(Person(0, "u0", "wrong"), mechanisms=["PLAIN"]).open(endpoint)
    one = opened(endpoint, 0, mechanisms=["PLAIN"])
    two = opened(endpoint, 1)
    for number in range(100):
        one.send(Message(f"m{number}", "u1", "x" * 20_000))  # more than a socket holds
    acknowledging = gevent.spawn(events, one, 100, Acknowledged)
    assert [event.message_id for event in events(two, 100, Delivered)] == [f"m{n}" for n in range(100)]
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
    ours.send(Message("hello", "u0", "to slixmpp"))
    (delivered,) = events(ours, 1, Delivered)
    assert (delivered.sender, delivered.body) == ("u0", "from slixmpp")
    seen = running.result(PATIENCE_S)
    assert seen["roster"] == [f"u1@{DOMAIN}", f"u7@{DOMAIN}"]
    assert seen["presence"] == f"u1@{DOMAIN}"
    assert "urn:xmpp:ping" in seen["features"]
    assert seen["acked"] == "from slixmpp"
    assert seen["message"] == (f"u1@{DOMAIN}", "to slixmpp")
    ours.close()

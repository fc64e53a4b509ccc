"""The XMPP client against servers that behave otherwise than ours: real sockets, scripted answers."""

import re
from collections.abc import Callable, Iterator

import gevent
import gevent.event
import gevent.server
import gevent.socket
import pytest
from scramp import ScramMechanism

from bench.load.clients import ConnectionLost, LoginRefused
from bench.load.clients.xmpp import CONFIRM_ANYWAY, PING, XmppConnection
from bench.load.clients.xmpp_sasl import choose, login
from bench.records import Endpoint, Person
from tests.unit.clients.ear import Ear, message

PATIENCE_S = 10
SM = "urn:xmpp:sm:3"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' id='1' version='1.0' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)


class Peer:
    """The other end of one connection, in the hands of a script."""

    def __init__(self, sock: gevent.socket.socket) -> None:
        self.socket = sock
        self.seen = ""
        self.history = ""

    def say(self, text: str) -> None:
        self.socket.sendall(text.encode())

    def until(self, pattern: str) -> "re.Match[str]":
        """Wait for `pattern` and take everything up to it."""
        while (match := re.search(pattern, self.seen)) is None:
            data = self.socket.recv(65_536)
            if not data:
                raise ConnectionLost("the client left")
            self.seen += data.decode()
        self.history += self.seen[: match.end()]
        self.seen = self.seen[match.end() :]
        return match

    def log_in(self, password: str = "open sesame") -> None:
        """Take one person in, the SCRAM-SHA-1 way, as far as the initial presence."""
        self.until("<stream:stream [^>]*>")
        self.say(
            f"{HEADER}<stream:features><mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism>"
            "<mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>"
        )
        mechanism = ScramMechanism("SCRAM-SHA-1")
        server = mechanism.make_server(lambda _: mechanism.make_auth_info(password))
        server.set_client_first(_decoded(self.until("<auth [^>]*>([^<]*)</auth>")[1]))
        self.say(f"<challenge xmlns='{SASL}'>{_encoded(server.get_server_first())}</challenge>")
        server.set_client_final(_decoded(self.until("<response [^>]*>([^<]*)</response>")[1]))
        self.say(f"<success xmlns='{SASL}'>{_encoded(server.get_server_final())}</success>")
        self.until("<stream:stream [^>]*>")
        self.say(
            f"{HEADER}<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
            f"<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/><sm xmlns='{SM}'/></stream:features>"
        )
        self.until("</iq>")
        self.say("<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        self.until("</iq>")
        self.say("<iq type='result' id='session'/>")
        self.until("<enable [^>]*/>")
        self.say(f"<enabled xmlns='{SM}'/>")
        self.until("<presence/>")
        self.say("<iq type='result' id='roster'><query xmlns='jabber:iq:roster'/></iq>")


def _encoded(text: str) -> str:
    from base64 import b64encode

    return b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    from base64 import b64decode

    return b64decode(text).decode()


Serve = Callable[[Callable[[Peer], None]], Endpoint]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(script)` runs `script` on every connection; the test fails where a script does."""
    servers: list[gevent.server.StreamServer] = []
    errors: list[BaseException] = []

    def _serve(script: Callable[[Peer], None]) -> Endpoint:
        def handle(sock: gevent.socket.socket, _: object) -> None:
            with sock:
                try:
                    script(Peer(sock))
                except (ConnectionLost, OSError):
                    pass  # the client left
                except BaseException as error:
                    errors.append(error)
                    raise

        server = gevent.server.StreamServer(("127.0.0.1", 0), handle)
        server.start()
        servers.append(server)
        assert server.server_port is not None
        return Endpoint("127.0.0.1", server.server_port)

    yield _serve
    for server in servers:
        server.stop(timeout=1)
    assert not errors


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def connection() -> Iterator[XmppConnection]:
    opened = XmppConnection(Person(0, "u0", "open sesame"))
    with gevent.Timeout(PATIENCE_S):
        yield opened
    opened.close()


def test_a_server_that_only_answers_is_asked_one_question_at_a_time(
    serve: Serve, connection: XmppConnection, ear: Ear
) -> None:
    asked = []

    def script(peer: Peer) -> None:
        peer.log_in()
        handled = 2  # roster and presence
        while True:
            question = peer.until(r"<r xmlns='urn:xmpp:sm:3'/>")
            handled += peer.history.count("</message>")
            peer.history = ""
            assert "<r " not in peer.seen, "a second question before the answer"
            asked.append(question)
            peer.say(f"<a xmlns='{SM}' h='{handled}'/>")

    connection.open(serve(script), ear)
    ids = [f"m{number}" for number in range(300)]
    for message_id in ids[:200]:
        connection.send(message(message_id, "u1", "x"))
    acknowledged = ear.hear(150)
    for message_id in ids[200:]:
        connection.send(message(message_id, "u1", "x"))
    acknowledged += ear.hear(150)
    assert acknowledged == [("acknowledged", message_id) for message_id in ids]
    assert len(asked) < 10


def test_an_answer_that_covers_nothing_does_not_set_off_a_storm_of_questions(
    serve: Serve, connection: XmppConnection, ear: Ear
) -> None:
    questions = []

    def script(peer: Peer) -> None:
        peer.log_in()
        for handled in (2, 2, 3):
            questions.append(peer.until(r"<r xmlns='urn:xmpp:sm:3'/>"))
            peer.say(f"<a xmlns='{SM}' h='{handled}'/>")
        peer.until("</stream:stream>")

    connection.open(serve(script), ear)
    connection.send(message("m1", "u1", "x"))
    assert ear.hear(1) == [("acknowledged", "m1")]
    assert len(questions) == 3


def test_a_server_that_acknowledges_unasked_is_not_asked_again(
    serve: Serve, connection: XmppConnection, ear: Ear
) -> None:
    histories = []

    def script(peer: Peer) -> None:
        peer.log_in()
        durable = 2
        while peer.until("</message>|<r [^>]*/>|</stream:stream>")[0] != "</stream:stream>":
            if peer.history.endswith("</message>"):
                durable += 1
                gevent.sleep(0)  # the disk; a question that comes now is answered before it is done
            peer.say(f"<a xmlns='{SM}' h='{durable}'/>")
        histories.append(peer.history)

    connection.open(serve(script), ear)
    connection.send(message("m0", "u1", "x"))
    assert ear.hear(1) == [("acknowledged", "m0")]
    for number in range(1, 51):
        connection.send(message(f"m{number}", "u1", "x"))
        assert ear.hear(1) == [("acknowledged", f"m{number}")]
    connection.close()
    while not histories:
        gevent.sleep(0)
    assert histories[0].count("<r ") <= 2


def test_received_messages_are_confirmed_and_questions_answered(
    serve: Serve, connection: XmppConnection, ear: Ear
) -> None:
    confirmed: list[str] = []
    pong: list[str] = []

    def script(peer: Peer) -> None:
        peer.log_in()
        peer.say(
            "<message from='u3@d/x' id='a' type='chat'><body>one</body></message>"
            "<message from='u4@d' id='b'><body>two</body><delay xmlns='urn:xmpp:delay'/></message>"
            "<presence from='u4@d/x'/><message from='u4@d'><composing xmlns='x'/></message>"
        )
        confirmed.append(peer.until("<a [^>]*h='([0-9]+)'/>")[1])
        peer.say("<iq type='get' id='p' from='d'><ping xmlns='urn:xmpp:ping'/></iq>")
        pong.append(peer.until("<iq [^>]*/>")[0])
        peer.say(f"<r xmlns='{SM}'/>")
        confirmed.append(peer.until("<a [^>]*h='([0-9]+)'/>")[1])
        peer.say("<message from='u3@d' id='c'><body>end</body></message>")
        peer.until("</stream:stream>")

    connection.open(serve(script), ear)
    assert ear.hear(3) == [
        ("delivered", "a", "u3", "one", ""),
        ("delivered", "b", "u4", "two", ""),
        ("delivered", "c", "u3", "end", ""),
    ]
    # The roster's answer is the first stanza since <enabled/>; then three messages and a presence.
    assert confirmed == ["5", "6"]
    assert pong == ["<iq type='result' id='p' to='d'/>"]


def test_a_server_that_must_be_asked_is_told_what_came_when_it_asks_or_after_many(
    serve: Serve, connection: XmppConnection, ear: Ear
) -> None:
    confirmed: list[str] = []

    def script(peer: Peer) -> None:
        peer.log_in()
        peer.until("<r [^>]*/>")
        peer.say(f"<a xmlns='{SM}' h='3'/>")  # answers when it is asked, and only then
        for number in range(CONFIRM_ANYWAY - 1):
            peer.say(f"<message from='u3@d' id='{number}'><body>x</body></message>")
        peer.say(f"<iq type='get' id='p' from='d'><ping xmlns='{PING}'/></iq>")
        peer.until("<iq [^>]*/>")
        assert "<a " not in peer.history.partition("<r ")[2]
        peer.say(f"<r xmlns='{SM}'/>")
        confirmed.append(peer.until("<a [^>]*h='([0-9]+)'/>")[1])
        for number in range(CONFIRM_ANYWAY):
            peer.say(f"<message from='u3@d' id='again-{number}'><body>x</body></message>")
        confirmed.append(peer.until("<a [^>]*h='([0-9]+)'/>")[1])
        peer.until("</stream:stream>")

    connection.open(serve(script), ear)
    connection.send(message("m", "u3", "hello"))
    assert ear.hear(1) == [("acknowledged", "m")]
    assert len(ear.hear(2 * CONFIRM_ANYWAY - 1)) == 2 * CONFIRM_ANYWAY - 1
    while len(confirmed) < 2:
        gevent.sleep(0.001)
    # The roster's answer came first, and the ping after the first messages.
    assert confirmed == [str(CONFIRM_ANYWAY + 1), str(2 * CONFIRM_ANYWAY + 1)]


def test_a_refused_message_is_not_also_acknowledged(
    serve: Serve, connection: XmppConnection, ear: Ear
) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        peer.until("</message>")
        peer.until("</message>")
        peer.say(
            "<message type='error' id='m1'><error type='cancel'>"
            "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
            f"<a xmlns='{SM}' h='4'/>"
        )
        peer.until("</stream:stream>")

    connection.open(serve(script), ear)
    connection.send(message("m1", "u1", "x"))
    connection.send(message("m2", "u1", "x"))
    assert ear.hear(2) == [("refused", "m1", "item-not-found"), ("acknowledged", "m2")]


def test_sending_never_waits_for_a_server_that_does_not_read(
    serve: Serve, connection: XmppConnection, ear: Ear
) -> None:
    go_on = gevent.event.Event()

    def script(peer: Peer) -> None:
        peer.log_in()
        go_on.wait()
        data = b""
        while not data.endswith(b"id='last' type='chat'><body></body></message>"):
            data = data[-100:] + peer.socket.recv(1 << 20)
        peer.say(f"<a xmlns='{SM}' h='1002'/>")
        peer.until("</stream:stream>")

    connection.open(serve(script), ear)
    for number in range(999):
        connection.send(message(f"m{number}", "u1", "x" * 20_000))  # 20 MB, far more than sockets hold
    connection.send(message("last", "u1", ""))
    go_on.set()
    ids = [*(f"m{number}" for number in range(999)), "last"]
    assert ear.hear(1000) == [("acknowledged", message_id) for message_id in ids]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ("<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", LoginRefused, "does not serve"),
        ("<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", ConnectionLost, "system-shutdown"),
        (f"<stream:features><mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms></stream:features>", LoginRefused, "offers PLAIN"),
        ("</stream:stream>", ConnectionLost, "closed"),
        ("<nonsense", ConnectionLost, "closed"),
    ],
)  # fmt: skip
def test_a_login_that_cannot_be_is_told_from_one_that_may_yet(
    serve: Serve, connection: XmppConnection, ear: Ear, answer: str, error: type[Exception], words: str
) -> None:
    def script(peer: Peer) -> None:
        peer.until("<stream:stream [^>]*>")
        peer.say(HEADER + answer)

    with pytest.raises(error, match=words):
        connection.open(serve(script), ear)


def test_a_server_that_does_not_know_the_password_is_not_believed(
    serve: Serve, connection: XmppConnection, ear: Ear
) -> None:
    def script(peer: Peer) -> None:
        peer.until("<stream:stream [^>]*>")
        peer.say(
            f"{HEADER}<stream:features><mechanisms xmlns='{SASL}'><mechanism>SCRAM-SHA-1</mechanism>"
            "</mechanisms></stream:features>"
        )
        mechanism = ScramMechanism("SCRAM-SHA-1")
        server = mechanism.make_server(lambda _: mechanism.make_auth_info("something else"))
        server.set_client_first(_decoded(peer.until("<auth [^>]*>([^<]*)</auth>")[1]))
        peer.say(f"<challenge xmlns='{SASL}'>{_encoded(server.get_server_first())}</challenge>")
        peer.until("</response>")
        peer.say(f"<success xmlns='{SASL}'>{_encoded('v=' + _encoded('x' * 20))}</success>")
        peer.until("</stream:stream>")

    with pytest.raises(LoginRefused, match="signature"):
        connection.open(serve(script), ear)


def test_nobody_listening_is_a_lost_connection(connection: XmppConnection, ear: Ear) -> None:
    with gevent.socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ConnectionLost):
        connection.open(Endpoint("127.0.0.1", port), ear)
    connection.send(message("m", "u1", "x"))
    assert ear.told == []


def test_scram_gives_the_proof_of_the_standard() -> None:
    exchange = login("SCRAM-SHA-256", "user", "pencil")
    # RFC 7677, chapter 3
    exchange.c_nonce = type(exchange.c_nonce)("rOprNGfwEbeRWgbNEkqO")
    assert exchange.get_client_first() == "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    exchange.set_server_first(
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert exchange.get_client_final() == (
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    exchange.set_server_final("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def test_plain_is_never_chosen_in_the_clear() -> None:
    wanted = ("SCRAM-SHA-256", "PLAIN")
    assert choose(["PLAIN"], secure=False, wanted=wanted) is None
    assert choose(["PLAIN"], secure=True, wanted=wanted) == "PLAIN"
    assert choose(["PLAIN", "SCRAM-SHA-256"], secure=True, wanted=wanted) == "SCRAM-SHA-256"

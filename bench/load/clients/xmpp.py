"""A person's connection to the monolith, or to any XMPP server that has accounts like it.

RFC 6120 and 6121 with XEP-0198: a message counts as acknowledged when the server's `<a/>` covers it.
Some servers send that unasked; others must be asked, and then there is one `<r/>` under way whenever
something is unacknowledged. Which kind this one is shows by itself: it has answered more often than
it was asked.
"""

import contextlib
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import gevent
from scramp import ScramException

from bench.load.clients import (
    Acknowledged,
    ConnectionLost,
    Delivered,
    Event,
    LoginRefused,
    Message,
    Refused,
)
from bench.load.clients.xmpp_sasl import MECHANISMS, choose, login
from bench.load.clients.xmpp_stream import Stanza, StreamReader, escape
from bench.load.clients.xmpp_wire import Wire
from bench.records import Endpoint, Person

LOGIN_TIMEOUT_S = 10.0
ASK_AGAIN_S = 0.5
"""After an answer that covered nothing new, the next question waits so long (or for the next send)."""
ASK_ANYWAY = 256
"""So many unacknowledged messages have even a server asked that acknowledges unasked."""

STREAMS = "http://etherx.jabber.org/streams"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SESSION = "urn:ietf:params:xml:ns:xmpp-session"
SM = "urn:xmpp:sm:3"
PING = "urn:xmpp:ping"
STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"

MESSAGE: Final = "jabber:client message"
IQ: Final = "jabber:client iq"
PRESENCE: Final = "jabber:client presence"
BODY: Final = "jabber:client body"
ANSWER: Final = f"{SM} a"
QUESTION: Final = f"{SM} r"
COUNTER: Final = 1 << 32
_ASK = f"<r xmlns='{SM}'/>".encode()


class XmppConnection:
    """One person's connection over XMPP, as `resource` of their account at `domain`.

    The resource stays the same, so that a new connection takes the place of one whose end the
    server has not noticed yet.
    """

    def __init__(
        self,
        person: Person,
        domain: str = "threegen.example",
        resource: str = "threegen",
        mechanisms: Sequence[str] = (*MECHANISMS, "PLAIN"),
    ) -> None:
        self._person = person
        self._domain = domain
        self._resource = resource
        self._mechanisms = mechanisms
        self._wire: Wire | None = None
        self._forget()

    def _forget(self) -> None:
        """Start a stream's life: nothing in it outlives the TCP connection."""
        self._reader = StreamReader()
        self._unread: deque[Stanza] = deque()
        self._ready: deque[Event] = deque()
        self._managed = False
        self._sent = 0
        self._heard = 0
        self._asked = 0
        self._answered = 0
        self._asking_later = False
        self._unacknowledged: deque[tuple[int, str]] = deque()
        self._refused: set[str] = set()
        self._received = 0
        self._must_confirm = False

    def open(self, endpoint: Endpoint) -> None:
        """Connect, log in, and be ready to send and receive; raises ConnectionLost or LoginRefused."""
        self.close()
        self._forget()
        try:
            with gevent.Timeout(LOGIN_TIMEOUT_S, ConnectionLost(f"no login within {LOGIN_TIMEOUT_S:g} s")):
                self._wire = Wire(endpoint.host, endpoint.port)
                self._log_in(endpoint.ca_file)
        except BaseException:
            self.close()
            raise

    def send(self, message: Message) -> None:
        """Write the message out; never waits.

        Raises ConnectionLost, or ValueError for a character that XML cannot hold.
        """
        wire = self._wire
        if wire is None:
            raise ConnectionLost("not connected")
        text = (
            f"<message to='{escape(message.addressee)}@{self._domain}' id='{escape(message.message_id)}' "
            f"type='chat'><body>{escape(message.body)}</body></message>"
        )
        self._sent += 1
        self._unacknowledged.append((self._sent, message.message_id))
        if self._asked == self._answered or (
            self._asked < self._answered and len(self._unacknowledged) >= ASK_ANYWAY
        ):
            self._asked = self._answered + 1
            wire.write(text.encode() + _ASK)
        else:
            wire.write(text.encode())

    def events(self) -> Iterator[Event]:
        """Acknowledgements, refusals and deliveries as they come; raises ConnectionLost at the end.

        Received messages are acknowledged to the server once those read together were all taken.
        """
        ready = self._ready
        while True:
            while ready:
                yield ready.popleft()
            if self._must_confirm and not self._unread:
                self._confirm()
            self._take(self._next())

    def close(self) -> None:
        """Close the stream and the connection; never raises."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        with contextlib.suppress(ConnectionLost):
            wire.write(b"</stream:stream>")
        wire.close()

    # Logging in

    def _log_in(self, ca_file: str | None) -> None:
        features = self._open_stream()
        if ca_file is not None:
            if not _offers(features, f"{TLS} starttls"):
                raise LoginRefused("the server offers no STARTTLS")
            self._write(f"<starttls xmlns='{TLS}'/>")
            if self._next().name != f"{TLS} proceed":
                raise LoginRefused("the server refused STARTTLS")
            self._connected().secure(ca_file, self._domain)
            features = self._open_stream()
        self._authenticate(features, secure=ca_file is not None)
        features = self._open_stream()
        if not _offers(features, f"{SM} sm"):
            raise LoginRefused("the server offers no XEP-0198, so nothing would be acknowledged")
        self._bind(features)

    def _open_stream(self) -> Stanza:
        """Open or restart the stream; the features the server offers then."""
        self._reader = StreamReader()
        self._unread.clear()
        self._write(
            f"<?xml version='1.0'?><stream:stream to='{escape(self._domain)}' version='1.0' "
            f"xmlns='jabber:client' xmlns:stream='{STREAMS}'>"
        )
        features = self._next()
        if features.name != f"{STREAMS} features":
            raise ConnectionLost(f"expected stream features, got {features.name}")
        return features

    def _authenticate(self, features: Stanza, *, secure: bool) -> None:
        offered = features.texts(f"{SASL} mechanism")
        mechanism = choose(offered, secure=secure, wanted=self._mechanisms)
        if mechanism is None:
            raise LoginRefused(f"no common mechanism; the server offers {', '.join(offered) or 'none'}")
        if mechanism == "PLAIN":
            self._say("auth", f"\0{self._person.name}\0{self._person.password}", mechanism)
            self._expect_sasl("success")
            return
        exchange = login(mechanism, self._person.name, self._person.password)
        self._say("auth", exchange.get_client_first(), mechanism)
        try:
            exchange.set_server_first(self._expect_sasl("challenge"))
            self._say("response", exchange.get_client_final())
            exchange.set_server_final(self._expect_sasl("success"))
        except ScramException as error:
            raise LoginRefused(f"{mechanism}: {error}") from error

    def _say(self, local: str, text: str, mechanism: str | None = None) -> None:
        named = f" mechanism='{mechanism}'" if mechanism else ""
        self._write(f"<{local} xmlns='{SASL}'{named}>{b64encode(text.encode()).decode()}</{local}>")

    def _expect_sasl(self, local: str) -> str:
        stanza = self._next()
        if stanza.name == f"{SASL} {local}":
            try:
                return b64decode(stanza.text).decode()
            except ValueError as error:
                raise ConnectionLost(f"<{local}/> is not base 64") from error
        if stanza.name == f"{SASL} failure":
            condition = _condition(stanza, SASL)
            if condition == "temporary-auth-failure":
                raise ConnectionLost(condition)
            raise LoginRefused(condition)
        raise ConnectionLost(f"expected <{local}/>, got {stanza.name}")

    def _bind(self, features: Stanza) -> None:
        self._write(
            f"<iq type='set' id='bind'><bind xmlns='{BIND}'><resource>{escape(self._resource)}</resource>"
            f"</bind></iq>"
        )
        self._expect_result("bind")
        if _offers(features, f"{SESSION} session") and not _offers(features, f"{SESSION} optional"):
            self._write(f"<iq type='set' id='session'><session xmlns='{SESSION}'/></iq>")
            self._expect_result("session")
        self._write(f"<enable xmlns='{SM}'/>")
        while (stanza := self._next()).name != f"{SM} enabled":
            if stanza.name == f"{SM} failed":
                raise LoginRefused(f"XEP-0198: {_condition(stanza, STANZA_ERRORS)}")
            self._take(stanza)
        self._managed = True
        self._write("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>")
        self._sent = 2
        self._expect_result("roster")

    def _expect_result(self, identity: str) -> None:
        while True:
            stanza = self._next()
            self._take(stanza)
            if stanza.name == IQ and stanza.attributes.get("id") == identity:
                if stanza.attributes.get("type") != "result":
                    raise LoginRefused(f"{identity}: {_condition(stanza, STANZA_ERRORS)}")
                return

    # The stream

    def _connected(self) -> Wire:
        if self._wire is None:
            raise ConnectionLost("closed")
        return self._wire

    def _write(self, text: str) -> None:
        self._connected().write(text.encode())

    def _next(self) -> Stanza:
        """The next element of the stream; waits for it. Raises ConnectionLost."""
        unread = self._unread
        while not unread:
            if self._reader.closed:
                raise ConnectionLost("the server closed the stream")
            unread.extend(self._reader.feed(self._connected().read()))
        stanza = unread.popleft()
        if stanza.name == f"{STREAMS} error":
            condition = _condition(stanza, STREAM_ERRORS)
            if condition == "host-unknown":
                raise LoginRefused(f"the server does not serve {self._domain}")
            raise ConnectionLost(condition)
        return stanza

    def _take(self, stanza: Stanza) -> None:
        name = stanza.name
        if name == MESSAGE:
            self._received += self._managed
            self._must_confirm = True
            self._take_message(stanza)
        elif name == ANSWER:
            self._acknowledged(stanza.attributes.get("h", ""))
        elif name == QUESTION:
            self._must_confirm = True
        elif name == PRESENCE:
            self._received += self._managed
        elif name == IQ:
            self._received += self._managed
            if stanza.attributes.get("type") in {"get", "set"}:
                self._answer(stanza)

    def _take_message(self, stanza: Stanza) -> None:
        attributes = stanza.attributes
        message_id = attributes.get("id", "")
        if attributes.get("type") == "error":
            self._refused.add(message_id)
            self._ready.append(Refused(message_id, _condition(stanza, STANZA_ERRORS)))
            return
        for element in stanza.inside:
            if element.name == BODY:
                sender = attributes.get("from", "").partition("@")[0]
                self._ready.append(Delivered(message_id, sender, element.text))
                return

    def _acknowledged(self, count: str) -> None:
        if not count.isdecimal():
            raise ConnectionLost(f"the server acknowledged {count!r} stanzas")
        self._answered += 1
        advance = (int(count) - self._heard) % COUNTER
        if advance > self._sent - self._heard:
            raise ConnectionLost(f"the server acknowledged {count} stanzas of {self._sent}")
        self._heard += advance
        waiting = self._unacknowledged
        while waiting and waiting[0][0] <= self._heard:
            message_id = waiting.popleft()[1]
            if message_id in self._refused:
                self._refused.discard(message_id)
            else:
                self._ready.append(Acknowledged(message_id))
        if waiting and self._asked == self._answered:
            if advance:
                self._ask()
            elif not self._asking_later:
                # The server answers before it has taken charge: asking at once again would only spin.
                self._asking_later = True
                gevent.spawn_later(ASK_AGAIN_S, self._ask_again, self._connected())

    def _ask(self) -> None:
        self._asked = self._answered + 1
        self._connected().write(_ASK)

    def _ask_again(self, wire: Wire) -> None:
        if wire is not self._wire:
            return  # another connection's life
        self._asking_later = False
        if self._unacknowledged and self._asked == self._answered:
            with contextlib.suppress(ConnectionLost):
                self._ask()

    def _confirm(self) -> None:
        self._must_confirm = False
        self._write(f"<a xmlns='{SM}' h='{self._received % COUNTER}'/>")

    def _answer(self, stanza: Stanza) -> None:
        """Answer a server that asks; it would take silence for a lost connection."""
        identity = escape(stanza.attributes.get("id", ""))
        sender = stanza.attributes.get("from")
        to = f" to='{escape(sender)}'" if sender else ""
        if any(element.name == f"{PING} ping" for element in stanza.inside):
            self._write(f"<iq type='result' id='{identity}'{to}/>")
        else:
            self._write(
                f"<iq type='error' id='{identity}'{to}><error type='cancel'>"
                f"<service-unavailable xmlns='{STANZA_ERRORS}'/></error></iq>"
            )
        self._sent += self._managed


def _offers(features: Stanza, name: str) -> bool:
    return any(element.name == name for element in features.inside)


def _condition(stanza: Stanza, namespace: str) -> str:
    """The condition inside an error; `undefined-condition` where it names none."""
    for element in stanza.inside:
        space, _, local = element.name.rpartition(" ")
        if space == namespace and local != "text":
            return local
    return "undefined-condition"

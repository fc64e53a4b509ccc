"""A person's connection to the monolith, or to any XMPP server that has accounts like it.

RFC 6120 and 6121 with XEP-0198: a message counts as acknowledged when the server's `<a/>` covers it.
Some servers send that unasked; others must be asked, and then there is one `<r/>` under way whenever
something is unacknowledged. Which kind this one is shows by itself: it has answered more often than
it was asked. It is treated in kind: what this side has received it confirms unasked to a server that does
so too, or is not known yet; to another when it asks (XEP-0198, section 4), or has not for CONFIRM_ANYWAY
messages.
"""

import functools
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from gevent import get_hub
from scramp import ScramException

from bench.load.clients import ConnectionLost, Listener, LoginRefused, Request
from bench.load.clients.wire import Wire, within
from bench.load.clients.xmpp_sasl import MECHANISMS, choose, login
from bench.load.clients.xmpp_stream import Stanza, StreamReader, escape
from bench.records import Endpoint, Person

LOGIN_TIMEOUT_S = 10.0
ASK_AGAIN_S = 0.5
"""After an answer that covered nothing new, the next question waits so long (or for the next send)."""
ASK_ANYWAY = 256
"""So many unacknowledged messages have even a server asked that acknowledges unasked."""
CONFIRM_ANYWAY = 16
"""So many messages are confirmed even to a server that has not asked."""

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
ERROR: Final = f"{STREAMS} error"
ANSWER: Final = f"{SM} a"
QUESTION: Final = f"{SM} r"
COUNTER: Final = 1 << 32
_escaped = functools.lru_cache(4_096)(escape)
"""For what is said again and again: names, and bodies, which come from a stock."""
_ASK: Final = f"<r xmlns='{SM}'/>".encode()
_CONFIRM: Final = f"<a xmlns='{SM}' h='%d'/>".encode()
_PRESENCES: Final = {
    "available": "<presence/>",
    "away": "<presence><show>away</show></presence>",
    "dnd": "<presence><show>dnd</show></presence>",
}
_ROSTER: Final = "<query xmlns='jabber:iq:roster'/>"


class XmppConnection:
    """One person's connection over XMPP, as `resource` of their account; a bench.load.clients.Connection.

    The resource stays the same, so that a new connection takes the place of one whose end the
    server has not noticed yet. Groups are rooms (XEP-0045) at `groups.` and the domain, in which a
    person goes by the name of their account; they are not joined, membership is the server's to know.
    """

    __slots__ = (
        *("_answered", "_asked", "_asking_later", "_at_domain", "_at_groups", "_domain", "_heard"),
        *("_listener", "_managed", "_mechanisms", "_must_confirm", "_person", "_reader", "_ready"),
        *("_received", "_refused", "_resource", "_sent", "_unacknowledged", "_unconfirmed"),
        *("_unread", "_wire"),
    )

    position = 0
    """The protocol counts none: what was delivered is gone from the server."""

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
        self._at_domain = f"@{escape(domain)}' id='"
        self._at_groups = f"@groups.{escape(domain)}' id='"
        self._wire: Wire | None = None
        self._listener: Listener | None = None
        self._asking_later: Any = None
        self._forget()

    def _forget(self) -> None:
        """Start a stream's life: nothing in it outlives the TCP connection."""
        self._reader = StreamReader()
        self._unread: list[Stanza] = []
        self._ready = False
        self._managed = False
        self._sent = 0
        self._heard = 0
        self._asked = 0
        self._answered = 0
        self._unacknowledged: deque[tuple[int, str]] = deque()
        self._refused: set[str] = set()
        self._received = 0
        self._must_confirm = False
        self._unconfirmed = 0

    def open(self, endpoint: Endpoint, listener: Listener) -> None:
        """Connect, log in, and be ready to send and receive; raises ConnectionLost or LoginRefused."""
        self.close()
        self._forget()
        self._listener = listener
        try:
            with within(LOGIN_TIMEOUT_S):
                wire = self._wire = Wire(endpoint.host, endpoint.port)
                self._log_in(endpoint.ca_file)
            self._ready = True
            unread, self._unread = self._unread, []
            self._take_all(unread)
        except BaseException:
            self.close()
            raise
        wire.listen(self._read, listener.lost, listener.failed)

    def send(self, request: Request) -> None:
        """Write the request out; never waits, never raises.

        What cannot be said in XMPP, such as a body that XML cannot hold, ends the connection as a defect.
        """
        wire = self._wire
        if wire is None:
            return
        operation, request_id, target, body, _ = request
        try:
            if operation == "send":
                text = (
                    f"<message to='{_escaped(target)}{self._at_domain}{escape(request_id)}' type='chat'>"
                    f"<body>{_escaped(body)}</body></message>"
                )
            elif operation == "group_send":
                text = (
                    f"<message to='{_escaped(target)}{self._at_groups}{escape(request_id)}' type='groupchat'>"
                    f"<body>{_escaped(body)}</body></message>"
                )
            elif operation == "sync":
                text = f"<iq type='get' id='{escape(request_id)}'>{_ROSTER}</iq>"
            else:
                text = _PRESENCES[target]
        except (ValueError, KeyError) as error:
            self.close()
            assert self._listener is not None
            self._listener.failed(error)
            return
        self._sent += 1
        if operation == "sync":
            wire.write(text.encode())  # its result is the answer
            return
        self._unacknowledged.append((self._sent, request_id))
        if operation == "presence":  # a server that acknowledges messages unasked may not do so for these
            self._asked += 1
            wire.write(text.encode() + _ASK)
        elif self._asked == self._answered or (
            self._asked < self._answered and len(self._unacknowledged) >= ASK_ANYWAY
        ):
            self._asked = self._answered + 1
            wire.write(text.encode() + _ASK)
        else:
            wire.write(text.encode())

    def close(self) -> None:
        """Close the stream and the connection; never raises."""
        wire, self._wire = self._wire, None
        if self._asking_later is not None:
            self._asking_later.close()
            self._asking_later = None
        if wire is not None:
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
        self._unread = []
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
        self._write(f"<iq type='get' id='roster'>{_ROSTER}</iq><presence/>")
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
        """The next element of the stream while opening; waits for it. Raises ConnectionLost."""
        while not self._unread:
            if self._reader.closed:
                raise ConnectionLost("the server closed the stream")
            self._unread = self._reader.feed(self._connected().read())
        stanza = self._unread.pop(0)
        if stanza.name == ERROR:
            self._give_up(stanza)
        return stanza

    def _give_up(self, stanza: Stanza) -> NoReturn:
        condition = _condition(stanza, STREAM_ERRORS)
        if condition == "host-unknown":
            raise LoginRefused(f"the server does not serve {self._domain}")
        raise ConnectionLost(condition)

    def _read(self, data: bytes) -> None:
        """Take what has arrived; messages are confirmed to the server once all read together were taken."""
        self._take_all(self._reader.feed(data))

    def _take_all(self, stanzas: list[Stanza]) -> None:
        for stanza in stanzas:
            self._take(stanza)
            if self._wire is None:
                return  # the listener has closed it
        if self._must_confirm:
            self._must_confirm = False
            self._unconfirmed = 0
            self._connected().write(_CONFIRM % (self._received % COUNTER))
        if self._reader.closed:
            raise ConnectionLost("the server closed the stream")

    def _take(self, stanza: Stanza) -> None:
        name = stanza.name
        if name == MESSAGE:
            self._received += self._managed
            self._unconfirmed += 1
            if self._answered > self._asked or not self._answered or self._unconfirmed >= CONFIRM_ANYWAY:
                self._must_confirm = True
            self._take_message(stanza)
        elif name == ANSWER:
            self._acknowledged(stanza.attributes.get("h", ""))
        elif name == PRESENCE:
            self._received += self._managed
        elif name == IQ:
            self._received += self._managed
            self._take_iq(stanza)
        elif name == QUESTION:
            self._must_confirm = True
        elif name == ERROR:
            self._give_up(stanza)

    def _take_message(self, stanza: Stanza) -> None:
        assert self._listener is not None
        attributes = stanza.attributes
        message_id = attributes.get("id", "")
        kind = attributes.get("type")
        if kind == "error":
            self._refused.add(message_id)
            self._listener.refused(message_id, _condition(stanza, STANZA_ERRORS))
            return
        for element in stanza.inside:
            if element.name == BODY:
                sender, _, host = attributes.get("from", "").partition("@")
                group = ""
                if kind == "groupchat":
                    group, sender = sender, host.partition("/")[2]
                    if sender == self._person.name:
                        return  # their own, come back from the room (XEP-0045, 7.4)
                self._listener.delivered(message_id, sender, element.text, group)
                return

    def _take_iq(self, stanza: Stanza) -> None:
        kind = stanza.attributes.get("type")
        if kind in {"get", "set"}:
            self._answer(stanza)
        elif self._ready:
            assert self._listener is not None
            identity = stanza.attributes.get("id", "")
            if kind == "result":
                self._listener.acknowledged(identity)
            else:
                self._listener.refused(identity, _condition(stanza, STANZA_ERRORS))

    def _acknowledged(self, count: str) -> None:
        if not count.isdecimal():
            raise ConnectionLost(f"the server acknowledged {count!r} stanzas")
        assert self._listener is not None
        self._answered += 1
        advance = (int(count) - self._heard) % COUNTER
        if advance > self._sent - self._heard:
            raise ConnectionLost(f"the server acknowledged {count} stanzas of {self._sent}")
        self._heard += advance
        waiting = self._unacknowledged
        while waiting and waiting[0][0] <= self._heard:
            request_id = waiting.popleft()[1]
            if request_id in self._refused:
                self._refused.discard(request_id)
            else:
                self._listener.acknowledged(request_id)
        if waiting and self._asked == self._answered and self._wire is not None:
            if advance:
                self._ask()
            elif self._asking_later is None:
                # The server answers before it has taken charge: asking at once again would only spin.
                self._asking_later = get_hub().loop.timer(ASK_AGAIN_S)
                self._asking_later.start(self._ask_again)

    def _ask(self) -> None:
        self._asked = self._answered + 1
        self._connected().write(_ASK)

    def _ask_again(self) -> None:
        self._asking_later.close()
        self._asking_later = None
        if self._unacknowledged and self._asked == self._answered:
            self._ask()

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

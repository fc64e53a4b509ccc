"""The monolith's client protocol: RFC 6120 and XEP-0198, as much of them as a client of the harness uses.

Every batch of stanzas read together is acknowledged by one `<a/>`, and each `<r/>` by one more, as the
monolith does: so a client learns that it need not ask.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from scramp import ScramException, ScramMechanism

from services.noop.hub import FORBIDDEN, NOT_FOUND, Hub
from services.noop.outbox import Outbox
from services.xml_tags import TagBuffer

STREAMS = "http://etherx.jabber.org/streams"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SM = "urn:xmpp:sm:3"
MECHANISM = "SCRAM-SHA-256"
_MECHANISMS = f"<mechanisms xmlns='{SASL}'><mechanism>{MECHANISM}</mechanism></mechanisms>"
_CONDITIONS = {NOT_FOUND: "item-not-found", FORBIDDEN: "forbidden"}
_AFTER_LOGIN = f"<bind xmlns='{BIND}'/><sm xmlns='{SM}'/>"


class Accounts:
    """The one salted key that all accounts share, made once."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._mechanism = ScramMechanism(MECHANISM)
        self._key = self._mechanism.make_auth_info(hub.people.password, iteration_count=4096)

    def exchange(self) -> "Exchange":
        """A new SCRAM exchange (RFC 5802)."""
        return Exchange(self._mechanism, self._key_of)

    def _key_of(self, user: str) -> object:
        if self._hub.people.index(user) is None:
            raise ScramException("unknown user")
        return self._key


class Exchange:
    """The server's side of one SCRAM exchange; `user` is who logs in, known after the challenge."""

    def __init__(self, mechanism: ScramMechanism, key_of: Callable[[str], object]) -> None:
        self.user = ""
        self._key_of = key_of
        self._server = mechanism.make_server(self._account)

    def _account(self, user: str) -> object:
        self.user = user
        return self._key_of(user)

    def challenge(self, first: str) -> str:
        """The server's first message; raises ScramException."""
        self._server.set_client_first(first)
        return str(self._server.get_server_first())

    def success(self, final: str) -> str:
        """The server's final message; raises ScramException where the proof is wrong."""
        self._server.set_client_final(final)
        return str(self._server.get_server_final())


class XmppSession(Outbox):
    """One stream: its login, then stanzas."""

    def __init__(self, connections: set[Outbox], hub: Hub, accounts: Accounts, domain: str) -> None:
        super().__init__(connections)
        self._hub = hub
        self._accounts = accounts
        self._domain = domain
        self._user: str | None = None
        self._exchange: Exchange | None = None
        self._online = False
        self._counting = False
        self._handled = 0
        self._owed = 0
        self._restart()

    def gone(self) -> None:
        """Take this person out."""
        if self._online and self._user is not None:
            self._hub.disconnect(self._user, self)

    def data_received(self, data: bytes) -> None:
        """Handle every whole stanza, and acknowledge them together."""
        try:
            self._parser.Parse(self._tags.take(data), False)
        except (expat.ExpatError, ScramException, ValueError, KeyError):
            self.end()
            return
        for _ in range(self._owed):
            self.write(b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % self._handled)
        self._owed = 0

    def deliver(self, message_id: str, sender: str, body: str, group: str = "") -> None:
        """See Receiver. A group is a room (XEP-0045) at `groups.` and the domain."""
        if group:
            origin, kind = f"{group}@groups.{self._domain}/{sender}", "groupchat"
        else:
            origin, kind = f"{sender}@{self._domain}/threegen", "chat"
        self.write(
            f"<message from='{origin}' id={quoteattr(message_id)} type='{kind}'>"
            f"<body>{escape(body)}</body></message>".encode()
        )

    def replaced(self) -> None:
        """See Receiver."""
        self.write(
            b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
            b"</stream:stream>"
        )
        self.end()

    def _restart(self) -> None:
        parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._finish
        parser.CharacterDataHandler = self._characters
        self._parser = parser
        self._tags = TagBuffer()
        self._depth = 0
        self._attributes: dict[str, str] = {}
        self._inside: list[str] = []
        self._text = ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            features = _MECHANISMS if self._user is None else _AFTER_LOGIN
            self.write(
                f"<?xml version='1.0'?><stream:stream from='{self._domain}' id='noop' version='1.0' "
                f"xmlns='jabber:client' xmlns:stream='{STREAMS}'>"
                f"<stream:features>{features}</stream:features>".encode()
            )
        elif self._depth == 2:
            self._attributes, self._inside, self._text = attributes, [], ""
        else:
            self._inside.append(name)

    def _characters(self, text: str) -> None:
        self._text += text

    def _finish(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 1:
            self._stanza(name)
        elif self._depth == 0:
            self.end()

    def _stanza(self, name: str) -> None:
        match name:
            case "jabber:client message":
                self._message()
            case "urn:xmpp:sm:3 a":
                return
            case "urn:xmpp:sm:3 r":
                self._owed += 1
            case "jabber:client iq":
                self._handled += self._counting
                self._iq()
            case "jabber:client presence":
                self._handled += self._counting
            case "urn:xmpp:sm:3 enable":
                self._counting = True
                self.write(b"<enabled xmlns='urn:xmpp:sm:3'/>")
            case _:
                self._authenticate(name)

    def _message(self) -> None:
        if self._user is None or not self._online:
            raise ValueError("a message before login")
        self._handled += 1
        if not self._owed:
            self._owed = 1
        message_id = self._attributes["id"]
        addressee = self._attributes["to"].partition("@")[0]
        if self._attributes.get("type") == "groupchat":
            refused = self._hub.send_to_group(message_id, self._user, addressee, self._text)
        else:
            refused = None if self._hub.send(message_id, self._user, addressee, self._text) else NOT_FOUND
        if refused is not None:
            condition = f"<{_CONDITIONS[refused]} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            self.write(
                f"<message type='error' id={quoteattr(message_id)}><error type='cancel'>{condition}"
                f"</error></message>".encode()
            )

    def _iq(self) -> None:
        identity = quoteattr(self._attributes.get("id", ""))
        inside = ""
        if self._user is not None and f"{BIND} bind" in self._inside:
            address = f"{self._user}@{self._domain}/{self._text or 'threegen'}"
            inside = f"<bind xmlns='{BIND}'><jid>{escape(address)}</jid></bind>"
            self._online = True
            self._hub.connect(self._user, self)
        self.write(f"<iq type='result' id={identity}>{inside}</iq>".encode())

    def _authenticate(self, name: str) -> None:
        said = b64decode(self._text).decode()
        if name == f"{SASL} auth":
            if self._attributes.get("mechanism") != MECHANISM:
                self._fail("invalid-mechanism")
                return
            self._exchange = self._accounts.exchange()
            self._answer("challenge", lambda exchange: exchange.challenge(said))
        elif name == f"{SASL} response" and self._exchange is not None:
            self._answer("success", lambda exchange: exchange.success(said))
        else:
            raise ValueError(f"unexpected {name}")

    def _answer(self, kind: str, step: Callable[[Exchange], str]) -> None:
        assert self._exchange is not None
        try:
            answer = step(self._exchange)
        except ScramException:
            self._fail("not-authorized")
            return
        self.write(f"<{kind} xmlns='{SASL}'>{b64encode(answer.encode()).decode()}</{kind}>".encode())
        if kind == "success":
            self._user = self._exchange.user
            self._restart()  # what follows is a new stream (RFC 6120 section 6.4.6), in a read of its own

    def _fail(self, condition: str) -> None:
        self.write(f"<failure xmlns='{SASL}'><{condition}/></failure>".encode())
        self.end()

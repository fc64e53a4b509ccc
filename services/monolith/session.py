"""One client's connection: the stream's negotiation, then its stanzas (RFC 6120, RFC 6121, XEP-0198).

Its life is a row of states, each a method that takes the next element: `_negotiate` until the person
is known, `_await_bind` until a resource is bound, `_serve` from then on.
"""

import asyncio
import secrets
import ssl
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from typing import cast

from services.monolith import iq
from services.monolith.account import Account, Connected
from services.monolith.domain import Domain, directed_presence
from services.monolith.records import Message
from services.monolith.rooms import addressed
from services.monolith.sasl import SCRAM_MECHANISMS, Denied, ScramExchange, decode
from services.monolith.stanza import (
    CLIENT,
    STANZA_ERRORS,
    STREAM_ERRORS,
    STREAMS,
    Element,
    attribute,
    error,
    text,
    write_inner,
)
from services.monolith.stream import StreamParser

TLS = "urn:ietf:params:xml:ns:xmpp-tls"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SESSION = "urn:ietf:params:xml:ns:xmpp-session"
SM = "urn:xmpp:sm:3"
DELAY = "urn:xmpp:delay"

LOGIN_TIMEOUT_S = 30.0
TLS_TIMEOUT_S = 10.0
GOODBYE_TIMEOUT_S = 5.0
LOGIN_ATTEMPTS = 3
COUNTER = 1 << 32
"""XEP-0198 counters start again from 0 after 2^32-1 (its chapter 4)."""


class Session(asyncio.Protocol):
    """One connection. `account` is None until a resource is bound, and after the session was detached.

    XEP-0198, inbound: of the `received` stanzas those up to `durable` may be acknowledged, and all of
    them while no message is `committing`. Outbound: of the `_sent` the client has acknowledged
    `_heard`; `_unacknowledged` holds messages with their positions. `_*_before` is what came before
    `<enable/>`, which the counters on the wire leave out.
    """

    def __init__(self, domain: Domain, tls: ssl.SSLContext | None, max_stanza_bytes: int) -> None:
        self.account: Account | None = None
        self.resource = ""
        self.jid = ""
        self.written_jid = ""
        self.available = False
        self.priority = 0
        self.presence_inner = ""
        self.paused = False
        self.received = 0
        self.durable = 0
        self.committing = 0
        self._domain = domain
        self._tls = tls
        self._max_stanza_bytes = max_stanza_bytes
        self._parser = StreamParser(max_stanza_bytes)
        self._transport: asyncio.Transport
        self._handshake: asyncio.Task[None] | None = None
        self._handle: Callable[[Element], None] = self._negotiate
        self._opened = False
        self._ended = False
        self._secure = False
        self._person: int | None = None
        self._scram: ScramExchange | None = None
        self._attempts = 0
        self._since = time.monotonic()
        self._managed = False
        self._received_before = 0
        self._sent_before = 0
        self._sent = 0
        self._heard = 0
        self._asked = False
        self._unacknowledged: deque[tuple[int, Message]] = deque()
        self._serving: dict[str, Callable[[Element], None]] = {
            f"{CLIENT} message": self._message,
            f"{CLIENT} presence": self._presence,
            f"{CLIENT} iq": self._iq,
            f"{SM} a": self._acknowledged,
            f"{SM} r": self._answer,
            f"{SM} enable": self._enable,
            f"{SM} resume": self._resume,
        }

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client to open the stream."""
        self._transport = cast(asyncio.Transport, transport)
        self._domain.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Whatever was not acknowledged waits for the person's next session."""
        self._ended = True
        self._domain.connections.discard(self)
        self._domain.detach(self)

    def pause_writing(self) -> None:
        """The client reads too slowly: its messages wait in the mailbox from now on."""
        self.paused = True

    def resume_writing(self) -> None:
        """The client caught up."""
        self.paused = False
        if self.account is not None and not self._ended:
            self.account.drain()

    def data_received(self, data: bytes) -> None:
        """Take in one chunk: any part of a stanza, or many."""
        parser = self._parser
        elements = parser.feed(data)
        if not self._opened and parser.header is not None and not self._ended:
            self._open(parser.header)
        for element in elements:
            if self._ended or self._parser is not parser:
                # Nothing may follow what ends a stream or restarts it (RFC 6120, 5.4.3.3 and 6.4.6).
                return
            self._handle(element)
        if self._ended or self._parser is not parser:
            return
        if parser.error is not None:
            self.end(parser.error.condition, parser.error.text)
        elif parser.closed:
            self.end(None)

    def end(self, condition: str | None, explanation: str = "") -> None:
        """Close the stream, with an error where `condition` is one (RFC 6120, 4.9.3)."""
        if self._ended:
            return
        parts = [] if self._opened else [self._header()]
        if condition is not None:
            said = f"<text xmlns='{STREAM_ERRORS}'>{text(explanation)}</text>" if explanation else ""
            parts.append(f"<stream:error><{condition} xmlns='{STREAM_ERRORS}'/>{said}</stream:error>")
        parts.append("</stream:stream>")
        self._write("".join(parts).encode())
        self._ended = True
        self._since = time.monotonic()
        self._transport.close()
        self._domain.detach(self)

    def look_after(self, now: float) -> None:
        """End a login or a goodbye that takes too long; ask for acknowledgements that have not come."""
        if self._ended:
            if now - self._since > GOODBYE_TIMEOUT_S:
                self._transport.abort()
        elif self.account is None:
            if now - self._since > LOGIN_TIMEOUT_S:
                self.end("connection-timeout")
        elif self._unacknowledged and not self._asked:
            self._asked = True
            self._write(b"<r xmlns='urn:xmpp:sm:3'/>")

    def _write(self, data: bytes) -> None:
        if not self._ended:
            self._transport.write(data)

    # Negotiation

    def _header(self) -> str:
        return (
            f"<?xml version='1.0'?><stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAMS}' "
            f"from='{attribute(self._domain.name)}' id='{secrets.token_hex(8)}' version='1.0' xml:lang='en'>"
        )

    def _open(self, header: Element) -> None:
        to = header.attributes.get("to")
        if to is not None and to.lower() != self._domain.name:
            self.end("host-unknown")
        elif not header.attributes.get("version", "0").startswith("1."):
            self.end("unsupported-version")
        else:
            self._opened = True
            features = f"<stream:features>{self._features()}</stream:features>"
            self._write((self._header() + features).encode())

    def _features(self) -> str:
        if self._must_secure():
            return f"<starttls xmlns='{TLS}'><required/></starttls>"
        if self._person is None:
            offered = "".join(f"<mechanism>{name}</mechanism>" for name in self._mechanisms())
            return f"<mechanisms xmlns='{SASL}'>{offered}</mechanisms>"
        return f"<bind xmlns='{BIND}'/><session xmlns='{SESSION}'><optional/></session><sm xmlns='{SM}'/>"

    def _must_secure(self) -> bool:
        return self._tls is not None and not self._secure

    def _mechanisms(self) -> tuple[str, ...]:
        return (*SCRAM_MECHANISMS, "PLAIN") if self._secure else SCRAM_MECHANISMS

    def _restart(self) -> None:
        self._parser = StreamParser(self._max_stanza_bytes)
        self._opened = False

    def _negotiate(self, element: Element) -> None:
        namespace, _, local = element.name.rpartition(" ")
        if element.name == f"{TLS} starttls" and self._must_secure():
            self._start_tls()
        elif namespace == SASL and not self._must_secure():
            self._authenticate(local, element)
        else:
            self.end("not-authorized")

    def _start_tls(self) -> None:
        self._transport.pause_reading()
        self._write(f"<proceed xmlns='{TLS}'/>".encode())
        self._restart()
        self._handshake = asyncio.create_task(self._shake_hands())

    async def _shake_hands(self) -> None:
        assert self._tls is not None
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, self._tls, server_side=True, ssl_handshake_timeout=TLS_TIMEOUT_S
            )
        except OSError:  # the client's fault or wish; ssl.SSLError and timeouts are OSErrors
            transport = None
        if transport is None:
            self._transport.abort()
            self.connection_lost(None)  # a handshake that failed may leave it unsaid
            return
        self._secure = True
        self._transport = transport

    def _authenticate(self, local: str, element: Element) -> None:
        try:
            match local:
                case "auth":
                    self._begin_login(element)
                case "response" if self._scram is not None:
                    self._continue_login(decode(element.text))
                case "abort":
                    raise Denied("aborted")
                case _:
                    raise Denied("malformed-request")
        except Denied as denied:
            self._scram = None
            self._attempts += 1
            self._domain.metrics.logins_failed += 1
            self._write(f"<failure xmlns='{SASL}'><{denied}/></failure>".encode())
            if self._attempts >= LOGIN_ATTEMPTS:
                self.end("policy-violation", "too many failed logins")

    def _begin_login(self, element: Element) -> None:
        mechanism = element.attributes.get("mechanism", "")
        if mechanism not in self._mechanisms():
            raise Denied("invalid-mechanism")
        if mechanism == "PLAIN":
            self._admit(self._domain.credentials.plain(decode(element.text)), "")
            return
        self._scram = self._domain.credentials.scram(mechanism)
        if element.text:
            self._continue_login(decode(element.text))
        else:  # no initial response: an empty challenge asks for it (RFC 4422, 5.1)
            self._write(f"<challenge xmlns='{SASL}'/>".encode())

    def _continue_login(self, message: str) -> None:
        assert self._scram is not None
        answer, person = self._scram.respond(message)
        encoded = b64encode(answer.encode()).decode()
        if person is None:
            self._write(f"<challenge xmlns='{SASL}'>{encoded}</challenge>".encode())
        else:
            self._admit(person, encoded)

    def _admit(self, person: int, additional: str) -> None:
        self._person = person
        self._scram = None
        self._write(f"<success xmlns='{SASL}'>{additional}</success>".encode())
        self._handle = self._await_bind
        self._restart()

    def _await_bind(self, element: Element) -> None:
        bind = element.child(f"{BIND} bind")
        if element.name == f"{SM} enable":
            self._refuse_management("unexpected-request")
            return
        if element.name != f"{CLIENT} iq" or bind is None or element.attributes.get("type") != "set":
            self.end("not-authorized")
            return
        assert self._person is not None
        wish = bind.child(f"{BIND} resource")
        resource = (wish.text if wish is not None else "") or secrets.token_hex(8)
        account = self._domain.account(self._person)
        self.resource = resource
        self.jid = f"{account.jid}/{resource}"
        if len(resource.encode()) > 1023:  # RFC 7622, 3.4
            self._write(error(element, "bad-request", self.jid))
            return
        self.written_jid = attribute(self.jid)
        self._domain.bind(self, account, resource)
        self.account = account
        self._handle = self._serve
        identity = attribute(element.attributes.get("id", ""))
        bound = f"<bind xmlns='{BIND}'><jid>{text(self.jid)}</jid></bind>"
        self._write(f"<iq type='result' id='{identity}'>{bound}</iq>".encode())

    # Stanzas

    @property
    def owner(self) -> Account:
        """The account of a bound session."""
        assert self.account is not None
        return self.account

    def _serve(self, element: Element) -> None:
        handle = self._serving.get(element.name)
        if handle is None:
            self.end("unsupported-stanza-type")
        else:
            handle(element)

    def _count(self) -> None:
        if not self.committing:
            self.durable = self.received  # a count once told must never fall
        self.received += 1
        self._domain.metrics.stanzas_received += 1

    def _message(self, element: Element) -> None:
        self._count()
        self._domain.route_message(self, element)

    def _iq(self, element: Element) -> None:
        self._count()
        iq.answer(self._domain, self, element)

    def _presence(self, element: Element) -> None:
        self._count()
        if element.attributes.get("to"):
            directed_presence(self._domain, self, element)
            return
        match element.attributes.get("type"):
            case None:
                self.presence_inner = write_inner(element)
                self.priority = _priority(element)
                if self.available:
                    self._domain.metrics.presence_changes += 1
                    self.owner.choose()
                    self._domain.announce(self)
                    self.owner.drain()
                else:
                    self._domain.became_available(self)
            case "unavailable" if self.available:
                self.presence_inner = write_inner(element)
                self._domain.became_unavailable(self)
            case _:
                pass  # nothing else is said to a server that keeps fixed rosters

    def write_stanza(self, data: bytes) -> None:
        """Write one whole stanza."""
        self._sent += 1
        self._domain.metrics.stanzas_sent += 1
        self._write(data)

    def write_presence(self, other: Connected, to: str) -> None:
        """Write what `other`'s presence is now, to this session, whose account is at `to`."""
        kind = "" if other.available else " type='unavailable'"
        self.write_stanza(
            f"<presence from='{other.written_jid}' to='{to}'{kind}>{other.presence_inner}</presence>".encode()
        )

    # Stream management (XEP-0198)

    def deliver(self, message: Message, *, late: bool) -> None:
        """Write a message to this client; one that waited says since when (XEP-0203)."""
        data = message.stanza
        if message.shared:
            data = addressed(data, self.owner.jid)
        if late:
            stamp = _stamp(message.stored_ms)
            delay = f"<delay xmlns='{DELAY}' from='{attribute(self._domain.name)}' stamp='{stamp}'/>"
            data = data.removesuffix(b"</message>") + delay.encode() + b"</message>"
        self.write_stanza(data)
        if self._managed:
            self._unacknowledged.append((self._sent, message))
        else:
            self._domain.metrics.messages_delivered += 1
            self._domain.commit.note_delivered(message.number)

    def take_unacknowledged(self) -> list[Message]:
        """The messages written here and not acknowledged, in order; they are no longer this session's."""
        messages = [message for _, message in self._unacknowledged]
        self._unacknowledged.clear()
        return messages

    def acknowledge(self) -> None:
        """Tell the client how far it need not send again, without being asked (XEP-0198, 4)."""
        if self._managed:
            self._write(f"<a xmlns='{SM}' h='{self._handled()}'/>".encode())

    def _handled(self) -> int:
        handled = self.durable if self.committing else self.received
        return max(0, handled - self._received_before) % COUNTER

    def _enable(self, _: Element) -> None:
        if self._managed:
            self._refuse_management("unexpected-request")
            return
        self._managed = True
        self._received_before, self._sent_before = self.received, self._sent
        self._heard = self._sent
        self._write(f"<enabled xmlns='{SM}'/>".encode())

    def _resume(self, _: Element) -> None:
        self._refuse_management("feature-not-implemented")

    def _refuse_management(self, condition: str) -> None:
        self._write(f"<failed xmlns='{SM}'><{condition} xmlns='{STANZA_ERRORS}'/></failed>".encode())

    def _answer(self, _: Element) -> None:
        self.acknowledge()

    def _acknowledged(self, element: Element) -> None:
        self._asked = False
        count = element.attributes.get("h", "")
        if not count.isascii() or not count.isdecimal():
            self.end("undefined-condition", "an <a/> without a count")
            return
        advance = (int(count) - (self._heard - self._sent_before)) % COUNTER
        if advance > self._sent - self._heard:
            self.end("undefined-condition", f"{count} acknowledged, {self._sent} sent")
            return
        self._heard += advance
        waiting = self._unacknowledged
        while waiting and waiting[0][0] <= self._heard:
            _, message = waiting.popleft()
            self._domain.metrics.messages_delivered += 1
            self._domain.commit.note_delivered(message.number)


def _priority(presence: Element) -> int:
    """-128 … 127, 0 where not given or not a number (RFC 6121, 4.7.2.3)."""
    given = presence.child(f"{CLIENT} priority")
    try:
        return max(-128, min(127, int(given.text))) if given is not None else 0
    except ValueError:
        return 0


def _stamp(utc_ms: int) -> str:
    """The time in XEP-0082's format."""
    seconds, ms = divmod(utc_ms, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{ms:03}Z"

"""The sharded generation's client protocol: JSON over HTTP/1.1, a long poll for what arrives.

Between two polls of a connected person, what arrives waits for the next one; that is all that is kept.
"""

from urllib.parse import parse_qs

import httptools
import orjson

from services.noop.hub import FORBIDDEN, NOT_FOUND, Hub
from services.noop.outbox import Outbox

_HEAD = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
OK, UNAUTHORIZED, UNKNOWN = b"200 OK", b"401 Unauthorized", b"404 Not Found"
_REFUSALS = {
    NOT_FOUND: (UNKNOWN, b'{"error":"no such group"}'),
    FORBIDDEN: (b"403 Forbidden", b'{"error":"not a member"}'),
}
LANES = 1
"""Lanes keep an addressee's shard from holding up another's; here nothing holds up anything."""


class Mailbox:
    """What waits for one logged-in person, and the poll that waits for it."""

    def __init__(self) -> None:
        self._waiting: list[dict[str, object]] = []
        self._poll: HttpSession | None = None
        self._after = 0

    def deliver(self, message_id: str, sender: str, body: str, group: str = "") -> None:
        """See Receiver."""
        self._waiting.append({"id": message_id, "from": sender, "body": body, "group": group})
        self._answer()

    def replaced(self) -> None:
        """See Receiver. The earlier login's poll ends empty."""
        if self._poll is not None:
            self._poll.answer(OK, orjson.dumps({"messages": [], "next": self._after}))
            self._poll = None

    def poll(self, session: "HttpSession", after: int) -> None:
        """Answer `session` with what waits, or once something does."""
        self._poll, self._after = session, after
        self._answer()

    def look(self, session: "HttpSession", after: int) -> None:
        """Answer `session` at once: whatever comes goes to the poll, so there is nothing besides."""
        session.answer(OK, b'{"messages":[],"next":%d}' % after)

    def gone(self, session: "HttpSession") -> None:
        """Forget the poll of a connection that has ended."""
        if self._poll is session:
            self._poll = None

    def _answer(self) -> None:
        if self._poll is None or not self._waiting:
            return
        session, self._poll = self._poll, None
        waiting, self._waiting = self._waiting, []
        first = self._after + 1
        messages = [{"seq": first + index, **message} for index, message in enumerate(waiting)]
        session.answer(OK, orjson.dumps({"messages": messages, "next": self._after + len(messages)}))


class HttpSession(Outbox):
    """One connection. Requests are answered in order: only a poll waits, and it is alone on its own."""

    def __init__(self, connections: set[Outbox], hub: Hub, mailboxes: dict[str, Mailbox]) -> None:
        super().__init__(connections)
        self._hub = hub
        self._mailboxes = mailboxes
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._token = ""
        self._body = b""
        self._polled: Mailbox | None = None
        self._user: str | None = None

    def gone(self) -> None:
        """Forget the poll; whose login came over this connection is no longer connected."""
        if self._polled is not None:
            self._polled.gone(self)
        if self._user is not None:
            mailbox = self._mailboxes.get(self._user)
            if mailbox is not None and mailbox is self._polled:
                self._hub.disconnect(self._user, mailbox)
                del self._mailboxes[self._user]

    def data_received(self, data: bytes) -> None:
        """Handle every whole request."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.end()

    def on_message_begin(self) -> None:
        """For httptools."""
        self._url, self._token, self._body = b"", "", b""

    def on_url(self, url: bytes) -> None:
        """For httptools."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """For httptools."""
        if name == b"Authorization" or name.lower() == b"authorization":
            self._token = value[7:].decode()

    def on_body(self, body: bytes) -> None:
        """For httptools."""
        self._body += body

    def on_message_complete(self) -> None:
        """For httptools."""
        if self._url == b"/v1/login":
            self._log_in()
        elif self._token not in self._mailboxes:
            self.answer(UNAUTHORIZED, b'{"error":"unauthorized"}')
        elif self._url == b"/v1/messages":
            self._send()
        elif self._url.startswith(b"/v1/sync?"):
            self._sync()
        elif self._url.startswith(b"/v1/groups/"):
            self._send_to_group()
        elif self._url == b"/v1/presence":
            self.answer(OK, b"{}")
        else:
            self.answer(UNKNOWN, b'{"error":"not found"}')

    def answer(self, status: bytes, body: bytes) -> None:
        """Answer the request that is next in line."""
        self.write(_HEAD % (status, len(body), body))

    def _send(self) -> None:
        sent = orjson.loads(self._body)
        if self._hub.send(sent["id"], self._token, sent["to"], sent["body"]):
            self.answer(OK, b"{}")
        else:
            self.answer(UNKNOWN, b'{"error":"unknown addressee"}')

    def _send_to_group(self) -> None:
        sent = orjson.loads(self._body)
        group = self._url.split(b"/")[3].decode()
        refused = self._hub.send_to_group(sent["id"], self._token, group, sent["body"])
        if refused is None:
            self.answer(OK, b"{}")
        else:
            self.answer(*_REFUSALS[refused])

    def _sync(self) -> None:
        mailbox = self._mailboxes[self._token]
        asked = parse_qs(self._url.partition(b"?")[2])
        after = int(asked[b"after"][0])
        if asked[b"wait"] == [b"0"]:
            mailbox.look(self, after)
        else:
            self._polled, self._user = mailbox, self._token
            mailbox.poll(self, after)

    def _log_in(self) -> None:
        asked = orjson.loads(self._body)
        user = asked["user"]
        if not self._hub.admits(user, asked["password"]):
            self.answer(UNAUTHORIZED, b'{"error":"wrong name or password"}')
            return
        mailbox = self._mailboxes[user] = Mailbox()
        self._polled, self._user = mailbox, user  # the poll comes over the same connection
        self._hub.connect(user, mailbox)
        self.answer(OK, orjson.dumps({"token": user, "lanes": LANES}))

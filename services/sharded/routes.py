"""What an api node answers: HTTP/1.1 and JSON on its port.

    POST /v1/login     {"user", "password"}       → 200 {"token", "lanes"}, 401
    POST /v1/messages  {"id", "to", "body"}       → 200 {} once durable, 400/404/413 refused, 503 not answered
    POST /v1/groups/G/messages  {"id", "body"}    → the same, and 403 for who is no member
    PUT  /v1/presence  {"show"}                   → 200 {} once durable, 400 refused, 503 not answered
    GET  /v1/sync?after=N&wait=S                  → 200 {"messages": [{"seq", "id", "from", "body"}], "next"}

A message that came through a group has its name besides, as `group`. A sync that waits 0 s is answered with
what there is; another, the person's one poll, once there is something.

All but login want `Authorization: Bearer TOKEN` (else 401); refusals are `{"error": reason}`. Requests of
one connection may be sent without waiting and are answered in order. A send that cannot be stored for now
holds up those behind it, so a client sends what is addressed to X on a connection of its own for each
*lane*: crc32(X) mod 1024 mod `lanes`, X a person or a group. 503 says that it may or may not be stored
later: send it again under the same id.

Every api node serves everybody. `after` is the `next` of the answer before, 0 the first time.
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import orjson

from services.sharded.accounts import Accounts
from services.sharded.batch import Entry, Letter, Post, Presence
from services.sharded.groups import Groups
from services.sharded.http import Exchange
from services.sharded.metrics import Metrics
from services.sharded.reader import Reader
from services.sharded.schema import LONGEST_MESSAGE_ID, SHOWN
from services.sharded.writer import Writer

LONGEST_BODY_BYTES = 65_536
LONGEST_WAIT_S = 60.0
GROUPS, MESSAGES = b"/v1/groups/", b"/messages"


def refuse(exchange: Exchange, status: int, reason: str) -> None:
    """Answer no."""
    exchange.answer(status, orjson.dumps({"error": reason}))


def unusable(message_id: str, body: str) -> tuple[int, str] | None:
    """Status and reason where such a message cannot be stored; AttributeError where they are no text."""
    if not message_id.isascii() or not message_id.isprintable():
        return 400, "bad id"
    if not 0 < len(message_id) <= LONGEST_MESSAGE_ID or message_id.endswith(" "):
        return 400, "bad id"
    if len(body.encode()) > LONGEST_BODY_BYTES:
        return 413, "body too long"
    return None


class Api:
    """What the requests mean. Made once the first shard map has come."""

    def __init__(
        self,
        accounts: Accounts,
        groups: Groups,
        writers: Sequence[Writer],
        readers: Sequence[Reader],
        metrics: Metrics,
    ):
        self._accounts = accounts
        self._groups = groups
        self._writers = writers
        self._readers = readers
        self._metrics = metrics
        self._changes = itertools.count()
        self._routes: dict[bytes, tuple[bytes, Callable[[Exchange, bytes], None]]] = {
            b"/v1/messages": (b"POST", self._send),
            b"/v1/sync": (b"GET", self._sync),
            b"/v1/presence": (b"PUT", self._show),
            b"/v1/login": (b"POST", self._login),
            b"/v1/hints": (b"POST", self._hint),
        }

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request, now or later."""
        path, _, parameters = exchange.target.partition(b"?")
        route = self._routes.get(path)
        if route is None and path.startswith(GROUPS) and path.endswith(MESSAGES):
            route = (b"POST", functools.partial(self._send_to_group, path[len(GROUPS) : -len(MESSAGES)]))
        if route is None:
            refuse(exchange, 404, "no such resource")
        elif exchange.method != route[0]:
            refuse(exchange, 405, f"use {route[0].decode()}")
        else:
            route[1](exchange, parameters)

    def _send(self, exchange: Exchange, _: bytes) -> None:
        sender = self._accounts.bearer(exchange.token)
        if sender is None:
            return self._refuse("send", exchange, 401, "bad token")
        try:
            sent = orjson.loads(exchange.body)
            message_id, to, body = sent["id"], sent["to"], sent["body"]
            problem = unusable(message_id, body)
            addressee = self._accounts.person(to)
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._refuse("send", exchange, 400, "want id, to and body")
        if problem is not None:
            return self._refuse("send", exchange, *problem)
        if addressee is None:
            return self._refuse("send", exchange, 404, "no such addressee")
        letter = Letter(addressee.number, sender.number, message_id, body)
        return self._store("send", addressee.shard, letter, exchange)

    def _send_to_group(self, name: bytes, exchange: Exchange, _: bytes) -> None:
        sender = self._accounts.bearer(exchange.token)
        if sender is None:
            return self._refuse("group_send", exchange, 401, "bad token")
        try:
            sent = orjson.loads(exchange.body)
            message_id, body = sent["id"], sent["body"]
            problem = unusable(message_id, body)
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._refuse("group_send", exchange, 400, "want id and body")
        if problem is not None:
            return self._refuse("group_send", exchange, *problem)
        group = self._groups.find(name.decode("ascii", "replace"))
        if group is None:
            return self._refuse("group_send", exchange, 404, "no such group")
        if sender.number not in group.members:
            return self._refuse("group_send", exchange, 403, "not a member")
        post = Post(group.number, sender.number, message_id, body)
        return self._store("group_send", group.shard, post, exchange)

    def _show(self, exchange: Exchange, _: bytes) -> None:
        person = self._accounts.bearer(exchange.token)
        if person is None:
            return self._refuse("presence", exchange, 401, "bad token")
        try:
            show = orjson.loads(exchange.body)["show"]
        except (ValueError, KeyError, TypeError):
            show = None
        if show not in SHOWN:
            return self._refuse("presence", exchange, 400, f"want show: {', '.join(SHOWN)}")
        change = Presence(person.number, show, next(self._changes))
        return self._store("presence", person.shard, change, exchange)

    def _store(self, operation: str, shard: int, entry: Entry, exchange: Exchange) -> None:
        self._writers[shard].submit(entry, functools.partial(self._stored, operation, exchange))

    def _stored(self, operation: str, exchange: Exchange, status: int, body: bytes) -> None:
        self._metrics.answered(operation, status)
        exchange.answer(status, body)

    def _refuse(self, operation: str, exchange: Exchange, status: int, reason: str) -> None:
        self._metrics.refused(operation)
        refuse(exchange, status, reason)

    def _sync(self, exchange: Exchange, parameters: bytes) -> None:
        person = self._accounts.bearer(exchange.token)
        if person is None:
            return self._refuse_sync(exchange, 401, "bad token")
        try:
            given = dict(part.split(b"=", 1) for part in parameters.split(b"&") if part)
            after, wait_s = int(given.get(b"after", b"0")), float(given.get(b"wait", b"0"))
        except ValueError:
            return self._refuse_sync(exchange, 400, "after and wait are numbers")
        if not 0 <= after < 1 << 63 or not 0 <= wait_s <= LONGEST_WAIT_S:
            return self._refuse_sync(exchange, 400, f"after from 0, wait from 0 to {LONGEST_WAIT_S:g}")
        if wait_s == 0:
            self._metrics.looked()
            return self._readers[person.shard].look(person.number, after, exchange)
        self._metrics.sync()
        return self._readers[person.shard].poll(person.number, after, wait_s, exchange)

    def _refuse_sync(self, exchange: Exchange, status: int, reason: str) -> None:
        self._metrics.sync_failed()
        refuse(exchange, status, reason)

    def _login(self, exchange: Exchange, _: bytes) -> None:
        try:
            given = orjson.loads(exchange.body)
            token = self._accounts.login(str(given["user"]), str(given["password"]))
        except (ValueError, KeyError, TypeError):
            self._metrics.login_failed()
            return refuse(exchange, 400, "want user and password")
        if token is None:
            self._metrics.login_failed()
            return refuse(exchange, 401, "wrong name or password")
        self._metrics.login_ok()
        return exchange.answer(200, orjson.dumps({"token": token, "lanes": len(self._writers)}))

    def _hint(self, exchange: Exchange, _: bytes) -> None:
        if not self._accounts.is_peer(exchange.token):
            return refuse(exchange, 401, "bad token")
        people = orjson.loads(exchange.body)["people"]
        for reader in self._readers:  # a person waits with at most one of them
            if people is None:
                reader.sweep()
            else:
                reader.word(people)
        return exchange.answer(200, b"{}")

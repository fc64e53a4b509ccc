"""`gateway`: people's WebSockets.

On `GET /v1/socket`, JSON in text frames, the client first:

    {"op":"login","user","password","after":N}     or "token" for "password": one a gateway gave earlier
    → {"op":"welcome","token"}                     or {"op":"refused","reason"} and a close
    {"op":"send","id","to","body"}
    {"op":"group_send","id","group","body"}
    → {"op":"ack","id"}                            durable, by the log's rule (see log.py)
    → {"op":"refused","id","reason"}
    → {"op":"message","seq","at","id","from","body"}    and "group" where it is to one
    {"op":"sync","id","after":N}
    → {"op":"ack","id"}                            whatever the mailbox held after N came before this
    {"op":"presence","id","show"}                  available, away or dnd
    → {"op":"ack","id"}                            told to the contacts who are online, and kept nowhere
    → {"op":"presence","from","show"}              a contact's

`at` is the message's position, growing along what one person receives: the largest seen is the `after` of
the next login. `seq` is its number among the person's messages; it is given out before the append, so two
messages that race may arrive in the other order: positions, not numbers, say what was received.
A later login of the same person, here or elsewhere, ends an earlier one (close code 4001).
"""

import asyncio
import contextlib
import itertools
import secrets
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from aiohttp import WSMsgType, web
from nats.aio.msg import Msg
from prometheus_client import Counter, Gauge
from pydantic import Field

from services.microservices import bus, frames, log, tokens
from services.microservices.bus import Unavailable
from services.microservices.feed import FeedEnd
from services.microservices.lane import Lane
from services.microservices.metrics import Messages, Operations
from services.microservices.peers import Peers
from services.microservices.session import Session
from services.microservices.syncs import Syncs
from services.runtime import Node, People

LOGIN_TIMEOUT_S = 10.0
AUTH_TIMEOUT_S = 1.0
AUTH_ATTEMPTS = 5
FEED_CHECK_S = 0.5
FEED_CHUNK = 5_000
LEAVE_S = 1.0
LONGEST_FRAME_BYTES = 512 * 1024
HEARTBEAT_S = 30.0
SHOWS = frozenset({"available", "away", "dnd"})
PRESENCE_SUBJECT = "presence.shown"


class Config(bus.BusConfig):
    """Keys of a `gateway` node; `port` is where people connect."""

    token_key: str = Field(min_length=32)
    """Key of the tokens' signature, shared with `auth`."""
    people: People


async def serve(node: Node, config: Config) -> None:
    """Take connections until told to stop; what is under way is given a second to end."""
    async with bus.connect(node, "gateway", config) as connection:
        gateway = Gateway(node, config, connection)
        await connection.listen(f"push.{node.name}", gateway.on_push)
        await connection.listen("message.alive", gateway.on_alive)
        await connection.listen(PRESENCE_SUBJECT, gateway.on_presence)
        async with asyncio.TaskGroup() as tasks:
            owned = [tasks.create_task(lane.run()) for lane in gateway.lanes]
            owned.append(tasks.create_task(gateway.keep_feed()))
            owned.append(tasks.create_task(gateway.syncs.run()))
            async with _listening(gateway, config):
                node.ready()
                await node.stopping.wait()
                gateway.leave()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(gateway.finish(), LEAVE_S)
            for task in owned:
                task.cancel()


class Gateway:
    """The sessions of one gateway node."""

    def __init__(self, node: Node, config: Config, connection: bus.Bus) -> None:
        self._node = node
        self._bus = connection
        self._token_key = config.token_key.encode()
        operations = ["login", "send_batch", "group_send_batch", "sync"]
        self._operations = Operations(node.registry, timed=operations, retried=operations)
        self._counted = Messages(node.registry)
        self._sessions: dict[int, Session] = {}
        self._people = config.people
        self._contacts = [array("I", indices) for indices in config.people.contacts()]
        self._by_person: dict[int, Session] = {}
        self._numbers = itertools.count(1)
        self._messages = Peers()
        self._feed = FeedEnd(node.name)
        self._feed_changed = asyncio.Event()
        self._to_tell: list[Sequence[Any]] = []
        self._checked_s = 0.0
        self._leaving = False
        incarnation = f"{node.name}-{secrets.token_hex(6)}"
        self.lanes = [
            Lane(partition, f"{incarnation}.{partition}", self._ask, self._operations, self._counted)
            for partition in range(log.PARTITIONS)
        ]
        self._group_lane = Lane(
            None, f"{incarnation}.groups", self._ask_group, self._operations, self._counted
        )
        self.lanes.append(self._group_lane)
        self.syncs = Syncs(self._read, self._operations, self._counted)
        self._feed_starts = Counter(
            "threegen_microservices_feed_starts", "Times the feed was started anew.", registry=node.registry
        )
        sessions = Gauge("threegen_sessions", "People logged in here now.", registry=node.registry)
        sessions.set_function(lambda: len(self._sessions))
        waiting = Gauge("threegen_sends_waiting", "Sends that wait to be stored.", registry=node.registry)
        waiting.set_function(lambda: sum(lane.depth for lane in self.lanes))

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """One connection, from its handshake to its end."""
        socket = web.WebSocketResponse(
            compress=False, max_msg_size=LONGEST_FRAME_BYTES, heartbeat=HEARTBEAT_S, timeout=1.0
        )
        await socket.prepare(request)
        session = await self._login(socket, request)
        if session is not None:
            try:
                await self._converse(socket, session)
            finally:
                self._gone(session)
        return socket

    async def on_alive(self, message: Msg) -> None:
        """Take note of a `message` node that says it lives."""
        self._messages.announced(message.data.decode(), time.monotonic())

    async def on_push(self, message: Msg) -> None:
        """Write what `inbox` pushes to those it is for."""
        push = self._feed.take(message.data, now_s=time.monotonic())
        if self._feed.broken:
            self._feed_changed.set()
            return
        reached: dict[Session, tuple[int, list[bytes]]] = {}
        for number, position, frame in push.items:
            session = self._sessions.get(number)
            if session is None:
                continue
            before, parts = reached.get(session) or (session.position, [])
            if position > before:
                parts.append(frames.text(frame))
                reached[session] = position, parts
        for session, (position, parts) in reached.items():
            session.deliver(position, b"".join(parts))
            self._counted.delivered(len(parts))
        for number in push.more:
            if (session := self._sessions.get(number)) is not None:
                self._tell(_entry(session))
        for number in push.replaced:
            if (session := self._sessions.get(number)) is not None:
                session.end(frames.REPLACED, "replaced")

    async def on_presence(self, message: Msg) -> None:
        """Tell those who are here what a contact of theirs shows now."""
        person, show = orjson.loads(message.data)
        frame = frames.presence(self._people.name(person), show)
        for contact in self._contacts[person]:
            session = self._by_person.get(contact)
            if session is not None:
                session.write(frame)

    async def keep_feed(self) -> None:
        """Start the feed, tell it who comes and goes, check it, and start it anew when it broke."""
        while True:
            self._feed_changed.clear()
            try:
                await self._attend_feed()
            except Unavailable:
                self._feed.broken = True
                await asyncio.sleep(log.RETRY_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._feed_changed.wait(), FEED_CHECK_S)
            if self._feed.broken:
                await asyncio.sleep(log.RETRY_S)

    def leave(self) -> None:
        """Take no more sends: everybody is asked to go elsewhere once their sends are answered."""
        self._leaving = True

    async def finish(self) -> None:
        """Return once every lane is empty, and then end every session."""
        try:
            for lane in self.lanes:
                await lane.idle.wait()
        finally:
            for session in list(self._sessions.values()):
                session.end(frames.GOING_AWAY, "going away")

    async def _attend_feed(self) -> None:
        now_s = time.monotonic()
        if self._feed.broken or self._feed.silent(now_s):
            self._to_tell = []
            entries = [_entry(session) for session in self._sessions.values()]
            first, rest = entries[:FEED_CHUNK], entries[FEED_CHUNK:]
            start = self._feed.start(first, epoch=time.time_ns(), now_s=now_s)
            self._feed_starts.inc()
            await self._bus.publish("inbox.told", start)
        else:
            rest, self._to_tell = self._to_tell, []
        while rest:
            await self._bus.publish("inbox.told", self._feed.tell(rest[:FEED_CHUNK]))
            rest = rest[FEED_CHUNK:]
        if now_s - self._checked_s >= FEED_CHECK_S / 2:
            self._checked_s = now_s
            await self._bus.publish("inbox.told", self._feed.check())

    def _tell(self, entry: Sequence[Any]) -> None:
        self._to_tell.append(entry)
        self._feed_changed.set()

    async def _login(self, socket: web.WebSocketResponse, request: web.Request) -> Session | None:
        with self._operations.timed("login") as timing:
            try:
                asked = orjson.loads(await socket.receive_str(timeout=LOGIN_TIMEOUT_S))
                user, after = asked["user"], int(asked.get("after", 0))
                if asked["op"] != "login" or not isinstance(user, str):
                    raise ValueError("not a login")
                token = await self._token(user, asked)
            except (ValueError, KeyError, TypeError, TimeoutError):
                timing.outcome = "failed"
                await socket.close(code=frames.POLICY, message=b"login expected")
                return None
            except Unavailable:
                timing.outcome = "unknown"
                await socket.close(code=frames.TRY_AGAIN, message=b"try again")
                return None
            transport = request.transport
            if transport is None or self._leaving:
                timing.outcome = "unknown"
                await socket.close(code=frames.GOING_AWAY, message=b"going away")
                return None
            person = self._people.index(user)
            if token is None or person is None:
                timing.outcome = "failed"
                await socket.send_str('{"op":"refused","reason":"not authorized"}')
                await socket.close(code=frames.UNAUTHORIZED, message=b"not authorized")
                return None
        session = Session(
            user,
            next(self._numbers),
            person=person,
            position=after,
            since=time.time_ns(),
            transport=transport,
        )
        if (earlier := self._by_person.get(person)) is not None:
            earlier.end(frames.REPLACED, "replaced")
        self._sessions[session.number] = session
        self._by_person[person] = session
        session.write(frames.text(orjson.dumps({"op": "welcome", "token": token})))
        self._tell(_entry(session))
        return session

    async def _token(self, user: str, asked: dict[str, Any]) -> str | None:
        """A token for a user who has the password, or brings a token already; None for one who has not."""
        if "token" in asked:
            token = str(asked["token"])
            spoken_for = tokens.verify(token, now_unix_s=time.time(), key=self._token_key)
            return token if spoken_for == user else None
        request = orjson.dumps({"user": user, "password": asked["password"]})
        for attempt in itertools.count(1):
            try:
                answer = orjson.loads(await self._bus.call("auth.check", request, timeout_s=AUTH_TIMEOUT_S))
                granted: str | None = answer.get("token")
                return granted
            except Unavailable:
                if attempt == AUTH_ATTEMPTS:
                    raise
                self._operations.retried("login")
                await asyncio.sleep(log.RETRY_S * attempt)
        raise AssertionError("unreachable")

    async def _converse(self, socket: web.WebSocketResponse, session: Session) -> None:
        while not session.gone:
            message = await socket.receive()
            if message.type is not WSMsgType.TEXT and message.type is not WSMsgType.BINARY:
                return
            try:
                told = orjson.loads(message.data)
                await self._take(session, told)
            except (ValueError, KeyError, TypeError, AttributeError):
                session.end(frames.POLICY, "not understood")
                return

    async def _take(self, session: Session, told: dict[str, Any]) -> None:
        """Take one request; raises ValueError, KeyError, TypeError or AttributeError where it is none."""
        operation, request_id = told["op"], told["id"]
        if not isinstance(request_id, str):
            raise TypeError("an id is text")
        if self._leaving:
            return  # it is not taken: the client asks again elsewhere
        taken = True
        if operation == "send":
            addressee = told["to"]
            lane = self.lanes[log.partition_of(addressee)]
            taken = lane.offer(session, (session.user, request_id, addressee, _text(told["body"])))
        elif operation == "group_send":
            group, body = _text(told["group"]), _text(told["body"])
            taken = self._group_lane.offer(session, (session.user, request_id, group, body))
        elif operation == "sync":
            taken = self.syncs.offer(session, request_id, int(told["after"]))
        elif operation == "presence":
            await self._show(session, request_id, told["show"])
        else:
            raise ValueError(f"no such operation: {operation}")
        if not taken:
            session.write(frames.refusal(request_id, "overloaded"))
            if operation != "sync":
                self._counted.refused()

    async def _show(self, session: Session, request_id: str, show: str) -> None:
        if show not in SHOWS:
            session.write(frames.refusal(request_id, "unknown presence"))
            return
        try:
            await self._bus.publish(PRESENCE_SUBJECT, orjson.dumps((session.person, show)))
        except Unavailable:
            session.write(frames.refusal(request_id, "unavailable"))
            return
        session.write(frames.acknowledgement(request_id))
        self._counted.presence_changes()

    def _gone(self, session: Session) -> None:
        session.gone = True
        self._sessions.pop(session.number, None)
        if self._by_person.get(session.person) is session:
            del self._by_person[session.person]
        self._tell((session.user, session.number, None, session.since))

    async def _ask(self, request: bytes, timeout_s: float) -> bytes:
        chosen = self._messages.choose(time.monotonic())
        if chosen is None:
            return await self._bus.call("message.send", request, timeout_s=timeout_s)
        try:
            return await self._bus.call(f"message.send.{chosen}", request, timeout_s=timeout_s)
        except Unavailable:
            self._messages.failed(chosen, time.monotonic())
            raise

    async def _ask_group(self, request: bytes, timeout_s: float) -> bytes:
        return await self._bus.call("group.send", request, timeout_s=timeout_s)

    async def _read(self, request: bytes, timeout_s: float) -> bytes:
        return await self._bus.call("inbox.read", request, timeout_s=timeout_s)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected text")
    return value


def _entry(session: Session) -> Sequence[Any]:
    return session.user, session.number, session.position, session.since


@contextlib.asynccontextmanager
async def _listening(gateway: Gateway, config: Config) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_get("/v1/socket", gateway.socket)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port, reuse_address=True, backlog=1024).start()
        yield
    finally:
        await runner.cleanup()

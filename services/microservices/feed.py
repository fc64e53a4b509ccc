"""A feed: what `inbox` pushes to one gateway, so that nothing is skipped and every loss heals. Pure.

The bus may lose any message, and either end may die. So pushes of a feed are numbered, and the gateway
starts it anew under a new *epoch* whenever it sees a gap, a stranger's answer, or silence:

    gateway → inbox    [gateway, epoch, n, entries]     n = 1, 2, … within the epoch; n = 1 starts it.
                       entry: [user, session, after, since] or, to end it, [user, session, null, since]
                       [gateway, epoch, n, null]        a check: the last n sent, now and then
    inbox → gateway    [epoch, counter, items, more, replaced] newline frames
                       counter = 1, 2, …; item: [session, position, length of its frame];
                       more: sessions with messages left, to be asked for from their new position;
                       replaced: sessions whose user has come to another gateway since
                       [epoch, counter, null] answers a check, the counter unchanged; −1: unknown feed

A session's messages after the position it names come first, in pages; from then on what is new, in log
order. `session` is the gateway's own number for one login, so nothing meant for an earlier login of the same
user reaches a later one. `since` is when the user came, in ns of Unix time: the latest login holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from services.microservices.mailbox import Item

PAGE_ITEMS = 500
PAGE_BYTES = 128 * 1024
PUSH_BYTES = 256 * 1024
SILENCE_S = 2.0
UNKNOWN = -1


class Source(Protocol):
    """Where a feed's pages come from."""

    def after(self, user: str, position: int, *, most_items: int, most_bytes: int) -> tuple[list[Item], bool]:
        """As Mailboxes.after."""


@dataclass(slots=True)
class _Follower:
    gateway: str
    session: int
    since: int
    live: bool


@dataclass(slots=True)
class _Feed:
    """The inbox's end of one gateway's feed."""

    epoch: int
    told: int = 1
    counter: int = 0
    items: list[tuple[int, int, bytes]] = field(default_factory=list)
    more: list[int] = field(default_factory=list)
    replaced: list[int] = field(default_factory=list)
    checked: int | None = None


class Feeds:
    """The inbox's end of all feeds: who follows what from where, and what is to be pushed."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._feeds: dict[str, _Feed] = {}
        self._followers: dict[str, _Follower] = {}

    @property
    def followers(self) -> int:
        """How many users are followed."""
        return len(self._followers)

    def told(self, gateway: str, epoch: int, n: int, entries: Sequence[Sequence[Any]] | None) -> None:
        """Take what a gateway said; what it asks for is in the next pushes."""
        feed = self._feeds.get(gateway)
        if n == 1 and entries is not None and (feed is None or epoch > feed.epoch):
            self._forget(gateway)
            feed = self._feeds[gateway] = _Feed(epoch)
        elif feed is None or epoch != feed.epoch:
            if feed is None or epoch > feed.epoch:
                self._forget(gateway)
                self._feeds[gateway] = _Feed(epoch, told=UNKNOWN, checked=UNKNOWN)
            return
        elif entries is None:
            feed.checked = feed.counter if n == feed.told else UNKNOWN
            return
        elif n == feed.told + 1:
            feed.told = n
        else:
            feed.told = feed.checked = UNKNOWN
            return
        for user, session, after, since in entries:
            self._follow(gateway, feed, user, session, after, since)

    def arrived(self, items: Iterable[Item]) -> None:
        """Have new messages pushed to those of their addressees who are followed and up to date."""
        for item in items:
            follower = self._followers.get(item.user)
            if follower is not None and follower.live:
                self._feeds[follower.gateway].items.append((follower.session, item.position, item.frame))

    def pushes(self) -> Iterable[tuple[str, bytes]]:
        """Everything to be pushed now, by gateway, in the order in which it must be sent."""
        for gateway, feed in self._feeds.items():
            while feed.items or feed.more or feed.replaced:
                yield gateway, _next_push(feed)
            if feed.checked is not None:
                # A check is answered behind what was waiting, so the counter is the one now reached.
                counter = UNKNOWN if feed.checked == UNKNOWN else feed.counter
                feed.checked = None
                yield gateway, orjson.dumps([feed.epoch, counter, None])

    def _follow(
        self, gateway: str, feed: _Feed, user: str, session: int, after: int | None, since: int
    ) -> None:
        known = self._followers.get(user)
        if after is None:
            if known is not None and known.gateway == gateway and known.session == session:
                del self._followers[user]
            return
        if known is not None and (known.gateway, known.session) != (gateway, session):
            if known.since > since:
                feed.replaced.append(session)
                return
            self._feeds[known.gateway].replaced.append(known.session)
        page, more = self._source.after(user, after, most_items=PAGE_ITEMS, most_bytes=PAGE_BYTES)
        feed.items += [(session, item.position, item.frame) for item in page]
        if more:
            feed.more.append(session)
        self._followers[user] = _Follower(gateway, session, since, live=not more)

    def _forget(self, gateway: str) -> None:
        if self._feeds.pop(gateway, None) is not None:
            self._followers = {u: f for u, f in self._followers.items() if f.gateway != gateway}


def _next_push(feed: _Feed) -> bytes:
    size = taken = 0
    for _, _, frame in feed.items:
        if taken and size + len(frame) > PUSH_BYTES:
            break
        size += len(frame)
        taken += 1
    items, feed.items = feed.items[:taken], feed.items[taken:]
    more: list[int] = []
    replaced: list[int] = []
    if not feed.items:  # "more" may only be said once the page it belongs to is out
        more, feed.more = feed.more, []
        replaced, feed.replaced = feed.replaced, []
    feed.counter += 1
    header = [feed.epoch, feed.counter, [(s, p, len(f)) for s, p, f in items], more, replaced]
    return b"\n".join((orjson.dumps(header), b"".join([f for _, _, f in items])))


@dataclass(frozen=True, slots=True)
class Push:
    """One push, taken apart: (session, position, frame) in order, and what else it says."""

    items: Sequence[tuple[int, int, bytes]] = ()
    more: Sequence[int] = ()
    replaced: Sequence[int] = ()


class FeedEnd:
    """The gateway's end of its feed."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._epoch = 0
        self._told = 0
        self._counter = 0
        self._heard_s = 0.0
        self.broken = True
        """Whether the feed must be started anew; until then nothing it brings is taken."""

    def start(self, entries: Sequence[Sequence[Any]], *, epoch: int, now_s: float) -> bytes:
        """The message that starts the feed anew with everybody who is here."""
        self._epoch = max(epoch, self._epoch + 1)
        self._told = 0
        self._counter = 0
        self._heard_s = now_s
        self.broken = False
        return self.tell(entries)

    def tell(self, entries: Sequence[Sequence[Any]]) -> bytes:
        """The message that adds or ends sessions."""
        self._told += 1
        return orjson.dumps([self._gateway, self._epoch, self._told, entries])

    def check(self) -> bytes:
        """The message that asks whether both ends agree."""
        return orjson.dumps([self._gateway, self._epoch, self._told, None])

    def silent(self, now_s: float) -> bool:
        """Whether nothing was heard for so long that the feed must be taken for lost."""
        return now_s - self._heard_s > SILENCE_S

    def take(self, payload: bytes, *, now_s: float) -> Push:
        """Take one push apart; empty where it is of no use, and then `broken` may have become true."""
        line, _, frames = payload.partition(b"\n")
        header = orjson.loads(line)
        epoch, counter = header[0], header[1]
        if epoch != self._epoch or self.broken:
            return Push()
        self._heard_s = now_s
        if header[2] is None:
            self.broken = counter != self._counter
            return Push()
        if counter != self._counter + 1:
            self.broken = True
            return Push()
        self._counter = counter
        items = []
        begin = 0
        for session, position, length in header[2]:
            items.append((session, position, frames[begin : begin + length]))
            begin += length
        return Push(items, header[3], header[4])

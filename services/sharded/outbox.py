"""From a shard's outbox into the inboxes: each message to a group, once for each of the other members.

A message to a group is acknowledged when it is in the outbox. The api node that stored it copies it at
once, as letters in the lines of the members' shards, and marks it as copied when all of them are stored.
Where that node dies in between, or the mark is lost, another finds it: every node looks every `LOOK_S`
for what is older than `OVERDUE_S` and not marked. So a message may be copied twice; the inboxes leave
out what they hold already.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence

from services.sharded.batch import Key, Letter, Post
from services.sharded.database import Contended, Database, Unavailable, quoted
from services.sharded.routing import Account, Primary
from services.sharded.writer import Answer, open_for_writing

LOOK_S = 2.0
OVERDUE_S = 3.0
MOST_FOUND = 500
MOST_MARKED = 200
GATHER_S = 0.02
"""Marks wait this long for others, so that many take one commit."""
TRY_AGAIN_S = 0.2
RETRY_S = 0.1
QUERY_TIMEOUT_S = 5.0

Submit = Callable[[Letter, Answer], None]
"""Puts a letter into the line of its addressee's shard."""


def overdue() -> str:
    """What has been in the outbox for long and is not marked, the oldest first."""
    return (
        "SELECT grp,sender,message_id,body FROM outbox WHERE NOT copied"
        f" AND posted < NOW(3) - INTERVAL {OVERDUE_S:g} SECOND ORDER BY posted LIMIT {MOST_FOUND}; COMMIT"
    )


def mark(posts: Sequence[Post]) -> str:
    """Say of `posts` that they are copied."""
    which = " OR ".join(
        f"(grp={post.group} AND sender={post.sender} AND message_id={quoted(post.message_id)})"
        for post in posts
    )
    return f"UPDATE outbox SET copied=TRUE WHERE {which}; COMMIT"


class Outbox:
    """One shard's outbox on one api node. Run `run`. `others(group, sender)` says who gets a message."""

    def __init__(self, account: Account, others: Callable[[int, int], Sequence[int]], submit: Submit) -> None:
        self._account = account
        self._others = others
        self._submit = submit
        self._left: dict[Key, int] = {}
        """Posts in hand, and how many of their letters are not stored yet."""
        self._copied: list[Post] = []
        self._some = asyncio.Event()
        self._mapped = asyncio.Event()
        self._primary: Primary | None = None
        self._database: Database | None = None

    @property
    def waiting(self) -> int:
        """Messages to groups that are being copied, or to be marked."""
        return len(self._left) + len(self._copied)

    def take(self, post: Post) -> None:
        """Copy a message that the outbox holds; harmless where that is under way."""
        if post.key in self._left:
            return
        members = self._others(post.group, post.sender)
        self._left[post.key] = len(members)
        for person in members:
            self._copy(post, Letter(person, post.sender, post.message_id, post.body, post.group))
        if not members:
            self._done(post)

    def follow(self, primary: Primary) -> None:
        """Look and mark at `primary` from now on."""
        if primary != self._primary:
            self._primary = primary
            self._drop()
            self._mapped.set()

    async def run(self) -> None:
        """Look and mark until cancelled."""
        await self._mapped.wait()
        loop = asyncio.get_running_loop()
        look_at_s = loop.time()
        try:
            while True:
                try:
                    database = await self._connected()
                    if loop.time() >= look_at_s:
                        look_at_s = loop.time() + LOOK_S
                        await self._look(database)
                    await self._mark(database)
                    await self._wait(look_at_s - loop.time())
                except (Unavailable, Contended):
                    self._drop()
                    await asyncio.sleep(RETRY_S)
        finally:
            self._drop()

    async def _connected(self) -> Database:
        while self._database is None:
            assert self._primary is not None
            primary = self._primary
            database = await open_for_writing(primary, self._account)
            if primary == self._primary:
                self._database = database
            else:
                database.close()
        return self._database

    async def _look(self, database: Database) -> None:
        rows = (await database.run(overdue(), timeout_s=QUERY_TIMEOUT_S))[0].rows
        marked_soon = {post.key for post in self._copied}
        for row in rows:
            post = Post(*row)
            if post.key not in marked_soon:
                self.take(post)

    async def _mark(self, database: Database) -> None:
        while self._copied:
            posts = self._copied[:MOST_MARKED]
            await database.run(mark(posts), timeout_s=QUERY_TIMEOUT_S)
            del self._copied[: len(posts)]

    async def _wait(self, seconds: float) -> None:
        self._some.clear()
        if self._copied:
            return
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._some.wait()
        except TimeoutError:
            return
        await asyncio.sleep(GATHER_S)

    def _copy(self, post: Post, letter: Letter) -> None:
        self._submit(letter, functools.partial(self._answered, post, letter))

    def _answered(self, post: Post, letter: Letter, status: int, _: bytes) -> None:
        if status != 200:
            asyncio.get_running_loop().call_later(TRY_AGAIN_S, self._copy, post, letter)
            return
        self._left[post.key] -= 1
        if not self._left[post.key]:
            self._done(post)

    def _done(self, post: Post) -> None:
        del self._left[post.key]
        self._copied.append(post)
        self._some.set()

    def _drop(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

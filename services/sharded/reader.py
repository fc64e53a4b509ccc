"""Long polls: the people of one shard who wait at this api node, and one query for many of them.

A person who asks for what came after n is looked up, unless this node knows that nothing did: it has
answered them up to n, and no word of a message for them has come since. A look-up takes all who are to be
looked up at that moment. Word comes from this node's writer and from the other nodes (hints.py); a slow
sweep over all who wait is the net under lost words.

Who asks without waiting is looked up whatever this node knows, and answered with what there is.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import orjson

from services.sharded.database import Contended, Database, Unavailable
from services.sharded.http import Exchange
from services.sharded.routing import Account, Primary
from services.sharded.schema import DATABASE

MOST_PEOPLE = 200
MOST_ROWS = 1000
RETRY_S = 0.05
QUERY_TIMEOUT_S = 2.0
SWEEP_S = 5.0
Row = tuple[int, int, int, str, int | None, str]
"""person, seq, sender, message id, group, body"""


class _Look:
    """One question: what there is after a place in the inbox."""

    __slots__ = ("after", "exchange")

    def __init__(self, after: int, exchange: Exchange) -> None:
        self.after = after
        self.exchange = exchange


class _Poll(_Look):
    """A question that waits for something to be there, until its timer rings."""

    __slots__ = ("timer",)

    def __init__(self, after: int, exchange: Exchange, timer: asyncio.TimerHandle) -> None:
        super().__init__(after, exchange)
        self.timer = timer


def query(asked: Iterable[tuple[int, int]]) -> str:
    """What (person, after) pairs have not read yet, by person and number, MOST_ROWS at most."""
    conditions = " OR ".join(f"(person={person} AND seq>{after})" for person, after in asked)
    return (
        f"SELECT person,seq,sender,message_id,grp,body FROM {DATABASE}.inbox WHERE {conditions}"
        f" ORDER BY person,seq LIMIT {MOST_ROWS}"
    )


def shared_out(rows: Iterable[Row]) -> dict[int, list[Row]]:
    """The rows by person, in order."""
    shares: dict[int, list[Row]] = {}
    for row in rows:
        shares.setdefault(row[0], []).append(row)
    return shares


def starts(polls: Mapping[int, _Poll], looks: Mapping[int, Sequence[_Look]]) -> dict[int, int]:
    """From which place on each person's messages are wanted: the earliest that any of theirs asks for."""
    after = {person: poll.after for person, poll in polls.items()}
    for person, those in looks.items():
        earliest = min(look.after for look in those)
        after[person] = min(earliest, after.get(person, earliest))
    return after


class Reader:
    """The polls of one shard's people. Run `run`. `delivered` gets the count of messages in each answer."""

    def __init__(
        self, account: Account, name: Callable[[int], str], *, delivered: Callable[[int], None]
    ) -> None:
        self._account = account
        self._name = name
        self._delivered = delivered
        self._polls: dict[int, _Poll] = {}
        self._looks: dict[int, list[_Look]] = {}
        self._due: dict[int, None] = {}
        """People to look up, in the order they came."""
        self._read_up_to: dict[int, int] = {}
        """By person: where nothing newer was when they were last looked up and no word has come since."""
        self._some = asyncio.Event()
        self._mapped = asyncio.Event()
        self._primary: Primary | None = None
        self._database: Database | None = None

    @property
    def waiting(self) -> int:
        """People who wait."""
        return len(self._polls)

    @property
    def connected(self) -> bool:
        """Whether it holds a connection."""
        return self._database is not None

    def poll(self, person: int, after: int, wait_s: float, exchange: Exchange) -> None:
        """Answer `exchange` once there is something after `after`, or with nothing after `wait_s`.

        A person has one poll: an earlier one is answered with nothing.
        """
        earlier = self._polls.get(person)
        if earlier is not None:
            self._answer(person, earlier, [])
        timer = asyncio.get_running_loop().call_later(wait_s, self._timed_out, person)
        self._polls[person] = _Poll(after, exchange, timer)
        exchange.on_gone = lambda: self._gone(person, exchange)
        if self._read_up_to.get(person) != after:
            self._look_up(person)

    def look(self, person: int, after: int, exchange: Exchange) -> None:
        """Answer `exchange` with what is there after `after`; the person's poll goes on."""
        self._looks.setdefault(person, []).append(_Look(after, exchange))
        self._look_up(person)

    def word(self, people: Iterable[int]) -> None:
        """There is something new for `people`, some of whom may wait here."""
        for person in people:
            self._read_up_to.pop(person, None)
            if person in self._polls:
                self._look_up(person)

    def sweep(self) -> None:
        """Look up everybody who waits: words may have been lost."""
        self._read_up_to.clear()
        for person in self._polls:
            self._look_up(person)

    def let_go(self) -> None:
        """Answer everybody with nothing: the node stops."""
        for person, poll in list(self._polls.items()):
            self._answer(person, poll, [])
        for looks in self._looks.values():
            for look in looks:
                self._hand_over(look, [])
        self._looks.clear()

    def follow(self, primary: Primary) -> None:
        """Read from `primary` from now on."""
        if primary != self._primary:
            self._primary = primary
            self._drop()
            self._mapped.set()
            self.sweep()

    async def run(self) -> None:
        """Look up until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._sweep_slowly())

    async def _read(self) -> None:
        await self._mapped.wait()
        try:
            while True:
                try:
                    if self._database is None:
                        assert self._primary is not None
                        primary = self._primary
                        database = await Database.connect(primary, self._account)
                        if primary != self._primary:
                            database.close()
                            continue
                        self._database = database
                    if not self._due:
                        self._some.clear()
                        await self._some.wait()
                        continue
                    await self._look(self._database)
                except (Unavailable, Contended):
                    self._drop()
                    await asyncio.sleep(RETRY_S)
        finally:
            self._drop()

    async def _look(self, database: Database) -> None:
        polls, looks = self._take_due()
        if not polls and not looks:
            return
        for person in polls:  # a word that comes while the query runs takes it away again
            self._read_up_to[person] = -1
        try:
            asked = sorted(starts(polls, looks).items())
            rows = (await database.run(query(asked), timeout_s=QUERY_TIMEOUT_S))[0].rows
        except BaseException:
            for person, those in looks.items():
                self._looks[person] = those + self._looks.get(person, [])
            for person in (*polls, *looks):
                self._look_up(person)
            raise
        shares = shared_out(rows)
        cut_at = max(shares) if len(rows) == MOST_ROWS else None
        self._answer_looks(looks, shares, cut_at)
        self._answer_polls(polls, shares, cut_at)

    def _take_due(self) -> tuple[dict[int, _Poll], dict[int, list[_Look]]]:
        """Who is to be looked up now: their polls, which stay, and their looks."""
        polls, looks = {}, {}
        for person in list(self._due)[:MOST_PEOPLE]:
            del self._due[person]
            if person in self._polls:
                polls[person] = self._polls[person]
            if person in self._looks:
                looks[person] = self._looks.pop(person)
        return polls, looks

    def _answer_polls(
        self, polls: dict[int, _Poll], shares: dict[int, list[Row]], cut_at: int | None
    ) -> None:
        for person, poll in polls.items():
            share = [row for row in shares.get(person, ()) if row[1] > poll.after]
            whole = cut_at is None or person < cut_at
            quiet = self._read_up_to.pop(person, None) is not None
            if whole and quiet:
                self._read_up_to[person] = share[-1][1] if share else poll.after
            if self._polls.get(person) is not poll:
                # It left while the query ran, or another poll took its place, maybe from elsewhere:
                # then what was read is not what that one asked for.
                if person in self._polls:
                    self._look_up(person)
            elif share:
                self._answer(person, poll, share)
            elif not (whole and quiet):
                self._look_up(person)

    def _answer_looks(
        self, looks: dict[int, list[_Look]], shares: dict[int, list[Row]], cut_at: int | None
    ) -> None:
        for person, those in looks.items():
            for look in those:
                share = [row for row in shares.get(person, ()) if row[1] > look.after]
                if share or cut_at is None or person < cut_at:
                    self._hand_over(look, share)
                else:  # the answer was full before it came to them
                    self.look(person, look.after, look.exchange)

    async def _sweep_slowly(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep()

    def _look_up(self, person: int) -> None:
        self._due[person] = None
        self._some.set()

    def _answer(self, person: int, poll: _Poll, share: list[Row]) -> None:
        del self._polls[person]
        poll.timer.cancel()
        self._hand_over(poll, share)

    def _hand_over(self, look: _Look, share: list[Row]) -> None:
        if share:
            self._delivered(len(share))
        messages = []
        for _, seq, sender, message_id, group, body in share:
            message = {"seq": seq, "id": message_id, "from": self._name(sender), "body": body}
            if group is not None:
                message["group"] = f"g{group}"
            messages.append(message)
        following = share[-1][1] if share else look.after
        look.exchange.answer(200, orjson.dumps({"messages": messages, "next": following}))

    def _timed_out(self, person: int) -> None:
        self._answer(person, self._polls[person], [])

    def _gone(self, person: int, exchange: Exchange) -> None:
        poll = self._polls.get(person)
        if poll is not None and poll.exchange is exchange:
            del self._polls[person]
            poll.timer.cancel()

    def _drop(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

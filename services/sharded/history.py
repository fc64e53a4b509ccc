"""Fills the shards of a generation that is up with history: the same rows on both servers of each.

The rows go to primary and replica at once, outside the binary log, as the tables did (server.py): both then
hold the same, and neither has a commit that the other lacks. They go in the order of the primary key, which
is quickest. Numbers begin where a primary of epoch 1 begins.
"""

import asyncio

from pydantic import Field

from services.history import History, HistoryConfig, Telling, chunks, write_positions
from services.runtime import Node
from services.sharded.database import Database, quoted
from services.sharded.routing import Account, shard_of
from services.sharded.schema import DATABASE, EPOCH_SHIFT
from services.sharded.server import Server

ROWS_TOGETHER = 1_000
EPOCH = 1
STEP_TIMEOUT_S = 60.0


class Config(HistoryConfig):
    """Keys of a `sharded-history` node."""

    admin: Account
    shards: list[tuple[Server, Server]] = Field(min_length=1)


async def serve(node: Node, config: Config) -> None:
    """Insert everything and end; raises Unavailable where a server does not answer."""
    history, telling = History(config), Telling(node)
    persons: list[list[int]] = [[] for _ in config.shards]
    for person in range(history.persons):
        persons[shard_of(config.people.name(person), len(config.shards))].append(person)
    async with asyncio.TaskGroup() as tasks:
        sizes = [
            tasks.create_task(_fill(config, history, servers, those, telling))
            for servers, those in zip(config.shards, persons, strict=True)
        ]
    write_positions(config.positions_file, {p: _last(history, p) for p in range(history.persons)})
    telling.done(history.messages, sum(size.result() for size in sizes))


async def _fill(
    config: Config, history: History, servers: tuple[Server, Server], persons: list[int], telling: Telling
) -> int:
    """Fill one shard's two servers; the bytes its tables take on the first."""
    databases = [await Database.connect(server, config.admin) for server in servers]

    async def on_both(sql: str) -> None:
        await asyncio.gather(*(database.run(sql, timeout_s=STEP_TIMEOUT_S) for database in databases))

    try:
        await on_both(f"SET SESSION sql_log_bin=0, unique_checks=0; USE {DATABASE}")
        for person in persons:
            for part in chunks(enumerate(history.of(person), _first()), ROWS_TOGETHER):
                rows = ",".join(
                    f"({person},{seq},{m.sender},{quoted(m.message_id)},NULL,{quoted(m.body)})"
                    for seq, m in part
                )
                await on_both(f"INSERT INTO inbox (person,seq,sender,message_id,grp,body) VALUES {rows}")
                telling.stored(len(part))
            await on_both(f"UPDATE sequences SET last={_last(history, person)} WHERE person={person}")
        size = await databases[0].value(
            "SELECT SUM(FILE_SIZE) FROM information_schema.INNODB_SYS_TABLESPACES"
            f" WHERE NAME LIKE '{DATABASE}/%'",
            timeout_s=STEP_TIMEOUT_S,
        )
        return int(size)
    finally:
        for database in databases:
            database.close()


def _first() -> int:
    return (EPOCH << EPOCH_SHIFT) + 1


def _last(history: History, person: int) -> int:
    """The number of the person's last message; 0 where they have none."""
    many = len(range(person, history.messages, history.persons))
    return _first() + many - 1 if many else 0

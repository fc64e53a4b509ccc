"""What failover asks of one database server: its role, its position, and to change them.

Positions are numbers: all commits of a shard are in one GTID domain, so the third part of `0-1-57`
orders a shard's history whoever wrote it. A server that has written nothing is at 0.

Two facts of MariaDB carry the design. A commit that waits for a replica's acknowledgement is released,
committed and *answered with success* when its connection is killed or semi-synchronous replication is
switched off; so a primary that may still have clients is fenced by killing their connections first
(the writers take a commit for made only when one more sentence succeeds after it; see writer.py).
And with GTID a replica that restarts throws its relay log away; with `--skip-slave-start` its applier
then stands still until failover has noted that it may lack commits.
"""

import asyncio
from typing import NamedTuple

from services.sharded.database import Database, Unavailable, quoted
from services.sharded.routing import Account, Address
from services.sharded.schema import DATABASE, creation

QUERY_TIMEOUT_S = 5.0
GIVE_UP_S = 30.0


class Server(Address):
    """A database server: the node's name and where it listens."""

    node: str


class Role(NamedTuple):
    """What a server thinks it is. `replicas` counts those it waits for, where it does."""

    read_only: bool
    waits_for_replica: bool
    position: str
    replicas: int


class Replication(NamedTuple):
    """A replica's own view. `received` is a GTID position; `error` is empty when all is well."""

    connected: bool
    applying: bool
    received: str
    error: str


def number(position: str) -> int:
    """The commit's number in a GTID position (`0-1-57` → 57); 0 for the empty one."""
    return max((int(gtid.rpartition("-")[2]) for gtid in position.split(",") if gtid), default=0)


class Controls:
    """One server under failover's hand. Methods raise Unavailable when it does not answer in time.

    `connection`-less between failures: the next request connects again.
    """

    def __init__(self, server: Server, admin: Account) -> None:
        self.server = server
        self.node = server.node
        self._admin = admin
        self._database: Database | None = None
        self._lock = asyncio.Lock()

    async def run(
        self, sql: str, *, timeout_s: float = QUERY_TIMEOUT_S
    ) -> list[tuple[tuple[object, ...], ...]]:
        """The rows of each sentence of `sql`."""
        async with self._lock:
            if self._database is None:
                self._database = await Database.connect(self.server, self._admin, timeout_s=timeout_s)
            try:
                return [result.rows for result in await self._database.run(sql, timeout_s=timeout_s)]
            except BaseException:
                self._database.close()
                self._database = None
                raise

    def close(self) -> None:
        """Drop the connection."""
        if self._database is not None:
            self._database.close()
            self._database = None

    async def role(self, *, timeout_s: float) -> Role:
        """What it is; also the probe of a primary."""
        variables, clients = await self.run(
            "SELECT @@read_only, @@rpl_semi_sync_master_enabled, @@gtid_binlog_pos;"
            "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_clients'",
            timeout_s=timeout_s,
        )
        read_only, waits, position = variables[0]
        return Role(bool(read_only), bool(waits), str(position or ""), int(str(clients[0][1])))

    async def replication(self, *, timeout_s: float = QUERY_TIMEOUT_S) -> Replication | None:
        """Its view as a replica; None where it is not set up as one."""
        columns = ("Slave_IO_Running", "Slave_SQL_Running", "Gtid_IO_Pos", "Last_SQL_Error", "Last_IO_Errno")
        row = await self._slave_status(columns, timeout_s)
        if row is None:
            return None
        io_errno = row["Last_IO_Errno"]
        error = row["Last_SQL_Error"]
        if not error and row["Slave_IO_Running"] == "No" and io_errno not in {"", "0"}:
            error = f"replication stopped, error {io_errno}"
        return Replication(
            connected=row["Slave_IO_Running"] == "Yes",
            applying=row["Slave_SQL_Running"] == "Yes",
            received=row["Gtid_IO_Pos"],
            error=error,
        )

    async def _slave_status(self, columns: tuple[str, ...], timeout_s: float) -> dict[str, str] | None:
        async with self._lock:
            if self._database is None:
                self._database = await Database.connect(self.server, self._admin, timeout_s=timeout_s)
            try:
                row = await self._database.row("SHOW SLAVE STATUS", timeout_s=timeout_s)
            except BaseException:
                self._database.close()
                self._database = None
                raise
        return None if row is None else {column: str(row[column] or "") for column in columns}

    async def position(self) -> str:
        """Everything it has committed, as a GTID position."""
        return str((await self.run("SELECT @@gtid_binlog_pos"))[0][0][0] or "")

    async def applied(self, position: str, *, timeout_s: float) -> bool:
        """Whether the replica has applied all up to `position` within `timeout_s`."""
        sql = f"SELECT MASTER_GTID_WAIT({quoted(position)}, {timeout_s:g})"
        rows = await self.run(sql, timeout_s=timeout_s + QUERY_TIMEOUT_S)
        return rows[0][0][0] == 0

    async def prepare(self, people: int, application: Account, replication: Account) -> None:
        """Accounts and tables, outside the binary log; harmless when they are there."""
        sql = "SET SESSION sql_log_bin=0;" + creation(people)
        for account, rights in (
            (application, f"SELECT, INSERT, UPDATE, DELETE ON {DATABASE}.*"),
            (replication, "REPLICATION SLAVE ON *.*"),
        ):
            name = f"{quoted(account.user)}@'%'"
            sql += (
                f"CREATE USER IF NOT EXISTS {name} IDENTIFIED BY {quoted(account.password)};"
                f"GRANT {rights} TO {name};"
            )
        await self.run(sql + "SET SESSION sql_log_bin=1", timeout_s=GIVE_UP_S)

    async def become_primary(self, epoch: int, *, alone: bool) -> None:
        """Take writes in `epoch`; unless `alone`, each commit waits for a replica's acknowledgement.

        The epoch is written before there is anybody to wait for. What it replicated from is forgotten.
        """
        await self.run(
            "STOP SLAVE; RESET SLAVE ALL;"
            "SET GLOBAL rpl_semi_sync_slave_enabled=0;"
            f"UPDATE {DATABASE}.term SET epoch={epoch} WHERE epoch<{epoch};"
            f"SET GLOBAL rpl_semi_sync_master_enabled={int(not alone)};"
            "SET GLOBAL read_only=0",
            timeout_s=GIVE_UP_S,
        )

    async def wait_for_replica(self, waits: bool) -> None:
        """Whether commits wait for a replica's acknowledgement from now on."""
        await self.run(f"SET GLOBAL rpl_semi_sync_master_enabled={int(waits)}")

    async def fence(self, application: Account) -> None:
        """Take no writes any more; when this returns nothing of a client is running. For a lost primary."""
        # New connections may come until it is read-only, and it is not read-only before the commits
        # in flight have ended: so both are asked for, over two connections, until both are done.
        closing = await Database.connect(self.server, self._admin)
        try:
            read_only = asyncio.create_task(closing.run("SET GLOBAL read_only=1", timeout_s=GIVE_UP_S))
            try:
                while await self._clients(application) or not read_only.done():
                    await self.run(f"KILL CONNECTION USER {quoted(application.user)}")
                    await asyncio.sleep(0.02)
                await read_only
            finally:
                read_only.cancel()
                await asyncio.gather(read_only, return_exceptions=True)
        finally:
            closing.close()
        await self.run("SET GLOBAL rpl_semi_sync_master_enabled=0")

    async def _clients(self, application: Account) -> int:
        busy = f"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER={quoted(application.user)}"
        return int(str((await self.run(busy))[0][0][0]))

    async def follow(self, primary: Server, replication: Account, *, from_own_log: bool) -> None:
        """Replicate from `primary`, acknowledging what is received.

        It goes on from where it replicated to before or, `from_own_log`, from all that it has itself
        committed: the right place for a former primary.
        """
        start = "SET GLOBAL gtid_slave_pos=@@gtid_binlog_pos;" if from_own_log else ""
        await self.run(
            f"STOP SLAVE; {start}"
            "SET GLOBAL rpl_semi_sync_master_enabled=0; SET GLOBAL rpl_semi_sync_slave_enabled=1;"
            f"CHANGE MASTER TO MASTER_HOST={quoted(primary.host)}, MASTER_PORT={primary.port},"
            f" MASTER_USER={quoted(replication.user)}, MASTER_PASSWORD={quoted(replication.password)},"
            " MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=0.5;"
            "START SLAVE",
            timeout_s=GIVE_UP_S,
        )

    async def reconnect_to_primary(self) -> None:
        """Connect to the primary anew, so that a primary which now waits for replicas counts this one."""
        await self.run("STOP SLAVE IO_THREAD; START SLAVE IO_THREAD")

    async def take_all(self, *, timeout_s: float) -> int:
        """Stop receiving, apply all that was received, stop; gives the number of the last commit.

        Raises Unavailable when that takes longer.
        """
        await self.run("STOP SLAVE IO_THREAD", timeout_s=GIVE_UP_S)
        view = await self.replication()
        if view is not None and view.received and not await self.applied(view.received, timeout_s=timeout_s):
            raise Unavailable(f"{self.node} did not apply its relay log within {timeout_s:g} s")
        await self.run("STOP SLAVE SQL_THREAD", timeout_s=GIVE_UP_S)
        return number(await self.position())

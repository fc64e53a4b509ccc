"""One connection to one MariaDB server, and which of its errors mean what.

Sentences are sent as text, several at once, divided by `;`: one round trip then holds a whole
transaction. Use `quoted` for any text that comes from elsewhere.
"""

import asyncio
import contextlib
from typing import Any, NamedTuple, Self

import aiomysql
from pymysql.constants import ER
from pymysql.converters import escape_string
from pymysql.err import DataError, Error, IntegrityError, ProgrammingError

from services.sharded.routing import Account, Address

CONNECT_TIMEOUT_S = 1.0

CONTENDED = frozenset({ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT})


class Unavailable(Exception):
    """The server did not answer, or will not do this now; what was asked may or may not have happened."""


class Contended(Exception):
    """The transaction was rolled back for another's sake (deadlock, lock wait); it may be tried again."""


class Result(NamedTuple):
    """What one sentence gave: its rows, and for a change how many rows it touched."""

    rows: tuple[tuple[Any, ...], ...]
    affected: int


def quoted(text: str) -> str:
    """`text` as an SQL string."""
    return f"'{escape_string(text)}'"


class Database:
    """One connection; not for use by two tasks at once."""

    def __init__(self, connection: aiomysql.Connection, address: Address) -> None:
        self._connection = connection
        self.address = address

    @classmethod
    async def connect(
        cls, address: Address, account: Account, *, timeout_s: float = CONNECT_TIMEOUT_S
    ) -> Self:
        """Connect, with autocommit on; raises Unavailable."""
        try:
            async with asyncio.timeout(timeout_s):
                connection = await aiomysql.connect(
                    host=address.host,
                    port=address.port,
                    user=account.user,
                    password=account.password,
                    charset="utf8mb4",
                    autocommit=True,
                )
        except (Error, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise Unavailable(f"{address.host}:{address.port}: {type(error).__name__}: {error}") from error
        return cls(connection, address)

    async def run(self, sql: str, *, timeout_s: float | None = None) -> list[Result]:
        """Run the sentences of `sql`, one result each. Raises Unavailable, Contended.

        Every way in which a server may decline is Unavailable: lost, shutting down, read-only, killed.
        An error ends the connection, and with it what it held, unless it is Contended.
        """
        connection = self._connection
        results = []
        try:
            async with asyncio.timeout(timeout_s):
                await connection.query(sql)
                while True:
                    result = connection._result
                    results.append(Result(result.rows or (), result.affected_rows))
                    if not result.has_next:
                        return results
                    await connection.next_result()
        except TimeoutError as error:
            self.close()
            raise Unavailable(f"{self._where}: no answer within {timeout_s:g} s") from error
        except AttributeError as error:
            if not connection.closed:
                raise
            # aiomysql, when another task closed the connection in the middle
            raise Unavailable(f"{self._where}: closed") from error
        except (ProgrammingError, DataError, IntegrityError):
            self.close()
            raise  # a mistake of ours
        except (Error, OSError) as error:
            if error.args and error.args[0] in CONTENDED:
                raise Contended(str(error)) from error
            self.close()
            raise Unavailable(f"{self._where}: {error}") from error

    async def row(self, sql: str, *, timeout_s: float | None = None) -> dict[str, Any] | None:
        """The first row that `sql` selects, by column name; None where it selects none."""
        rows = (await self.run(sql, timeout_s=timeout_s))[0].rows
        if not rows:
            return None
        names = [column[0] for column in self._connection._result.description]
        return dict(zip(names, rows[0], strict=True))

    async def value(self, sql: str, *, timeout_s: float | None = None) -> Any:
        """The one value that `sql` selects; None where it selects no row."""
        rows = (await self.run(sql, timeout_s=timeout_s))[0].rows
        return rows[0][0] if rows else None

    def close(self) -> None:
        """Drop the connection, also under a task that waits on it (which then gets Unavailable)."""
        with contextlib.suppress(OSError, RuntimeError):
            self._connection.close()

    @property
    def _where(self) -> str:
        return f"{self.address.host}:{self.address.port}"

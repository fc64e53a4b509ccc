"""Replacing a diverged server's data by a copy of the primary's.

The copy is one consistent snapshot of the primary, taken while it serves, whose place in the binary log
is known; the server then replicates from that place. The primary puts each row into SQL itself
(QUOTE), so that nothing here knows the tables, and a row costs this process little.
"""

from services.sharded.database import Database, quoted
from services.sharded.routing import Account, Address
from services.sharded.schema import DATABASE

CHUNK_ROWS = 200  # of at most 64 KiB each: a chunk fits the 16 MiB that a server takes at once
STEP_TIMEOUT_S = 60.0


async def rebuild(source: Address, target: Address, admin: Account) -> int:
    """Copy all tables of `source` over `target`'s, and set where it replicates from; the count of rows.

    `target` must take no writes and is left with its replication stopped. Broken off in the middle it
    must be done again from the start. Raises Unavailable.
    """
    reading = await Database.connect(source, admin)
    try:
        writing = await Database.connect(target, admin)
        try:
            return await _copy(reading, writing)
        finally:
            writing.close()
    finally:
        reading.close()


async def _copy(reading: Database, writing: Database) -> int:
    results = await reading.run(
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ;"
        "START TRANSACTION WITH CONSISTENT SNAPSHOT;"
        "SHOW STATUS LIKE 'binlog_snapshot_%'",
        timeout_s=STEP_TIMEOUT_S,
    )
    snapshot = {str(name).lower(): str(value) for name, value in results[-1].rows}
    file, offset = snapshot["binlog_snapshot_file"], int(snapshot["binlog_snapshot_position"])
    position = await reading.value(
        f"SELECT BINLOG_GTID_POS({quoted(file)}, {offset})", timeout_s=STEP_TIMEOUT_S
    )
    await writing.run(
        "SET SESSION sql_log_bin=0, unique_checks=0; STOP SLAVE; RESET SLAVE ALL; RESET MASTER",
        timeout_s=STEP_TIMEOUT_S,
    )
    tables = await reading.run(
        "SELECT TABLE_NAME FROM information_schema.TABLES"
        f" WHERE TABLE_SCHEMA={quoted(DATABASE)} AND TABLE_TYPE='BASE TABLE'",
        timeout_s=STEP_TIMEOUT_S,
    )
    rows = 0
    for (table,) in tables[0].rows:
        rows += await _copy_table(reading, writing, str(table))
    await writing.run(f"SET GLOBAL gtid_slave_pos={quoted(str(position or ''))}", timeout_s=STEP_TIMEOUT_S)
    return rows


async def _copy_table(reading: Database, writing: Database, table: str) -> int:
    """Copy one table by its primary key: each chunk begins after the last key of the one before."""
    described = await reading.run(
        "SELECT COLUMN_NAME, COLUMN_KEY='PRI' FROM information_schema.COLUMNS"
        f" WHERE TABLE_SCHEMA={quoted(DATABASE)} AND TABLE_NAME={quoted(table)} ORDER BY ORDINAL_POSITION",
        timeout_s=STEP_TIMEOUT_S,
    )
    columns = [str(name) for name, _ in described[0].rows]
    key = [str(name) for name, is_key in described[0].rows if is_key]
    row = "CONCAT_WS(',', " + ", ".join(f"QUOTE(`{column}`)" for column in columns) + ")"
    key_columns = ", ".join(f"`{column}`" for column in key)
    key_text = ", ".join(f"QUOTE(`{column}`)" for column in key)
    await writing.run(f"TRUNCATE TABLE {DATABASE}.`{table}`", timeout_s=STEP_TIMEOUT_S)
    copied, after = 0, ""
    while True:
        chunk = (
            await reading.run(
                f"SELECT {row}, {key_text} FROM {DATABASE}.`{table}`{after}"
                f" ORDER BY {key_columns} LIMIT {CHUNK_ROWS}",
                timeout_s=STEP_TIMEOUT_S,
            )
        )[0].rows
        if not chunk:
            return copied
        values = "),(".join(str(line[0]) for line in chunk)
        names = ", ".join(f"`{column}`" for column in columns)
        await writing.run(
            f"INSERT INTO {DATABASE}.`{table}` ({names}) VALUES ({values})", timeout_s=STEP_TIMEOUT_S
        )
        copied += len(chunk)
        after = f" WHERE {_after(key, [str(value) for value in chunk[-1][1:]])}"


def _after(key: list[str], values: list[str]) -> str:
    """The condition for rows behind a key: for (a, b) after (1, 2), `a>1 OR (a=1 AND b>2)`.

    Spelled out, because MariaDB reads the whole table for `(a, b) > (1, 2)`.
    """
    parts = []
    for i in range(len(key)):
        equal = [f"`{key[j]}`={values[j]}" for j in range(i)]
        parts.append("(" + " AND ".join([*equal, f"`{key[i]}`>{values[i]}"]) + ")")
    return "(" + " OR ".join(parts) + ")"

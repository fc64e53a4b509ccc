"""The sharded generation on this host: two shards of two `mariadbd` each, `failover`, and two api nodes.

Every database starts read-only and with its replication stopped: only `failover` gives out roles, so a
server that comes back after a crash can neither take writes nor replicate before it has been looked at.

`mariadb-install-db` is not used: it needs programs that Debian keeps in another package than the server,
and makes help and sys tables that nobody here reads. The system tables come from the same SQL files,
fed to `mariadbd --bootstrap`, once; the other data folders are copies of the first.
"""

import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench import programs
from bench.deployment.local.topology import Process, Site, Topology
from bench.errors import MachineError
from bench.generations import SHARDED
from bench.records import Endpoint

SHARDS = 2
FAILOVER = "failover"
APIS = ("api-1", "api-2")
REDO_LOG = "--innodb-log-file-size=48M"
SYSTEM_TABLES = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")


def topology(site: Site, decisions: Mapping[str, Any] = MappingProxyType({})) -> Topology:
    """Lay the generation out in `site`; raises MachineError where this machine has no MariaDB.

    `decisions` are keys of failover's configuration about how it decides: `mode` (`automatic`, `manual`),
    `decide_delay_s`, `probe_interval_s`, `probe_timeout_s`, `misses`, `alone`.
    """
    server = Path(programs.require("mariadbd"))
    names = [f"shard-{shard}-{role}" for shard in range(SHARDS) for role in ("primary", "replica")]
    ports = {name: site.port(name) for name in names}
    template = site.data(names[0])
    databases = [
        Process(
            name=name,
            command=site.at(name, database_command(server, site, name, ports[name], server_id)),
            ready_url=None,  # failover is ready only when every database has its role
            prepare=site.at(
                name,
                bootstrap(server, template, site.host_of(FAILOVER))
                if server_id == 1
                else copy(template, site.data(name)),
            ),
        )
        for server_id, name in enumerate(names, start=1)
    ]
    secret = secrets.token_hex(32)
    accounts = {
        "admin": {"user": "root", "password": ""},
        "application": {"user": "application", "password": secrets.token_hex(16)},
    }
    failover_port, api_ports = site.port(FAILOVER), {name: site.port(name) for name in APIS}
    shards = [
        [
            {"node": name, "host": site.host_of(name), "port": ports[name]}
            for name in names
            if name.startswith(f"shard-{shard}-")
        ]
        for shard in range(SHARDS)
    ]
    failover = site.stub(
        "failover",
        FAILOVER,
        {
            "port": failover_port,
            "people": dict(site.people),
            **decisions,
            "state_file": site.data(FAILOVER) / "state.json",
            **accounts,
            "replication": {"user": "replication", "password": secrets.token_hex(16)},
            "shards": shards,
        },
    )
    apis = [
        site.stub(
            "api",
            name,
            {
                "port": port,
                "people": dict(site.people),
                "secret": secret,
                "application": accounts["application"],
                "failover": {"host": site.host_of(FAILOVER), "port": failover_port},
                "peers": [
                    {"host": site.host_of(other), "port": api_ports[other]} for other in APIS if other != name
                ],
            },
        )
        for name, port in api_ports.items()
    ]
    processes = (*databases, failover, *apis)
    assert [process.name for process in processes] == [node.name for node in SHARDED.nodes]
    return Topology(
        processes,
        tuple(Endpoint(site.host_of(name), port) for name, port in api_ports.items()),
        fill=site.fill(
            "sharded-history", "ready", {"admin": accounts["admin"], "shards": shards}, beside=FAILOVER
        ),
    )


def system_tables(server: Path) -> list[Path]:
    """The SQL files that make the system tables; raises MachineError where they are not beside `server`."""
    shares = [server.resolve().parent.parent / "share" / name for name in ("mysql", "mariadb")]
    for share in shares:
        files = [share / name for name in SYSTEM_TABLES]
        if all(file.is_file() for file in files):
            return files
    raise MachineError(
        f"{server} is here but not {SYSTEM_TABLES[0]} in {shares[0]} or {shares[1]}: "
        "install the whole of your system's MariaDB server package"
    )


def bootstrap(server: Path, data: Path, administrator: str) -> tuple[str, ...]:
    """The command that makes an empty data folder; `root` may come from loopback and from `administrator`.

    That is an address; there is no password. The order of the SQL is that of mariadb-install-db; lines
    naming this host's own name are left out as it leaves them out.
    """
    files = shlex.join(str(file) for file in system_tables(server))
    # Who may come from loopback may come from there: the same line once more, as the tables are still open.
    root = (
        f"insert ignore into global_priv select '{administrator}', User, Priv from global_priv"
        " where User='root' and Host='localhost';"
    )
    # No early finish of a pipe may pass for success: the SQL is put together first, into the folder.
    script = f"""set -eu
cd {shlex.quote(str(data))}
{{ printf 'create database if not exists mysql;\\nuse mysql;\\nset @auth_root_socket=NULL;\\n'
  cat {files}; printf '%s\\n' {shlex.quote(root)}; }} >bootstrap.all
sed -e '/@current_hostname/d' bootstrap.all >bootstrap.sql
{shlex.join([str(server), *common_options(data)])} --bootstrap --silent-startup --log-warnings=0 \
  --enforce-storage-engine= <bootstrap.sql
rm bootstrap.all bootstrap.sql"""
    return ("/bin/sh", "-c", script)


def copy(template: Path, data: Path) -> tuple[str, ...]:
    """The command that makes a data folder as a copy of another one that no server uses yet."""
    return ("cp", "-a", f"{template}/.", f"{data}/")


def common_options(data: Path) -> list[str]:
    """What preparing and serving share. MariaDB refuses to run as root unless told to."""
    user = ["--user=root"] if os.geteuid() == 0 else []
    return ["--no-defaults", *user, f"--datadir={data}", REDO_LOG, "--innodb-buffer-pool-size=64M"]


def database_command(server: Path, site: Site, node: str, port: int, server_id: int) -> tuple[str, ...]:
    """The command of one database server.

    The socket and pid file are relative to the data folder, because a socket's path may not be longer
    than 107 bytes. Semi-synchronous replication gets its rules here and is switched on by failover.
    """
    return (
        str(server),
        *common_options(site.data(node)),
        f"--bind-address={site.host_of(node)}",
        f"--port={port}",
        "--socket=mariadbd.sock",
        "--pid-file=mariadbd.pid",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
        "--max-connections=200",
        # roles are failover's to give
        "--read-only=1",
        "--skip-slave-start",
        # durable: every commit is on disk in the redo log's and the binary log's order
        "--innodb-flush-log-at-trx-commit=1",
        "--sync-binlog=1",
        # replication by GTID; a replica logs what it applies, so that it can be promoted
        f"--server-id={server_id}",
        "--log-bin=binlog",
        "--relay-log=relay",
        "--log-slave-updates",
        "--gtid-strict-mode=1",
        "--slave-parallel-threads=4",  # so that a replica, too, makes one sync for many commits
        "--binlog-format=ROW",
        "--binlog-row-image=MINIMAL",
        "--binlog-annotate-row-events=0",
        # acknowledged by the replica before it is visible on the primary; never falls back by itself
        "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
        "--rpl-semi-sync-master-timeout=31536000000",  # ms: a year
        "--rpl-semi-sync-master-wait-no-slave=1",
        # a primary that stopped without closing its connections is noticed within 2 s
        "--slave-net-timeout=2",
        # quick to start and to stop
        "--innodb-buffer-pool-load-at-startup=0",
        "--innodb-buffer-pool-dump-at-shutdown=0",
        "--key-buffer-size=1M",
        "--aria-pagecache-buffer-size=8M",
    )

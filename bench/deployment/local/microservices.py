"""The `microservices` generation on this host: a supervisor, which owns three NATS servers and the services.

The harness starts the supervisor only. It starts the others, writes their process ids where the harness
finds them, and starts them again when they die. They write into the supervisor's log, `supervisor.log`;
the NATS servers keep logs of their own, whose last lines the supervisor shows when one dies.

Every service knows all three servers, the one to begin with chosen in turn, so that the load spreads
and no single server is everybody's.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from bench import programs
from bench.deployment.local.topology import Process, Site, Topology
from bench.records import Endpoint

SUPERVISOR = "supervisor"
SERVERS = ("nats-1", "nats-2", "nats-3")
MESSAGES = ("message-1", "message-2")
GATEWAYS = ("gateway-1", "gateway-2")
CLUSTER_FILE_BYTES = 8 * 1024**3
CLUSTER_MEMORY_BYTES = 256 * 1024**2


def topology(site: Site) -> Topology:
    """Lay the generation out in `site`; raises MachineError where there is no nats-server."""
    servers = _servers(site)
    urls = [f"nats://{server.host}:{server.port}" for server in servers]
    token_key = secrets.token_hex(32)
    people = dict(site.people)
    log_servers = list(SERVERS)
    ports = {name: site.port(name) for name in GATEWAYS}
    plan: list[tuple[str, str, dict[str, Any]]] = [
        ("auth", "auth", {"people": people, "token_key": token_key}),
        ("sequence", "sequence", {"people": people, "log_servers": log_servers}),
        ("inbox", "inbox", {"log_servers": log_servers}),
        ("group", "group", {"people": people, "log_servers": log_servers}),
        *(("message", name, {"people": people}) for name in MESSAGES),
        *(
            ("gateway", name, {"people": people, "token_key": token_key, "port": ports[name]})
            for name in GATEWAYS
        ),
    ]
    stubs = [
        site.stub(kind, name, {**config, "nats": _turned(urls, index)}, owner=SUPERVISOR)
        for index, (kind, name, config) in enumerate(plan)
    ]
    owned = [
        *(server.owned() for server in servers),
        *(_owned(stub) for stub in stubs),
    ]
    supervisor = site.stub("supervisor", SUPERVISOR, {"nodes": owned})
    return Topology(
        processes=(supervisor, *(server.process for server in servers), *stubs),
        endpoints=tuple(Endpoint(site.host_of(name), ports[name]) for name in GATEWAYS),
        fill=site.fill("microservices-history", "ready", {"nats": urls}, beside=SERVERS[0]),
    )


class _Server:
    """One NATS server: its files, its ports, and how it is started."""

    def __init__(self, site: Site, name: str, binary: str) -> None:
        self.name = name
        self.host = site.host_of(name)
        self.port = site.port(name)
        self.cluster_port = site.port(name)
        self._monitor = f"http://{self.host}:{site.port(name)}"
        self._site = site
        self._config = site.folder / "config" / f"{name}.conf"
        self._log = site.data(name) / "server.log"
        self.process = Process(
            name=name,
            command=site.at(name, (binary, "--config", str(self._config))),
            ready_url=f"{self._monitor}/healthz",
            owner=SUPERVISOR,
            pid_file=site.folder / "pids" / name,
        )

    def write(self, peers: Sequence["_Server"]) -> None:
        """Write the configuration file, with routes to the other servers. JSON is valid in it."""
        text = {
            "server_name": self.name,
            "listen": f"{self.host}:{self.port}",
            "http": self._monitor.removeprefix("http://"),
            "log_file": str(self._log),
            "jetstream": {
                "store_dir": str(self._site.data(self.name)),
                "max_file_store": CLUSTER_FILE_BYTES,
                "max_memory_store": CLUSTER_MEMORY_BYTES,
            },
            "cluster": {
                "name": "threegen",
                "listen": f"{self.host}:{self.cluster_port}",
                "routes": [f"nats://{peer.host}:{peer.cluster_port}" for peer in peers if peer is not self],
            },
        }
        self._config.parent.mkdir(parents=True, exist_ok=True)
        self._config.write_text(json.dumps(text, indent=1))

    def owned(self) -> Mapping[str, Any]:
        """This server in the supervisor's configuration."""
        return {
            "name": self.name,
            "command": self.process.command,
            # One core is shared by all nodes; more threads of Go than that only fight for it.
            "environment": {"GOMAXPROCS": "1"},
            "pid_file": self.process.pid_file,
            "down_file": self.process.down_file,
            "ready_url": self.process.ready_url,
            # 503 where it lives on without its log, as after a full disk: only a new start brings that back
            "health_url": f"{self._monitor}/healthz?js-enabled-only=true",
            "log_file": self._log,
        }


def _servers(site: Site) -> list[_Server]:
    binary = programs.require("nats-server")
    servers = [_Server(site, name, binary) for name in SERVERS]
    for server in servers:
        server.write(servers)
    return servers


def _owned(stub: Process) -> Mapping[str, Any]:
    return {
        "name": stub.name,
        "command": stub.command,
        "pid_file": stub.pid_file,
        "down_file": stub.down_file,
        "ready_url": stub.ready_url,
        "health_url": f"{stub.admin_url}/healthz",
    }


def _turned(urls: Sequence[str], by: int) -> list[str]:
    by %= len(urls)
    return [*urls[by:], *urls[:by]]

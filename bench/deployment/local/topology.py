"""The words in which a generation's local layout is written down: processes, in start order, and endpoints.

Each generation's module beside this one (monolith.py, sharded.py, microservices.py, noop.py) has one
function, `topology(site) -> Topology`, which writes the nodes' configuration files into the site and
says which processes to start. It starts nothing itself.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.deployment.local.filling import NODE, Fill, History, configuration
from bench.deployment.local.ports import any_port, free_port
from bench.records import Endpoint

POSITIONS = "positions.json"
"""In a site with a history: up to where each person has received, a JSON object, position by person."""


@dataclass(frozen=True, slots=True)
class Process:
    """One node as a process of this host.

    `owner` is None for a process the harness starts, else the node that starts and restarts it; then
    `pid_file` says where its process id stands. `prepare` runs to its end once before the first
    start (making a data folder). `ready_url` answers 200 when the node is ready; None where only the
    nodes above it can tell.
    """

    name: str
    command: tuple[str, ...]
    ready_url: str | None
    admin_url: str | None = None
    prepare: tuple[str, ...] | None = None
    owner: str | None = None
    pid_file: Path | None = None

    @property
    def down_file(self) -> Path | None:
        """While it exists, the node's owner keeps it down; None where the harness starts it."""
        return None if self.pid_file is None else self.pid_file.with_name(f"{self.pid_file.name}.down")


@dataclass(frozen=True, slots=True)
class Topology:
    """A generation laid out on this host: processes in start order, and where people connect.

    `fill` puts a history into its store, where it is to have one.
    """

    processes: tuple[Process, ...]
    endpoints: tuple[Endpoint, ...]
    fill: Fill | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A place of one node's own: its address there, and the words before a command that start it there.

    They must end in the command itself (exec), so that a node's process id and death are its own.
    """

    host: str
    enter: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """The ground a topology is laid out on.

    `folder` is private to this deployment, on a real disk, and removed with it. `people` is the
    `people` object of every stub's configuration (see services.runtime.People), as plain JSON. `history` is
    what they have written before; once that is filled in, `folder` has POSITIONS. Nodes without a place of
    their own in `places` are all at `host`.
    """

    folder: Path
    people: Mapping[str, Any]
    host: str = "127.0.0.1"
    history: History | None = None
    places: Mapping[str, Place] = field(default_factory=dict)

    def host_of(self, node: str) -> str:
        """The address that the node listens at, and is found at by all others."""
        return self.places[node].host if node in self.places else self.host

    def at(self, node: str, command: Sequence[str]) -> tuple[str, ...]:
        """The command that starts `command` where the node is."""
        return (*(self.places[node].enter if node in self.places else ()), *command)

    def data(self, node: str) -> Path:
        """The node's data folder, made if need be."""
        path = self.folder / "data" / node
        path.mkdir(parents=True, exist_ok=True)
        return path

    def port(self, node: str) -> int:
        """A port that is free for the node and stays its own: below the range of outgoing connections."""
        return any_port() if node in self.places else free_port(self.host)

    def stub(
        self,
        kind: str,
        node: str,
        config: Mapping[str, Any],
        *,
        owner: str | None = None,
        beside: str | None = None,
    ) -> Process:
        """A process of this project's own stubs: writes its configuration file, adds an admin port.

        `config` holds the keys of the kind's own configuration class, without `node`, `host` and
        `admin_port`, which are added here. It runs `beside` another node where it is none itself.
        """
        place = beside or node
        host, admin_port = self.host_of(place), self.port(place)
        path = self.folder / "config" / f"{node}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {"node": node, "host": host, "admin_port": admin_port, **config}
        path.write_text(json.dumps(whole, indent=1, default=str))
        admin_url = f"http://{host}:{admin_port}"
        return Process(
            name=node,
            command=self.at(place, (sys.executable, "-m", "services", kind, "--config", str(path))),
            ready_url=f"{admin_url}/readyz",
            admin_url=admin_url,
            owner=owner,
            pid_file=None if owner is None else self.folder / "pids" / node,
        )

    def fill(
        self, kind: str, moment: Literal["before", "ready"], config: Mapping[str, Any], *, beside: str
    ) -> Fill | None:
        """What fills the store, `beside` a node, with its own keys in `config`; None without a history."""
        if self.history is None:
            return None
        every = configuration(self.history, self.people, self.folder / POSITIONS)
        process = self.stub(kind, NODE, {**every, **config}, beside=beside)
        return Fill(process.command, moment, self.history.messages)

"""What each generation is: its nodes, their roles, what they can suffer, and how a person connects.

A role says what a node is *for*, so that one profile can aim the same fault at three architectures:
`core` is the node where acknowledged messages live first, `edge` is where people connect, `replica`
holds a copy, `service` computes, `control` watches the others.

What can go wrong is a `FaultKind`. To a node: `kill` (SIGKILL), `stop` (asked to end), `restart` (stopped,
and started again at once), `pause` (SIGSTOP), `partition`, `slow`, `full_disk`, `clock_jump`. To the
people: `reconnect`, everybody's connection is dropped at once. `none` is the control: it is written down
like the others, and nothing is done.

`restart_after_s` is how long after its death the harness, playing the operator, starts a killed node
again. None means that the generation does it by itself; what was stopped on purpose only the operator
starts. It is 5 s for a database host, longer than failover needs, so that what is measured is failover
and not a fast reboot.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["core", "edge", "replica", "service", "control"]
FaultKind = Literal[
    "kill",
    "pause",
    "restart",
    "stop",
    "partition",
    "slow",
    "full_disk",
    "clock_jump",
    "reconnect",
    "none",
]
ClientKind = Literal["xmpp", "http", "websocket"]

ENDING_FAULTS: frozenset[FaultKind] = frozenset({"kill", "stop"})
"""Their node is down until somebody starts it again: the operator, or the generation itself."""
LASTING_FAULTS: frozenset[FaultKind] = frozenset({"pause", "partition", "slow", "full_disk", "clock_jump"})
"""They go on for their duration, and are then healed."""
AIMLESS_FAULTS: frozenset[FaultKind] = frozenset({"reconnect", "none"})
"""They are aimed at no node."""
ALL_FAULTS: frozenset[FaultKind] = ENDING_FAULTS | LASTING_FAULTS | {"restart"}
"""What a node that keeps data can suffer."""
KEEPING_NOTHING: frozenset[FaultKind] = ALL_FAULTS - {"full_disk"}
"""What a node without data of its own can."""

CLOCK_FROM_KERNEL: frozenset[FaultKind] = ALL_FAULTS - {"clock_jump"}
"""What a node can that asks the kernel for the time and not the C library, as programs in Go do."""


@dataclass(frozen=True, slots=True)
class NodeRole:
    """One node of a generation: its name, its role, the faults it can suffer, who restarts it."""

    name: str
    role: Role
    faults: frozenset[FaultKind] = ALL_FAULTS
    restart_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """One architecture. `nodes` is in start order; `core` names the node that `target: core` means.

    `programs` are the system's programs that its nodes need, beside this project's own.
    """

    name: str
    year: int | None
    architecture: str
    client: ClientKind
    core: str
    nodes: tuple[NodeRole, ...]
    programs: tuple[str, ...] = ()

    def node(self, name: str) -> NodeRole | None:
        """The node called `name`, or None."""
        return next((node for node in self.nodes if node.name == name), None)

    def targets(self, target: str) -> list[NodeRole]:
        """The nodes `target` may mean: `core` the core node, else the named one or all of a role."""
        if target == "core":
            target = self.core
        return [node for node in self.nodes if target in {node.name, node.role}]

    def first_that_can(self, kind: FaultKind, target: str) -> str | None:
        """The name of the first node that `target` may mean and that can suffer `kind`."""
        return next((node.name for node in self.targets(target) if kind in node.faults), None)


MONOLITH = Generation(
    name="monolith",
    year=2011,
    architecture="XMPP, one process",
    client="xmpp",
    core="server",
    nodes=(NodeRole("server", "core", restart_after_s=0.0),),
)

SHARDED = Generation(
    name="sharded",
    year=2015,
    architecture="application tier over a sharded, replicated MySQL cluster",
    client="http",
    core="shard-0-primary",
    nodes=(
        NodeRole("shard-0-primary", "core", restart_after_s=5.0),
        NodeRole("shard-0-replica", "replica", restart_after_s=5.0),
        NodeRole("shard-1-primary", "core", restart_after_s=5.0),
        NodeRole("shard-1-replica", "replica", restart_after_s=5.0),
        NodeRole("failover", "control", KEEPING_NOTHING, restart_after_s=0.0),
        NodeRole("api-1", "edge", KEEPING_NOTHING, restart_after_s=0.0),
        NodeRole("api-2", "edge", KEEPING_NOTHING, restart_after_s=0.0),
    ),
    programs=("mariadbd",),
)

MICROSERVICES = Generation(
    name="microservices",
    year=2020,
    architecture="microservices on a replicated log",
    client="websocket",
    core="nats-1",
    nodes=(
        # The supervisor owns its nodes as a container engine's agent does; without one there is
        # nobody to restart it, so no fault may be aimed at it.
        NodeRole("supervisor", "control", faults=frozenset()),
        NodeRole("nats-1", "core", CLOCK_FROM_KERNEL),
        NodeRole("nats-2", "core", CLOCK_FROM_KERNEL),
        NodeRole("nats-3", "core", CLOCK_FROM_KERNEL),
        NodeRole("auth", "service", KEEPING_NOTHING),
        NodeRole("sequence", "service", KEEPING_NOTHING),
        NodeRole("inbox", "service", KEEPING_NOTHING),
        NodeRole("group", "service", KEEPING_NOTHING),
        NodeRole("message-1", "service", KEEPING_NOTHING),
        NodeRole("message-2", "service", KEEPING_NOTHING),
        NodeRole("gateway-1", "edge", KEEPING_NOTHING),
        NodeRole("gateway-2", "edge", KEEPING_NOTHING),
    ),
    programs=("nats-server",),
)

GENERATIONS: Mapping[str, Generation] = {
    generation.name: generation for generation in (MONOLITH, SHARDED, MICROSERVICES)
}


def noop(client: ClientKind) -> Generation:
    """The calibration target in `client`'s protocol: it acknowledges at once and keeps nothing."""
    return Generation(
        name="noop",
        year=None,
        architecture=f"calibration target, {client}",
        client=client,
        core="noop",
        nodes=(NodeRole("noop", "core", restart_after_s=0.0),),
    )

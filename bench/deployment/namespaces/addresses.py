"""Which addresses the nodes get: 256 out of 198.18.0.0/15, which is kept for benchmarks (RFC 2544).

Several deployments on one host take different blocks. Pure; what the host already uses is given.
"""

import ipaddress
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from bench.errors import MachineError

BENCHMARKS = IPv4Network("198.18.0.0/15")
_BROAD = 8
"""Routes to more than this many bits of network are ways out, such as the default, and not to neighbours."""


@dataclass(frozen=True, slots=True)
class Block:
    """256 addresses: `.1` is the harness's end, nodes count from `.2`."""

    network: IPv4Network

    @property
    def device(self) -> str:
        """The name of the harness's end of the link. One name a block: the kernel refuses a second."""
        _, second, third, _ = str(self.network.network_address).split(".")
        return f"threegen-{second}-{third}"

    @property
    def harness(self) -> IPv4Address:
        """The harness's and the generator's address."""
        return self.network[1]

    def node(self, index: int) -> IPv4Address:
        """The address of node `index`, which counts from 0."""
        return self.network[index + 2]


def hardware(address: IPv4Address) -> str:
    """The hardware address that goes with it: locally administered, and the same on every run."""
    return "02:00:" + ":".join(f"{byte:02x}" for byte in address.packed)


def routed(routes_json: str) -> list[IPv4Network]:
    """The networks that `ip -json route show table all` names as destinations, IPv4 and not the default."""
    found = []
    for route in json.loads(routes_json or "[]"):
        try:
            network = ipaddress.ip_network(route["dst"], strict=False)
        except (ValueError, KeyError):  # `default`, and kinds of route without a destination
            continue
        if isinstance(network, IPv4Network) and network.prefixlen >= _BROAD:
            found.append(network)
    return found


def free_block(used: Sequence[IPv4Network], order: Iterable[IPv4Network] | None = None) -> Block:
    """The first block that overlaps nothing in `used`, tried in `order`; raises MachineError for none."""
    if order is None:
        order = random.SystemRandom().sample(list(BENCHMARKS.subnets(new_prefix=24)), 512)
    for network in order:
        if not any(network.overlaps(other) for other in used):
            return Block(network)
    overlapping = ", ".join(str(other) for other in used if other.overlaps(BENCHMARKS))
    raise MachineError(
        f"no block of {BENCHMARKS}, kept for benchmarks, is free here: there are routes to {overlapping}; "
        "remove them (ip route show table all), or use deployment: local"
    )

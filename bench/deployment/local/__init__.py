"""Real processes on this host: `mariadbd`, `nats-server` and the stubs, with private data and free ports."""

from bench.deployment.local import microservices, monolith, sharded
from bench.deployment.local.topology import Site, Topology

_LAYOUTS = {
    "monolith": monolith.topology,
    "sharded": sharded.topology,
    "microservices": microservices.topology,
}


def lay_out(generation: str, site: Site) -> Topology:
    """The generation's processes on `site`; raises MachineError where this machine lacks a program."""
    return _LAYOUTS[generation](site)

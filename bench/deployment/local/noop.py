"""The calibration target on this host: one process that acknowledges at once and keeps nothing."""

from bench.deployment.local.topology import Site, Topology
from bench.generations import ClientKind
from bench.records import Endpoint


def topology(site: Site, client: ClientKind) -> Topology:
    """Lay the target out in `site`, speaking `client`'s protocol."""
    site.folder.mkdir(parents=True, exist_ok=True)
    port = site.port()
    node = site.stub("noop", "noop", {"port": port, "client": client, "people": dict(site.people)})
    return Topology(processes=(node,), endpoints=(Endpoint(site.host, port),))

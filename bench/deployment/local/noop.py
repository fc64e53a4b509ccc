"""The calibration target on this host: one process that acknowledges at once and keeps nothing."""

from collections.abc import Mapping
from typing import Any

from bench.deployment.local.topology import Site, Topology
from bench.generations import ClientKind
from bench.records import Endpoint


def topology(site: Site, client: ClientKind, script: Mapping[str, Any] | None = None) -> Topology:
    """Lay the target out in `site`, speaking `client`'s protocol.

    `script` says what it does wrong, in the words of services/noop/script.py; without one it does nothing so.
    """
    site.folder.mkdir(parents=True, exist_ok=True)
    port = site.port()
    config: dict[str, Any] = {"port": port, "client": client, "people": dict(site.people)}
    if script is not None:
        config["script"] = dict(script)
    node = site.stub("noop", "noop", config)
    return Topology(processes=(node,), endpoints=(Endpoint(site.host, port),))

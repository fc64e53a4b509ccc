"""The monolith on this host: one server, its journal on a real disk, without TLS.

Connections stay on the loopback and every generation goes without TLS, so that what is compared is
the architectures. The server's TLS is for `external` deployments and has tests of its own.

With a history it takes no snapshots: the first would empty the journal whose replay is to be measured.
"""

from bench.deployment.local.topology import Site, Topology
from bench.records import Endpoint

NODE = "server"


def topology(site: Site) -> Topology:
    """One process, `server`; people connect to it."""
    port = site.port(NODE)
    data = site.data(NODE)
    snapshots = {} if site.history is None else {"snapshot_every_bytes": 0}
    server = site.stub("server", NODE, {"port": port, "people": site.people, "data_dir": data, **snapshots})
    return Topology(
        processes=(server,),
        endpoints=(Endpoint(site.host_of(NODE), port),),
        fill=site.fill("monolith-history", "before", {"data_dir": data}, beside=NODE),
    )

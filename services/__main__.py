"""`python -m services NODE --config FILE`: one node of one generation, in the foreground.

FILE is one JSON object; its keys are the node's configuration class (see the module named below).
Exit codes: 0 after SIGTERM or SIGINT, 2 for a bad configuration, 1 when the node broke.
"""

import argparse
import importlib
import sys
from pathlib import Path

from services.runtime import ConfigError, run

NODES = {
    "server": "services.monolith.server",
    "api": "services.sharded.api",
    "failover": "services.sharded.failover",
    "gateway": "services.microservices.gateway",
    "auth": "services.microservices.auth",
    "message": "services.microservices.message",
    "sequence": "services.microservices.sequence",
    "inbox": "services.microservices.inbox",
    "group": "services.microservices.group",
    "supervisor": "services.microservices.supervisor",
    "noop": "services.noop",
    "monolith-history": "services.monolith.history",
    "sharded-history": "services.sharded.history",
    "microservices-history": "services.microservices.history",
}
"""Node kind -> module. Each module has `Config` (a NodeConfig) and `async def serve(node, config)`.

Those of a history end by themselves, once a generation's store is filled.
"""


def main(argv: list[str] | None = None) -> int:
    """Run one node until it is told to stop; the exit code is the process's."""
    parser = argparse.ArgumentParser(prog="python -m services", description=__doc__)
    parser.add_argument("node", choices=sorted(NODES))
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args(argv)
    module = importlib.import_module(NODES[arguments.node])
    try:
        config = module.Config.read(arguments.config)
    except ConfigError as error:
        print(f"services: {error}", file=sys.stderr)
        return 2
    return run(module.serve, config)


if __name__ == "__main__":
    sys.exit(main())

"""What `bench up` prints: where to connect to a running generation, and how to look into it."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.deployment.local.deployment import LocalDeployment
from bench.generations import GENERATIONS
from bench.plan import PROBES, Plan

_SCHEMES = {"xmpp": "xmpp", "http": "http", "websocket": "ws"}


def show_up(generation: str, deployment: LocalDeployment, plan: Plan) -> RenderableType:
    """Endpoints, accounts, and every node with its process id and admin address."""
    scheme = _SCHEMES[GENERATIONS[generation].client]
    connect = ", ".join(f"{scheme}://{e.host}:{e.port}" for e in deployment.endpoints)
    nodes = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("node", "pid", "/healthz /readyz /metrics"):
        nodes.add_column(column, justify="right" if column == "pid" else "left")
    pids = deployment.nodes()
    for process in deployment.topology.processes:
        nodes.add_row(process.name, str(pids[process.name] or "–"), process.admin_url or "–")
    return Group(
        Text(f"\n{generation} is up; Ctrl-C stops it and removes its data.\n", style="bold"),
        Text(f"connect   {connect}"),
        Text(f"accounts  u0 … u{plan.clients + PROBES - 1}, password {plan.password!r}\n"),
        nodes,
        Text(),
    )

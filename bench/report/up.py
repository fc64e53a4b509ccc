"""What `bench up` prints: where to connect to a running generation, and how to look into it."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.generations import GENERATIONS
from bench.plan import PROBES, Plan
from bench.records import Endpoint, NodeView

_SCHEMES = {"xmpp": "xmpp", "http": "http", "websocket": "ws"}


def show_up(
    generation: str, endpoints: Sequence[Endpoint], nodes: Sequence[NodeView], plan: Plan
) -> RenderableType:
    """Endpoints, accounts, and every node with its process id and admin address."""
    scheme = _SCHEMES[GENERATIONS[generation].client]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("node", "pid", "/healthz /readyz /metrics"):
        table.add_column(column, justify="right" if column == "pid" else "left")
    for node in nodes:
        table.add_row(node.name, str(node.pid or "–"), node.admin_url or "–")
    return Group(
        Text(f"\n{generation} is up; Ctrl-C stops it and removes its data.\n", style="bold"),
        Text(f"connect   {', '.join(f'{scheme}://{e.host}:{e.port}' for e in endpoints)}"),
        Text(f"accounts  u0 … u{plan.clients + PROBES - 1}, password {plan.password!r}\n"),
        table,
        Text(),
    )

"""CPU-µs a transaction costs, by node: what survives a noisy machine better than any time does."""

from collections.abc import Mapping

from bench.report.figures.figure import Figure, Table, chart, cut, layer, panels
from bench.report.format import number

ROW_PX = 22


def cost(by_node_us: Mapping[str, Mapping[str, float]], phase: str) -> Figure:
    """By generation, then by node, the median over trials."""
    costs = [
        (generation, node, us)
        for generation, nodes in by_node_us.items()
        for node, us in sorted(nodes.items(), key=lambda one: -one[1])
    ]
    rows = [
        {"generation": generation, "node": node, "us": cut(us), "said": number(us)}
        for generation, node, us in costs
    ]
    highest_us = max((us for _, _, us in costs), default=1.0)
    charts = []
    for generation, nodes in by_node_us.items():
        node = {
            "field": "node",
            "type": "nominal",
            "sort": None,
            "axis": {"title": None, "minExtent": 130, "maxExtent": 130, "labelLimit": 124},
        }
        us = {
            "field": "us",
            "type": "quantitative",
            "stack": None,
            "title": "CPU-µs per acknowledged send",
            "scale": {"domain": [0, highest_us * 1.1], "nice": False},
            "axis": {"grid": True},
        }
        own = {"transform": [{"filter": {"field": "generation", "equal": generation}}]}
        colour = {
            "field": "generation",
            "type": "nominal",
            "scale": {"domain": list(by_node_us)},
            "legend": None,
        }
        tip = [{"field": "node"}, {"field": "us", "title": "CPU-µs"}]
        bar = layer("node", {"type": "bar", "cornerRadiusEnd": 2}, y=node, x=us, color=colour, tooltip=tip)
        name = layer(
            "node",
            {"type": "text", "style": "bar-name", "align": "left", "dx": 5, "clip": False},
            y=node,
            x=us,
            text={"field": "said", "type": "nominal"},
        )
        charts.append(
            chart(
                f"{generation}: {number(sum(nodes.values()))} in all",
                ROW_PX * len(nodes),
                [{**bar, **own}, {**name, **own}],
            )
        )
    return Figure(
        name="cpu",
        title="CPU per transaction, by node",
        caption=(
            f"CPU time of each node over acknowledged sends in the {phase} phase, median over the trials, "
            "read once a second from the kernel. It belongs to its load: compare it at the same rate only."
        ),
        spec=panels(*charts, data={"node": rows}, beside_px=168),
        table=Table(
            ("node", "CPU-µs per send"),
            tuple((f"{generation}: {node}", number(us)) for generation, node, us in costs),
        ),
    )

"""The dashboard asks for what the nodes really say: each of its queries, put to a real Prometheus."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from bench.deployment.local import lay_out
from bench.deployment.local.topology import Site, Topology
from bench.generations import GENERATIONS
from bench.load.clients import Acknowledged, Delivered, Message
from bench.load.crowd import connect_with
from bench.machine import find_program
from bench.records import Person
from tests.integration.conftest import PEOPLE, Running
from tests.integration.prometheus import scraping

MONITORING = Path(__file__).resolve().parents[2] / "monitoring"
DASHBOARD = MONITORING / "grafana" / "dashboards" / "threegen.json"
SCRAPE_EVERY = "250ms"
RATE_INTERVAL = "5s"
PATIENCE_S = 30.0
ROUND = 20
FAMILY = re.compile(r"([a-z_][a-z0-9_]*)\{")

Start = Callable[[Callable[[Site], Topology]], Running]


def queries(dashboard: dict[str, Any]) -> Iterator[str]:
    """The query of every target of every panel."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def concerns(query: str, generation: str) -> bool:
    """Whether the query has something to show while only this generation runs."""
    jobs = re.findall(r'job="([^"]*)"', query)
    return not jobs or generation in jobs


def filled_in(query: str, generation: str) -> str:
    """The query as Grafana would send it, with a window that suits SCRAPE_EVERY."""
    query = query.replace("$generation", generation).replace("$__range", "1m")
    query = query.replace("$__rate_interval", RATE_INTERVAL)
    assert "$" not in query
    return query


def family(metric: str) -> str:
    """The name under which Prometheus keeps the type of `metric`."""
    return re.sub("_(bucket|sum|count)$", "", metric)


def talk(running: Running, client: str, round_number: int) -> None:
    """Two people log in, one sends the other ROUND messages, both leave."""
    ids = {f"{round_number}-{i}" for i in range(ROUND)}
    with gevent.Timeout(PATIENCE_S):
        one, other = (connect_with(client)(Person(n, f"u{n}", str(PEOPLE["password"]))) for n in (0, 1))
        other.open(running.endpoints[-1])
        one.open(running.endpoints[0])
        for message_id in sorted(ids):
            one.send(Message(message_id, "u1", "Watson, come here"))
        for connection, kind in ((one, Acknowledged), (other, Delivered)):
            left = set(ids)
            for event in connection.events():
                if isinstance(event, kind):
                    left.discard(event.message_id)
                if not left:
                    break
        one.close()
        other.close()


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_query_of_the_dashboard_has_data_while_its_generation_runs(
    start: Start, tmp_path: Path, generation: str
) -> None:
    wanted = [
        filled_in(query, generation)
        for query in queries(json.loads(DASHBOARD.read_text()))
        if concerns(query, generation)
    ]
    running = start(lambda site: lay_out(generation, site))
    targets = {
        view.name: view.admin_url.removeprefix("http://")
        for view in running.deployment.views()
        if view.admin_url
    }
    with scraping(tmp_path, generation, targets, every=SCRAPE_EVERY) as prometheus:
        rounds, left = 0, wanted
        deadline = time.monotonic() + PATIENCE_S
        while left and time.monotonic() < deadline:
            talk(running, GENERATIONS[generation].client, rounds)
            rounds += 1
            left = [query for query in left if not prometheus.query(query)]
        assert left == []
        # `or` can hide a name that nobody has any more.
        told = prometheus.metrics()
        named = {family(metric) for query in wanted for metric in FAMILY.findall(query)} - {"up"}
        assert named - told == set()


def test_every_query_of_the_dashboard_concerns_some_generation() -> None:
    found = list(queries(json.loads(DASHBOARD.read_text())))
    assert len(found) > 50
    for query in found:
        assert any(concerns(query, generation) for generation in GENERATIONS), query


def test_prometheus_accepts_its_configuration() -> None:
    promtool = find_program("promtool")
    assert promtool is not None, "no promtool here: bench doctor --install --for tests"
    checked = subprocess.run(
        [promtool, "check", "config", str(MONITORING / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert checked.returncode == 0, checked.stderr

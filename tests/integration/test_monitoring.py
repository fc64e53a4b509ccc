"""What the nodes say of themselves: named and counted alike in all generations, and what the dashboard asks for.

Each query of the dashboard is put to a real Prometheus.
"""

import contextlib
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.deployment.local import lay_out, noop
from bench.deployment.local.topology import Site, Topology
from bench.generations import GENERATIONS
from bench.load.clients import Request
from bench.load.crowd import connect_with
from bench.programs import find as find_program
from bench.records import Person
from tests.integration.conftest import PEOPLE, Running
from tests.integration.prometheus import scraping
from tests.unit.clients.ear import Ear, message

MONITORING = Path(__file__).resolve().parents[2] / "monitoring"
DASHBOARD = MONITORING / "grafana" / "dashboards" / "threegen.json"
SCRAPE_EVERY = "250ms"
RATE_INTERVAL = "5s"
PATIENCE_S = 30.0
ROUND = 20
POLL_S = 0.05
PREFIXES = ("threegen_", "process_")
LABELS = {"operation", "outcome", "shard", "target", "le"}
"""None grows with the people."""
TOLD_OF_A_TALK = {
    ("threegen_requests_total", "login", "ok"): 2,
    ("threegen_messages_acknowledged_total",): ROUND + 1,
    ("threegen_messages_refused_total",): 1,
    ("threegen_messages_duplicated_total",): 1,
    ("threegen_group_sends_total",): 1,
    ("threegen_syncs_total",): 1,
    ("threegen_presence_changes_total",): 1,
    ("threegen_messages_delivered_total",): ROUND + 1,
}
"""How much each counter grows by, whatever the generation."""

Start = Callable[[Callable[[Site], Topology]], Running]


def queries(dashboard: dict[str, Any]) -> Iterator[str]:
    """The query of every target of every panel."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def concerns(query: str, generation: str) -> bool:
    """Whether the query has something to show while only this generation runs."""
    jobs = {job for jobs in re.findall(r'job=~?"([^"]*)"', query) for job in jobs.split("|")}
    return not jobs or generation in jobs or "$generation" in jobs


def filled_in(query: str, generation: str) -> str:
    """The query as Grafana would send it, with a window that suits SCRAPE_EVERY."""
    query = query.replace("$generation", generation).replace("$__range", "1m")
    query = query.replace("$__rate_interval", RATE_INTERVAL)
    assert "$" not in query
    return query


@contextlib.contextmanager
def talk(running: Running, client: str, round_number: int) -> Iterator[None]:
    """Two people log in, one sends the other ROUND messages, one of them twice, and one to nobody.

    Then they say something to their group, sync, and show that they are away. They stay for the duration.
    """
    connect = connect_with(client)
    one, other = (connect(Person(n, f"u{n}", str(PEOPLE["password"]))) for n in (0, 1))
    to_one, to_other = Ear(), Ear()
    ids = [f"{round_number}-{i}" for i in range(ROUND)]
    nobody, in_group, sync, away = (f"{round_number}-{what}" for what in ("nobody", "group", "sync", "away"))
    with gevent.Timeout(PATIENCE_S):
        other.open(running.endpoints[-1], to_other)
        one.open(running.endpoints[0], to_one)
        for message_id in (*ids, ids[0]):
            one.send(message(message_id, "u1", "Watson, come here"))
        assert sorted(to_one.hear(ROUND + 1)) == sorted(("acknowledged", i) for i in (*ids, ids[0]))
        one.send(message(nobody, f"u{PEOPLE['count']}", "Anybody?"))
        assert to_one.hear(1)[0][:2] == ("refused", nobody)
        for request in (
            Request("group_send", in_group, "g0", "All of you", 0),
            Request("sync", sync, "", "", 0),
            Request("presence", away, "away", "", 0),
        ):
            one.send(request)
            assert to_one.hear(1) == [("acknowledged", request.request_id)]
        left = {*ids, in_group}
        while left:  # what earlier rounds left may come again to who is new
            left.discard(to_other.hear(1)[0][1])
    try:
        yield
    finally:
        one.close()
        other.close()


@pytest.fixture
def with_groups(tmp_path: Path) -> Callable[[Site], Site]:
    """The site, where u0 and u1 are a group besides."""
    file = tmp_path / "groups.json"
    file.write_text(json.dumps([[0, 1]]))
    return lambda site: replace(site, people={**site.people, "groups_file": str(file)})


def exposed(running: Running) -> dict[str, str]:
    """What each node that has /metrics says there."""
    said = {}
    for view in running.deployment.views():
        if view.admin_url:
            with urllib.request.urlopen(f"{view.admin_url}/metrics", timeout=10) as answer:
                said[view.name] = answer.read().decode()
    return said


def totals(texts: Iterable[str]) -> dict[tuple[str, ...], float]:
    """The sum of each series over the nodes, by its name and label values."""
    sums: dict[tuple[str, ...], float] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = (sample.name, *(value for _, value in sorted(sample.labels.items())))
                sums[key] = sums.get(key, 0.0) + sample.value
    return sums


def promtool(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run Prometheus' own checker."""
    program = find_program("promtool")
    assert program is not None, "no promtool here: bench doctor --install --for tests"
    return subprocess.run(
        [program, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize("generation", [*GENERATIONS, "noop"])
def test_every_metric_is_named_as_ours_and_as_prometheus_advises(start: Start, generation: str) -> None:
    running = start(
        lambda site: noop.topology(site, "xmpp") if generation == "noop" else lay_out(generation, site)
    )
    said = exposed(running)
    assert said
    for node, text in said.items():
        families = list(text_string_to_metric_families(text))
        assert [family.name for family in families if not family.name.startswith(PREFIXES)] == [], node
        assert {
            label for family in families for sample in family.samples for label in sample.labels
        } <= LABELS
        checked = promtool("check", "metrics", stdin=text)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, ""), node


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_same_talk_is_counted_alike_in_every_generation(
    start: Start, with_groups: Callable[[Site], Site], generation: str
) -> None:
    running = start(lambda site: lay_out(generation, with_groups(site)))
    before = totals(exposed(running).values())
    assert before.keys() >= TOLD_OF_A_TALK.keys(), "there before anything is counted"
    with talk(running, GENERATIONS[generation].client, 0):
        counted: dict[tuple[str, ...], float] = {}
        deadline = time.monotonic() + PATIENCE_S
        while counted != TOLD_OF_A_TALK and time.monotonic() < deadline:  # delivery may be confirmed later
            gevent.sleep(POLL_S)
            now = totals(exposed(running).values())
            counted = {key: now[key] - before[key] for key in TOLD_OF_A_TALK}
        assert counted == TOLD_OF_A_TALK


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_query_of_the_dashboard_has_data_while_its_generation_runs(
    start: Start, with_groups: Callable[[Site], Site], tmp_path: Path, generation: str
) -> None:
    wanted = [
        filled_in(query, generation)
        for query in queries(json.loads(DASHBOARD.read_text()))
        if concerns(query, generation)
    ]
    running = start(lambda site: lay_out(generation, with_groups(site)))
    targets = {
        view.name: view.admin_url.removeprefix("http://")
        for view in running.deployment.views()
        if view.admin_url
    }
    with scraping(tmp_path, generation, targets, every=SCRAPE_EVERY) as prometheus:
        rounds, left = 0, wanted
        deadline = time.monotonic() + PATIENCE_S
        while left and time.monotonic() < deadline:
            with talk(running, GENERATIONS[generation].client, rounds):
                rounds += 1
            left = [query for query in left if not prometheus.query(query)]
        assert left == []


def test_every_query_of_the_dashboard_concerns_some_generation() -> None:
    found = list(queries(json.loads(DASHBOARD.read_text())))
    assert len(found) > 50
    for query in found:
        assert " or " not in query, "it would hide a name that nobody has any more"
        assert any(concerns(query, generation) for generation in GENERATIONS), query


def test_prometheus_accepts_its_configuration() -> None:
    checked = promtool("check", "config", str(MONITORING / "prometheus.yml"))
    assert checked.returncode == 0, checked.stderr

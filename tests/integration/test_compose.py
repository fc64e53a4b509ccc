"""docker-compose.yml, for real: the image is built, each generation starts and passes a message."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bench.generations import GENERATIONS
from bench.load.trial import Assignment
from bench.records import Endpoint
from tests.integration.compose import PROJECT, Compose
from tests.integration.engine import NoEngine, docker_engine
from tests.integration.prometheus import Prometheus

PATIENCE_S = 30.0
POLL_S = 0.25
PROFILES = (*GENERATIONS, "monitoring")
PEOPLE = json.loads((PROJECT / "compose" / "monolith" / "server.json").read_text())["people"]
EDGES = {
    "monolith": ("MONOLITH_PORT",),
    "sharded": ("API_1_PORT", "API_2_PORT"),
    "microservices": ("GATEWAY_1_PORT", "GATEWAY_2_PORT"),
}


@pytest.fixture(scope="module")
def built() -> Iterator[Compose]:
    """The project with its image built, nothing of it running."""
    with contextlib.ExitStack() as stack:
        missing = ""
        try:
            engine = stack.enter_context(docker_engine())
        except NoEngine as error:
            missing = str(error)
        if missing:
            pytest.fail(missing, pytrace=False)
        compose = Compose(engine)
        compose.remove()
        compose.build()
        yield compose


@pytest.fixture
def compose(built: Compose) -> Iterator[Compose]:
    """The project, removed after each test."""
    try:
        yield built
    finally:
        built.remove()


def pass_a_message(compose: Compose, generation: str) -> None:
    """Pass one through the generation, as `bench` does before it measures."""
    assignment = Assignment(
        generation=generation,
        client=GENERATIONS[generation].client,
        trial=0,
        seed=1,
        run=1,
        endpoints=tuple(Endpoint("127.0.0.1", compose.ports[name]) for name in EDGES[generation]),
    )
    passed = subprocess.run(
        [
            *(sys.executable, "-m", "bench.load.probe", "--assignment", assignment.to_json()),
            *("--people", str(PEOPLE["count"]), "--password", PEOPLE["password"]),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=PROJECT,
    )
    assert passed.returncode == 0, passed.stderr


def nodes(generation: str) -> list[str]:
    """The generation's nodes under compose, where the engine is the supervisor."""
    return [node.name for node in GENERATIONS[generation].nodes if node.name != "supervisor"]


def wait_for_targets(prometheus: Prometheus, generation: str, wanted: set[str]) -> None:
    """Return once Prometheus has read the metrics of exactly these nodes of the generation."""
    deadline = time.monotonic() + PATIENCE_S
    up: set[str] = set()
    while up != wanted:
        assert time.monotonic() < deadline, f"up: {sorted(up)}; wanted: {sorted(wanted)}"
        time.sleep(POLL_S)
        if prometheus.ready():
            up = {labels["node"] for labels in prometheus.query(f'up{{job="{generation}"}} == 1')}


def wait_restarted(compose: Compose, service: str) -> None:
    """Return once the engine has started the service's container again."""
    deadline = time.monotonic() + PATIENCE_S
    while compose.containers()[service]["RestartCount"] == 0:
        assert time.monotonic() < deadline, f"{service} was not started again"
        time.sleep(POLL_S)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_file_is_valid_with_each_profile(built: Compose, profile: str) -> None:
    built("--profile", profile, "config", "--quiet")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_generation_starts_passes_a_message_is_seen_by_prometheus_and_leaves_nothing(
    compose: Compose, generation: str
) -> None:
    compose("--profile", generation, "up", "--detach", "--no-build")
    compose("--profile", "monitoring", "up", "--detach", "prometheus")
    compose.wait_healthy(nodes(generation))
    pass_a_message(compose, generation)
    with_metrics = {name for name in nodes(generation) if not name.startswith(("shard-", "nats-"))}
    prometheus = Prometheus(f"http://127.0.0.1:{compose.ports['PROMETHEUS_PORT']}")
    wait_for_targets(prometheus, generation, with_metrics)
    if generation == "microservices":
        for service in ("nats-1", "message-1"):
            compose.crash(service)
            wait_restarted(compose, service)
        compose.wait_healthy(nodes(generation))
        pass_a_message(compose, generation)
    compose("--profile", generation, "--profile", "monitoring", "down", "--volumes")
    assert compose.left() == []


def test_what_was_acknowledged_outlives_its_container(compose: Compose) -> None:
    """The journal is in the volume: after `down` without `--volumes` the server replays it."""
    for _ in range(2):
        compose("--profile", "monolith", "up", "--detach", "--no-build")
        pass_a_message(compose, "monolith")
        container = compose.containers()["server"]["Id"]
        log = compose.docker("logs", container)
        assert compose.docker("exec", container, "id", "--user").strip() != "0"
        compose("--profile", "monolith", "down")
    (replayed,) = [json.loads(line) for line in log.splitlines() if '"replayed"' in line]
    assert replayed["records"] > 0

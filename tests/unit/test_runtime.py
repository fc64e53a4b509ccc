import asyncio
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from services.runtime import ConfigError, Node, NodeConfig, People


def test_people_are_known_by_their_names_and_nobody_else_is() -> None:
    people = People(count=12)
    assert [people.index(people.name(n)) for n in range(12)] == list(range(12))
    for stranger in ("u12", "u-1", "u01", "u", "x1", "", "u1 ", "u¹"):
        assert people.index(stranger) is None


def test_without_a_file_everybody_knows_both_neighbours() -> None:
    assert People(count=4).contacts() == [[1, 3], [0, 2], [1, 3], [0, 2]]
    assert People(count=2).contacts() == [[1], [0]]


def test_a_contacts_file_must_be_whole(tmp_path: Path) -> None:
    path = tmp_path / "contacts.json"
    path.write_text("[[1],[0]]")
    assert People(count=2, contacts_file=path).contacts() == [[1], [0]]
    with pytest.raises(ConfigError, match="2 people, expected 3"):
        People(count=3, contacts_file=path).contacts()
    path.write_text("[[1],")
    with pytest.raises(ConfigError, match="Expecting value"):
        People(count=2, contacts_file=path).contacts()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"node": "x", "prot": 5}', "prot: Extra inputs are not permitted"),
        ('{"port": 5}', "node: Field required"),
        ('{"node": "x", "port": 70000}', "port: Input should be less than or equal to 65535"),
        ("{", "the file: Invalid JSON"),
    ],
)
def test_a_bad_configuration_names_its_key(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "node.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected):
        NodeConfig.read(path)


def test_a_node_with_a_bad_configuration_says_so_in_one_line_and_exits_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services", "server", "--config", str(tmp_path / "none.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"services: {tmp_path}/none.json: No such file or directory"]


def answer(node: Node, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.admin_port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_a_node_is_alive_at_once_and_ready_when_its_checks_pass() -> None:
    node = Node(NodeConfig(node="x-1"))
    well = False

    async def probe() -> str | None:
        return None if well else "no database"

    async def broken() -> str | None:
        raise RuntimeError("boom")

    async with node.admin():
        assert (await asyncio.to_thread(answer, node, "/healthz"))[0] == 200
        status, text = await asyncio.to_thread(answer, node, "/readyz")
        assert (status, json.loads(text)["reasons"]) == (503, {"node": "starting"})
        node.check("database", probe)
        node.ready()
        status, text = await asyncio.to_thread(answer, node, "/readyz")
        assert (status, json.loads(text)["reasons"]) == (503, {"database": "no database"})
        well = True
        assert (await asyncio.to_thread(answer, node, "/readyz"))[0] == 200
        node.check("other", broken)
        status, text = await asyncio.to_thread(answer, node, "/readyz")
        assert (status, json.loads(text)["reasons"]) == (503, {"other": "RuntimeError: boom"})
        status, text = await asyncio.to_thread(answer, node, "/metrics")
        assert status == 200
        assert "process_cpu_seconds_total" in text


def test_sigterm_ends_a_node_with_0_and_its_log_is_one_json_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    path.write_text(
        json.dumps({"node": "server", "people": {"count": 2}, "data_dir": str(tmp_path / "data")})
    )
    with subprocess.Popen(
        [sys.executable, "-m", "services", "server", "--config", str(path)], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        lines = []
        for line in running.stdout:
            lines.append(json.loads(line))
            if lines[-1]["event"] == "ready":
                running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
    assert all({"t_ns", "node", "event"} <= line.keys() for line in lines)
    assert lines[0]["event"] == "started"
    assert lines[-1]["event"] == "stopped"
    assert [line["t_ns"] for line in lines] == sorted(line["t_ns"] for line in lines)

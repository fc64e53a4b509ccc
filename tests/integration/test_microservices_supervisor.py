"""The supervisor alone, with one cheap node to look after."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.deployment.local.ports import free_port

PATIENCE_S = 20.0


class Supervised:
    """A running supervisor and what it says."""

    def __init__(self, folder: Path, health_url: str | None = None) -> None:
        admin, supervisor_admin = free_port("127.0.0.1"), free_port("127.0.0.1")
        node = folder / "noop.json"
        people = {"count": 2}
        node.write_text(json.dumps({"node": "noop", "admin_port": admin, "client": "http", "people": people}))
        self.pid_file = folder / "noop.pid"
        self.down_file = folder / "noop.down"
        self.log = folder / "log"
        self.url = f"http://127.0.0.1:{supervisor_admin}"
        owned = {
            "name": "noop",
            "command": [sys.executable, "-m", "services", "noop", "--config", str(node)],
            "pid_file": str(self.pid_file),
            "down_file": str(self.down_file),
            "ready_url": f"http://127.0.0.1:{admin}/readyz",
            "health_url": health_url or f"http://127.0.0.1:{admin}/healthz",
        }
        config = folder / "supervisor.json"
        config.write_text(
            json.dumps(
                {
                    "node": "supervisor",
                    "admin_port": supervisor_admin,
                    "nodes": [owned],
                    "probe_every_s": 0.1,
                    "unresponsive_s": 1.5,
                }
            )
        )
        with self.log.open("wb") as out:
            command = [sys.executable, "-m", "services", "supervisor", "--config", str(config)]
            self.process = subprocess.Popen(command, stdout=out, stderr=out)
        wait_until(lambda: self.ready)

    @property
    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def told(self) -> list[str]:
        events = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [event["event"] for event in events if event.get("target") == "noop"]


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    running = Supervised(tmp_path)
    yield running
    running.process.kill()
    running.process.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_node_that_is_silent_for_too_long_is_ended_and_started_again(supervised: Supervised) -> None:
    pid = supervised.pid
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: "restored" in supervised.told())
    assert supervised.told() == ["detected", "decided", "restarted", "restored"]
    assert supervised.pid != pid
    assert not alive(pid)
    assert supervised.ready


class Health(BaseHTTPRequestHandler):
    """What a node says of its own health."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_a_node_that_lives_and_says_that_it_cannot_work_is_ended_and_started_again(tmp_path: Path) -> None:
    class Ill(Health): ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Ill) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running = Supervised(tmp_path, f"http://127.0.0.1:{server.server_address[1]}/")
        try:
            pid = running.pid
            Ill.status = 404  # an answer, if not to the question
            time.sleep(2.0)
            assert running.told() == []
            Ill.status = 503
            wait_until(lambda: not alive(pid))
            Ill.status = 200
            wait_until(lambda: "restored" in running.told())
            assert running.told()[:3] == ["detected", "decided", "restarted"]
        finally:
            running.process.kill()
            running.process.wait()
            server.shutdown()


def test_each_death_is_detected_and_the_node_started_again(supervised: Supervised) -> None:
    for deaths in (1, 2):
        os.kill(supervised.pid, signal.SIGKILL)
        wait_until(lambda wanted=deaths: supervised.told().count("restored") == wanted)  # type: ignore[misc]
    assert supervised.told() == ["detected", "decided", "restarted", "restored"] * 2


def test_a_node_that_is_to_be_down_is_started_once_it_no_longer_is(supervised: Supervised) -> None:
    pid = supervised.pid
    supervised.down_file.touch()
    with contextlib.suppress(ProcessLookupError):  # on a busy machine it may have been found silent
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not supervised.pid_file.exists())
    assert supervised.told()[-1] == "stopped"
    assert not alive(pid)
    supervised.down_file.unlink()
    wait_until(lambda: supervised.told()[-1] == "restored")
    told = supervised.told()
    assert told[told.index("stopped") :][:3] == ["stopped", "restarted", "restored"]


def test_a_supervisor_that_is_killed_leaves_no_node_behind(supervised: Supervised) -> None:
    pid = supervised.pid
    supervised.process.kill()
    supervised.process.wait()
    wait_until(lambda: not alive(pid))


def test_a_supervisor_that_is_asked_to_stop_ends_its_nodes_first(supervised: Supervised) -> None:
    pid = supervised.pid
    supervised.process.terminate()
    assert supervised.process.wait(PATIENCE_S) == 0
    assert not alive(pid)
    assert supervised.told() == []

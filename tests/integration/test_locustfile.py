"""The locustfile of docs/locust.md, under Locust's own command, against the calibration target."""

import csv
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench.deployment.local.noop import topology
from bench.deployment.local.topology import Site, Topology
from bench.load.drain import NOTHING_DELIVERED
from bench.plan import PASSWORD
from tests.integration.conftest import Running

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "locust.md"
PEOPLE = 20
PATIENCE_S = 90

Start = Callable[[Callable[[Site], Topology]], Running]
Locust = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The file that the document shows, as it shows it."""
    (text,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path / "locustfile.py"
    file.write_text(text)
    return file


@pytest.fixture
def url(start: Start) -> str:
    people = {"count": PEOPLE, "password": PASSWORD}
    (endpoint,) = start(lambda site: topology(replace(site, people=people), "websocket")).endpoints
    return f"ws://{endpoint.host}:{endpoint.port}"


def command(file: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--only-summary", *options]


def load(file: Path, url: str, out: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(
            file,
            *("--host", url, "-u", str(PEOPLE), "-r", "100", "-t", "6s", "--json"),
            *("--threegen-out", str(out), *options),
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def by_operation(done: "subprocess.CompletedProcess[str]") -> Mapping[str, Mapping[str, Any]]:
    """Locust's own statistics, as it prints them at the end."""
    return {entry["name"]: entry for entry in json.loads(done.stdout)}


def recorded(out: Path, operation: str, column: str) -> int:
    with (out / "timeline.csv").open() as file:
        return sum(int(row[column]) for row in csv.DictReader(file) if row["operation"] == operation)


def audit(out: Path) -> Mapping[str, str]:
    with (out / "audit.csv").open() as file:
        return list(csv.DictReader(file))[-1]


def agree(done: "subprocess.CompletedProcess[str]", out: Path) -> None:
    """Locust's figures, ours and the audit say the same."""
    assert done.returncode == 0, done.stderr
    shown = by_operation(done)
    for operation in ("login", "send", "sync"):
        assert shown[operation]["num_requests"] == recorded(out, operation, "ok"), operation
        assert shown[operation]["num_failures"] == 0
    whole = audit(out)
    assert whole["verdict"] == "complete", whole
    assert recorded(out, "login", "ok") == PEOPLE
    sends = recorded(out, "send", "sent")
    assert int(whole["attempted"]) == int(whole["delivered"]) == sends
    assert f"{sends} messages attempted, {sends} acknowledged, 0 lost: complete" in done.stderr
    everything = sends + recorded(out, "sync", "sent")
    # 6 s at 200/s less the logins' time; Poisson, so far from it would be wrong a thousand times a thousand.
    assert 500 < everything < 1_450
    assert 0.8 < sends / everything < 0.97


def test_the_documents_example_runs_and_all_figures_agree(example: Path, url: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    agree(load(example, url, out), out)


class _Page(BaseHTTPRequestHandler):
    """A plain web server's one page."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None: ...


def test_of_a_plain_web_server_nothing_is_called_lost(tmp_path: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "locustfile.py"
    file.write_text(
        "from bench.load.messaging_user import MessagingUser\n"
        "class Visitor(MessagingUser):\n"
        "    protocol, rate = 'request', '50/s'\n"
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = load(file, f"http://127.0.0.1:{server.server_port}", out)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    whole = audit(out)
    assert int(whole["acknowledged"]) == int(whole["attempted"]) > 50
    assert (whole["lost"], whole["delivered"], whole["verdict"]) == ("0", "0", "unknown")
    assert f"0 lost: unknown ({NOTHING_DELIVERED})" in done.stderr


def test_a_master_and_its_workers_do_what_one_process_does(example: Path, url: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    port = str(free_port())
    workers = [
        subprocess.Popen(
            command(example, "--worker", "--master-host", "127.0.0.1", "--master-port", port),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        done = load(
            example,
            url,
            out,
            *("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port),
            *("--expect-workers", "2"),
        )
        agree(done, out)
        for worker in workers:
            assert worker.wait(PATIENCE_S) == 0, worker.communicate()[1]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def test_a_worker_that_is_lost_ends_the_test_and_the_audit_says_so(
    example: Path, url: str, tmp_path: Path
) -> None:
    out, port = tmp_path / "out", str(free_port())
    join = command(example, "--worker", "--master-host", "127.0.0.1", "--master-port", port)
    workers = [subprocess.Popen(join, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
    lead = command(
        example,
        *("--host", url, "-u", str(PEOPLE), "-r", "100", "-t", "120s", "--threegen-out", str(out)),
        *("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port),
        *("--expect-workers", "2"),
    )
    master = subprocess.Popen(lead, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (out / "timeline.csv").exists() or recorded(out, "send", "sent") == 0:
            assert master.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        workers[0].kill()
        said = master.communicate(timeout=PATIENCE_S)[1]
        assert master.returncode == 1, said
        assert "was lost" in said
        assert audit(out)["verdict"] == "unknown"
    finally:
        master.kill()
        master.communicate()
        for worker in workers:
            worker.kill()
            worker.wait()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('protocol = "smoke signals"', "Friend.protocol: 'smoke signals': expected one of xmpp, http"),
        ('host = "nowhere"', "Friend.host: 'nowhere': expected SCHEME://ADDRESS:PORT"),
        ("rate = 100", "Friend.rate: 100: "),
        ('settings = {"load": {"timeout": "soon"}}', "Friend.settings: load.timeout: 'soon': "),
        ('settings = {"load": {"mix": {"send": "50%"}}}', "Friend.settings: load.mix"),
    ],
)
def test_a_wrong_attribute_is_one_line_and_exit_2(tmp_path: Path, given: str, told: str) -> None:
    file = tmp_path / "locustfile.py"
    file.write_text(
        "from bench.load.messaging_user import MessagingUser\n\n\n"
        f'class Friend(MessagingUser):\n    host = "ws://127.0.0.1:1"\n    {given}\n'
    )
    done = subprocess.run(
        command(file, "-u", "2", "-t", "1s"), capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("threegen:")]
    assert told in line
    assert "Traceback" not in done.stderr
    assert done.returncode == 2


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port

"""nginx as the server that all throughput is measured against: one process on one core, one fixed answer.

It counts the requests itself (stub_status), so that no tool is believed about its own speed.
"""

import http.client
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.deployment.local.ports import free_port
from bench.programs import require
from tests.benchmarks.running import Running

BODY = "x" * 64
START_TIMEOUT_S = 10.0
_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = / {{ default_type text/plain; return 200 "{body}"; }}
        location = /count {{ stub_status; }}
    }}
}}
"""


class Nginx:
    """One nginx on a free port of loopback, as `with`; all its files are in `folder`."""

    host = "127.0.0.1"

    def __init__(self, folder: Path, cores: frozenset[int] | None) -> None:
        self._folder = folder.resolve()
        self._cores = cores
        self.port = free_port(self.host)

    def requests(self) -> int:
        """How many requests it has answered so far, this one not among them."""
        asking = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            asking.request("GET", "/count")
            text = asking.getresponse().read().decode()
        finally:
            asking.close()
        self._asked += 1
        return counted(text) - self._asked

    def cpu_s(self) -> float:
        """CPU seconds it has used so far."""
        return self._running.cpu_s()

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "nginx.conf"
        file.write_text(_CONFIGURATION.format(folder=self._folder, port=self.port, body=BODY))
        command = (
            require("nginx"),
            "-p",
            str(self._folder),
            "-c",
            str(file),
            "-e",
            f"{self._folder}/error.log",
        )
        self._running = Running(command, self._folder / "nginx.log", cores=self._cores)
        self._asked = 0
        self._running.await_answer(self.requests, START_TIMEOUT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.end()


def counted(status: str) -> int:
    """The requests of a stub_status page: the third number of its third line."""
    return int(status.splitlines()[2].split()[2])

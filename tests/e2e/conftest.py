"""The `bench` command as a user starts it: a process of its own, in its own results folder."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
MARK = "THREEGEN_TEST"


@dataclass
class Bench:
    """Runs `bench` with its own results, lock and temporary files; knows every process it led to."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def environment(self) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return {**os.environ, MARK: self.mark, "TMPDIR": str(temporary), "COLUMNS": "80"}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "bench", "--results", str(self.results), *words]

    def __call__(self, *words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=self.environment(),
            cwd=PROJECT,
        )

    def start(self, *words: str) -> "subprocess.Popen[str]":
        with (self.folder / "out.txt").open("w") as out:
            running = subprocess.Popen(
                self.command(*words),
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                env=self.environment(),
                cwd=PROJECT,
                start_new_session=True,
            )
        self.started.append(running)
        return running

    def said(self) -> str:
        return (self.folder / "out.txt").read_text()

    def processes(self) -> dict[int, str]:
        """Command lines, by process id, of everything alive that descends from this bench."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                    if state not in "ZX":
                        found[int(folder.name)] = words
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found

    def wait_gone(self, within_s: float) -> dict[int, str]:
        """What is still alive after at most `within_s`."""
        deadline = time.monotonic() + within_s
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def wait_said(self, text: str, running: "subprocess.Popen[str]", within_s: float = 60) -> None:
        deadline = time.monotonic() + within_s
        while text not in self.said():
            assert running.poll() is None, f"ended before it said {text!r}:\n{self.said()}"
            assert time.monotonic() < deadline, f"never said {text!r}:\n{self.said()}"
            time.sleep(0.02)


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """A shell's background command ignores SIGINT, and would hand that on to those whom tests interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    it = Bench(tmp_path)
    yield it
    for running in it.started:
        running.kill()
        running.wait()
    assert it.wait_gone(10) == {}, "processes were left behind"


@pytest.fixture
def profile(tmp_path: Path) -> Callable[..., Path]:
    """`profile(text)` writes a profile and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "profile.yaml"
        path.write_text(text)
        return path

    return write

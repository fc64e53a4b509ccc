"""A process of a benchmark: pinned, gone with this one, its CPU time and memory read from outside.

The same clock for every tool: what /proc says of the process and its descendants, between two moments of
our choosing, so that start-up counts for nobody.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from bench.children import die_with_parent, last_line
from bench.errors import DeploymentError

STOP_GRACE_S = 10.0


class Running:
    """`command` while it runs, as `with`: leaving ends it. What it says goes to `log`."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        cores: frozenset[int] | None,
        talk: bool = False,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """With `talk` its standard input and output are pipes. Raises DeploymentError where it cannot start."""
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            try:
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if talk else out,
                    stderr=out,
                    env={**os.environ, **(environment or {})},
                    cwd=folder,
                    start_new_session=True,
                    preexec_fn=die_with_parent(cores),  # noqa: PLW1509  # there are no threads here
                )
            except OSError as error:
                raise DeploymentError(f"cannot start {command[0]}: {error.strerror}") from error
        self._process = psutil.Process(self._child.pid)

    @property
    def stdin(self) -> IO[bytes]:
        """Where it hears, of a process that talks."""
        assert self._child.stdin is not None
        return self._child.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Where it speaks, of a process that talks."""
        assert self._child.stdout is not None
        return self._child.stdout

    @property
    def alive(self) -> bool:
        """Whether it runs still."""
        return self._child.poll() is None

    def cpu_s(self) -> float:
        """CPU seconds, user and system, of it and its descendants so far; a kernel's tick, 10 ms, fine."""
        return sum(sum(process.cpu_times()[:4]) for process in self._family())

    def resident_bytes(self) -> int:
        """What it and its descendants hold in memory now."""
        return sum(process.memory_info().rss for process in self._family())

    def peak_bytes(self) -> int:
        """The most that each of them has held (VmHWM), added up."""
        return sum(_peak_bytes(process.pid) for process in self._family())

    def await_answer(self, ask: Callable[[], object], timeout_s: float) -> None:
        """Until `ask` raises no OSError any more; ends it and raises DeploymentError where that takes too long."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.check()
            try:
                ask()
            except OSError as error:
                if time.monotonic() > deadline:
                    self.end()
                    raise DeploymentError(f"{self._name} does not answer: {error}; see {self.log}") from error
                time.sleep(0.02)
            else:
                return

    def wait(self, timeout_s: float) -> None:
        """Until it has ended by itself, well; raises DeploymentError where it does not."""
        try:
            code = self._child.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise DeploymentError(
                f"{self._name} did not end within {timeout_s:g} s; see {self.log}"
            ) from error
        if code != 0:
            raise DeploymentError(f"{self._name} ended with {code}: {last_line(self.log)} (all: {self.log})")

    def check(self) -> None:
        """Raise DeploymentError where it has ended."""
        if not self.alive:
            code = self._child.returncode
            raise DeploymentError(f"{self._name} ended with {code}: {last_line(self.log)} (all: {self.log})")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._child.send_signal(number)

    def end(self) -> None:
        """SIGTERM, patience, then SIGKILL to its whole group."""
        if self.alive:
            self._child.send_signal(signal.SIGCONT)
            self._child.terminate()
            try:
                self._child.wait(STOP_GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._child.pid, signal.SIGKILL)
                self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def _name(self) -> str:
        return Path(str(self._child.args[0])).name  # type: ignore[index]  # a sequence was given

    def _family(self) -> list[psutil.Process]:
        self.check()
        return [self._process, *self._process.children(recursive=True)]


def machine_cpu_s() -> float:
    """CPU seconds that all processes together have used, and that the hypervisor took, so far."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice


def _peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0

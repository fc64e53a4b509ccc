"""One process that a supervisor owns: started, watched, ended.

A child asks the kernel to be killed when its parent dies (PR_SET_PDEATHSIG, prctl(2)): a supervisor ended by
SIGKILL leaves nothing running. That signal follows the thread that forked, so children are only started
from the main thread. Its death shows at once on a pidfd (pidfd_open(2)), on the event loop.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """A running process; `wait` it exactly once."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    async def wait(self) -> int:
        """Its exit code once it has ended; negative for the signal that killed it."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        descriptor = os.pidfd_open(self.pid)
        try:
            loop.add_reader(descriptor, ended.set)
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return self._process.wait()

    def send(self, number: int) -> None:
        """Send a signal; nothing happens where it has ended. A stopped process is woken for SIGTERM."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
            if number == signal.SIGTERM:
                self._process.send_signal(signal.SIGCONT)


def start(command: Sequence[str], *, environment: Mapping[str, str]) -> Child:
    """Start `command` with this process's own output; raises OSError where it cannot be."""
    assert threading.current_thread() is threading.main_thread()
    parent = os.getpid()

    def in_child() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return Child(
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
            preexec_fn=in_child,  # noqa: PLW1509  # one thread, and nothing but system calls in it
        )
    )


def write_pid(path: Path, pid: int) -> None:
    """Put the process id where others look for it, whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(f"{pid}\n")
    partial.replace(path)

"""Child processes that cannot outlive the harness.

Each child asks the kernel to be killed when its parent dies (PR_SET_PDEATHSIG, prctl(2)), so that even
a harness ended by SIGKILL leaves nothing running. The signal follows the *thread* that forked, so
children are only ever started from the main thread. Each child leads its own process group, gets the
cores it is told, and writes its output straight into its log file: no pipe to fill, nothing lost when
the harness dies first.
"""

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.errors import DeploymentError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(cores: frozenset[int] | None) -> Callable[[], None]:
    """What a child does between fork and exec: tie its life to this process, take cores and files."""
    parent = os.getpid()
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)

    def in_child() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # a socket for each person
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)
        if cores:
            os.sched_setaffinity(0, cores)

    return in_child


async def spawn(
    command: Sequence[str],
    log: Path,
    *,
    cores: frozenset[int] | None = None,
    talk: bool = False,
) -> asyncio.subprocess.Process:
    """Start `command` with its output appended to `log`; raises DeploymentError where it cannot be.

    With `talk`, its standard input and output are pipes, and only its errors go to the log.
    """
    assert threading.current_thread() is threading.main_thread()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE if talk else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if talk else out,
                stderr=out,
                start_new_session=True,
                preexec_fn=die_with_parent(cores),
            )
        except OSError as error:
            raise DeploymentError(f"cannot start {command[0]}: {error.strerror}") from error


async def run_to_end(
    command: Sequence[str], log: Path, *, timeout_s: float, cores: frozenset[int] | None = None
) -> None:
    """Run a preparing command; raises DeploymentError with the log's last line when it fails."""
    child = await spawn(command, log, cores=cores)
    try:
        code = await asyncio.wait_for(child.wait(), timeout_s)
    except TimeoutError as error:
        raise DeploymentError(f"{command[0]} did not end within {timeout_s:g} s; see {log}") from error
    finally:
        await end(child, grace_s=0)
    if code != 0:
        raise DeploymentError(f"{command[0]} ended with {code}: {last_line(log)} (all of it: {log})")


async def end(child: asyncio.subprocess.Process, *, grace_s: float) -> None:
    """SIGTERM, `grace_s` seconds of patience, then SIGKILL to its whole group; returns once it is reaped."""
    if child.returncode is None and grace_s > 0:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGCONT)  # a stopped process would not hear the rest
            child.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), grace_s)
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    await child.wait()


def last_line(log: Path) -> str:
    """The last non-empty line of a log, shortened; "its log is empty" where there is none."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1].strip()[:300] if lines else "its log is empty"

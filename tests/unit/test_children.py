import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.children import end, last_line, run_to_end, spawn
from bench.errors import DeploymentError


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


PARENT = """
import asyncio, sys
from pathlib import Path
from bench.children import spawn
async def main():
    child = await spawn(["sleep", "600"], Path(sys.argv[1]))
    print(child.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def test_a_child_dies_with_its_parent_even_by_sigkill(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    deadline = time.monotonic() + 10
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_a_child_gets_its_cores_and_a_group_of_its_own(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    child = await spawn(["sleep", "600"], tmp_path / "log", cores=frozenset({core}))
    try:
        assert os.sched_getaffinity(child.pid) == {core}
        assert os.getpgid(child.pid) == child.pid
    finally:
        await end(child, grace_s=0)
    assert child.returncode == -signal.SIGKILL


async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    child = await spawn(
        ["bash", "-c", "trap '' TERM; echo on; while :; do sleep 0.1; done"], tmp_path / "log"
    )
    while not (tmp_path / "log").read_text():
        await asyncio.sleep(0.01)
    await end(child, grace_s=0.2)
    assert child.returncode == -signal.SIGKILL


async def test_a_stopped_child_can_still_be_ended_politely(tmp_path: Path) -> None:
    child = await spawn(["sleep", "600"], tmp_path / "log")
    child.send_signal(signal.SIGSTOP)
    await end(child, grace_s=10)
    assert child.returncode == -signal.SIGTERM


async def test_a_program_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="cannot start no-such-program: No such file"):
        await spawn(["no-such-program"], tmp_path / "log")


async def test_a_preparing_command_that_fails_gives_its_last_words(tmp_path: Path) -> None:
    command = ["bash", "-c", "echo first; echo the disk is full >&2; echo; exit 3"]
    with pytest.raises(DeploymentError, match="bash ended with 3: the disk is full"):
        await run_to_end(command, tmp_path / "log", timeout_s=30)


async def test_a_preparing_command_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"sleep did not end within 0.1 s"):
        await run_to_end(["sleep", "600"], tmp_path / "log", timeout_s=0.1)


def test_the_last_line_of_nothing_is_said_to_be_nothing(tmp_path: Path) -> None:
    assert last_line(tmp_path / "none") == "its log is empty"

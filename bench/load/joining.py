"""`bench worker`: lends this host to a run on another, a process for each of its trials.

A run has a master for each trial, at the same address; between two trials there is none for a while.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.children import end, last_line, spawn
from bench.errors import LoadError, UserError

DEFAULT_PORT = 5557
"""Where a master that workers of other hosts come to listens if not told otherwise; it is Locust's own."""
BETWEEN_TRIALS_S = 120.0
POLL_S = 0.5
NO_MASTER = 2
"""What a worker process that found no master ends with."""


async def work(host: str, port: int, wait_s: float, say: Callable[[str], None]) -> int:
    """Work for the master at this address until there has been none for a while; how many trials it was.

    Raises UserError where there is none within `wait_s` at the beginning, LoadError where a trial broke.
    """
    trials = 0
    say(f"looking for a master at {host}:{port}")
    while await _master_there(host, port, BETWEEN_TRIALS_S if trials else wait_s):
        say(f"trial {trials + 1}: working for {host}:{port}")
        trials += await _one_trial(host, port)
        say(f"trial {trials} is over; waiting up to {BETWEEN_TRIALS_S:.0f} s for another (Ctrl-C ends)")
    if not trials:
        raise UserError(
            f"no master at {host}:{port}; start one there (bench run … --join 1 --listen {host}:{port}), "
            "or look longer for it with --wait"
        )
    return trials


async def _master_there(host: str, port: int, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 5)
        except (OSError, TimeoutError):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_S)
        else:
            writer.close()
            return True


async def _one_trial(host: str, port: int) -> int:
    """Work for one trial; 1, or 0 where the master had gone before it was reached."""
    with tempfile.TemporaryDirectory(prefix="threegen-worker-") as folder:
        log = Path(folder) / "worker.log"
        command = (sys.executable, "-m", "bench.load.worker", "--master", f"{host}:{port}")
        child = await spawn(command, log)
        try:
            code = await child.wait()
        finally:
            await end(child, grace_s=0.5)
        if code not in {0, NO_MASTER}:
            raise LoadError(f"the worker process ended with {code}: {last_line(log)}")
        return int(code == 0)

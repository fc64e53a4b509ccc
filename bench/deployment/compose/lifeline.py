"""python -m bench.deployment.compose.lifeline PROJECT LOGS: outlives the harness, and removes what it left.

Containers are the engine's children, not ours: the kernel does not end them with the harness. This
small process waits at a pipe whose other end only the harness holds. A line means that the harness has
cleared up; the end of the pipe without one means that it died, or could not, and then the project is
removed. docker-compose may have asked for more just before it died too, so it is looked for again until
nothing has come for a while.
"""

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from docker.errors import DockerException
from requests.exceptions import RequestException

from bench.deployment.compose.engine import connect, keep_logs, remove
from bench.errors import MachineError
from bench.project import PROJECT

QUIET_S = 2.0
PATIENCE_S = 120.0
LOOK_EVERY_S = 0.5
CLEARED = b"cleared\n"


class Lifeline:
    """The harness's end of it."""

    def __init__(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child

    @classmethod
    def hold(cls, project: str, logs: Path) -> Self:
        """Start the child; its complaints, and what the containers said, go to the folder `logs`."""
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / "lifeline.log").open("ab") as out:
            # Not by bench.children: this one must not die with us. In a session of its own, so that what
            # interrupts us does not reach it.
            child = subprocess.Popen(
                [sys.executable, "-m", "bench.deployment.compose.lifeline", project, str(logs)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=PROJECT,
            )
        return cls(child)

    async def release(self) -> None:
        """Nothing is left to remove: let the child end."""
        await asyncio.to_thread(self._child.communicate, CLEARED)

    async def let_go(self) -> None:
        """Something may be left: let the child try, and wait until it has."""
        await asyncio.to_thread(self._child.communicate)


def outlive(project: str, logs: Path) -> None:
    """Keep the project's logs and remove it, until no more comes for QUIET_S; give up after PATIENCE_S."""
    began_s = quiet_s = time.monotonic()
    while (now_s := time.monotonic()) - quiet_s < QUIET_S and now_s - began_s < PATIENCE_S:
        try:
            client = connect()
            try:
                keep_logs(client, project, logs)
                if remove(client, project):
                    quiet_s = time.monotonic()
            finally:
                client.close()
        except (MachineError, DockerException, RequestException, OSError) as error:
            print(f"{project}: {error}", flush=True)
            quiet_s = time.monotonic()
        time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    if sys.stdin.buffer.readline() != CLEARED:
        outlive(sys.argv[1], Path(sys.argv[2]))

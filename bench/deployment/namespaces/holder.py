"""A process that does nothing but hold namespaces open: they live as long as it does.

It waits for the end of its standard input, a pipe from the harness, and asks for SIGKILL at its parent's
death besides (children.py): a harness that is killed leaves no namespace.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from bench import programs
from bench.children import end, last_line, spawn
from bench.errors import DeploymentError

# Before any device is there: with IPv6, each would ask for its neighbours by itself.
_WAIT = "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; echo held; exec cat"
HOLD_TIMEOUT_S = 10.0


class Holder:
    """Namespaces of one holding process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def start(cls, kinds: Sequence[str], log: Path) -> "Holder":
        """Hold new namespaces of `kinds`, words of unshare(1) such as `--net`; raises DeploymentError."""
        command = (programs.require("unshare"), *kinds, "/bin/sh", "-c", _WAIT)
        process = await spawn(command, log, talk=True)
        assert process.stdout is not None
        try:
            said = await asyncio.wait_for(process.stdout.readline(), HOLD_TIMEOUT_S)
            if said != b"held\n":
                raise DeploymentError(f"no namespace ({' '.join(kinds)}): {last_line(log)}")
        except TimeoutError as error:
            await end(process, grace_s=0)
            raise DeploymentError(f"no namespace within {HOLD_TIMEOUT_S:g} s; see {log}") from error
        except BaseException:
            await end(process, grace_s=0)
            raise
        return cls(process)

    def path(self, kind: str) -> Path:
        """Where the kernel shows the namespace: `net`, `mnt`."""
        return Path(f"/proc/{self.pid}/ns/{kind}")

    @property
    def root(self) -> Path:
        """The file system as it is seen in the held mount namespace."""
        return Path(f"/proc/{self.pid}/root")

    async def release(self) -> None:
        """End the holder, and with it the namespaces that nobody else is in."""
        await end(self._process, grace_s=0)

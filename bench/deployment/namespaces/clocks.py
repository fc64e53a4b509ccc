"""Wall clocks that can be wrong: libfaketime between a node and its C library.

Preloaded only in nodes whose clock the plan moves. A read of the wall clock costs those ten times what it
does (0.5 µs for 0.05), the monotonic clock what it always does and stays true. Programs that ask the kernel
themselves, such as those written in Go, do not see it: no such fault may be aimed at them (generations.py).
"""

import asyncio
from pathlib import Path

from bench import programs
from bench.children import run_to_end
from bench.deployment.namespaces.holder import Holder
from bench.errors import DeploymentError, MachineError

LIBRARY = "libfaketimeMT.so.1"
_PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
SEEN_AFTER_S = 2.0
"""The library looks into its file once its seconds have moved on by more than one."""


class Clocks:
    """One file a node, in `folder`, that says how far its clock is off."""

    def __init__(self, folder: Path, nodes: frozenset[str], log: Path) -> None:
        self._folder = folder
        self._log = log
        self._nodes = nodes

    def environment(self, node: str) -> tuple[str, ...]:
        """The words that start a command with a clock that can be moved; none where no plan moves it."""
        if node not in self._nodes:
            return ()
        return (
            "env",
            f"LD_PRELOAD={library()}",
            f"FAKETIME_TIMESTAMP_FILE={self._folder / node}",
            "FAKETIME_CACHE_DURATION=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
        )

    async def open(self, holder: Holder) -> None:
        """Set all clocks right; what the library keeps in /dev/shm stays in the mount namespace of `holder`.

        It removes that only where it is asked to end, and these nodes are killed.
        """
        if not self._nodes:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        enter = (programs.require("nsenter"), f"--mount={holder.path('mnt')}", "--")
        mount = (programs.require("mount"), "-t", "tmpfs", "threegen", "/dev/shm")
        await run_to_end((*enter, *mount), self._log, timeout_s=10)
        for node in self._nodes:
            self._write(node, 0.0)

    async def jump(self, node: str, seconds: float) -> None:
        """Set the node's clock ahead by `seconds`; return once it must have seen it."""
        if node not in self._nodes:
            raise DeploymentError(f"{node} was not started with a clock that can be moved")
        self._write(node, seconds)
        await asyncio.sleep(SEEN_AFTER_S)

    async def right(self, node: str) -> None:
        """Back to true time; one that was never moved is left alone."""
        if node in self._nodes:
            await self.jump(node, 0.0)

    def _write(self, node: str, seconds: float) -> None:
        partial = self._folder / f"{node}.partial"
        partial.write_text(f"{seconds:+.6f}\n")
        partial.replace(self._folder / node)


def library() -> Path:
    """Where the library is; raises MachineError where it is not installed."""
    for place in _PLACES:
        found = sorted(Path(place).glob(f"**/faketime/{LIBRARY}"))
        if found:
            return found[0]
    raise MachineError(
        f"{LIBRARY}: not found under {', '.join(_PLACES)}; clock_jump needs it; install it with: "
        "sudo apt-get install --no-install-recommends faketime"
    )

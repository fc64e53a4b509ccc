"""Whether a load process had its core to itself: how much of one it used, how long it waited for one.

Ratios are over the time since the last sample. `cpu_ratio` counts all threads and is 1 for a whole core.
`wait_ratio` is the share of time in which the process could have run and was not let
(`/proc/<pid>/schedstat`, second number): a load process alone on its core waits for nobody but foreign ones.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from bench.telemetry.reading import Reading

SUBJECT = "generator"
"""Load processes are called so, or begin so."""
PROC = Path("/proc")


class Generator:
    """Keeps the counters of the last sample; a process's first sample gives nothing."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._last: dict[tuple[str, int], tuple[float, float, float | None]] = {}

    def sample(self, pids: Mapping[str, int | None]) -> Iterator[Reading]:
        """The readings of the load processes among `pids`; what the kernel does not count is left out."""
        for subject, pid in pids.items():
            if pid is None or not subject.startswith(SUBJECT):
                continue
            try:
                times = psutil.Process(pid).cpu_times()
            except psutil.Error:  # it ended between being listed and being read
                self._last.pop((subject, pid), None)
                continue
            now = time.monotonic(), times.user + times.system, self._waited_s(pid)
            before = self._last.get((subject, pid))
            self._last[subject, pid] = now
            if before is None or now[0] <= before[0]:
                continue
            passed_s = now[0] - before[0]
            yield Reading(subject, "cpu_ratio", (now[1] - before[1]) / passed_s, "")
            if now[2] is not None and before[2] is not None:
                yield Reading(subject, "wait_ratio", (now[2] - before[2]) / passed_s, "")

    def _waited_s(self, pid: int) -> float | None:
        try:
            return int((self._proc / str(pid) / "schedstat").read_text().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return None

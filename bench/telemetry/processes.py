"""CPU and memory of processes, by node: read from the kernel, cumulative, so that no reading is lost.

A node that is down gives no reading. Threads and children of a node's process count with it only
while they live in it: threads do, children are nodes of their own or end with their parent.
"""

from collections.abc import Iterator, Mapping

import psutil

from bench.telemetry.reading import Reading


class Processes:
    """Remembers each process, so that a process id taken over by another process is noticed."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], psutil.Process] = {}

    def sample(self, pids: Mapping[str, int | None]) -> Iterator[Reading]:
        """`cpu_seconds` (user and system, since the process began) and `resident_bytes` by subject."""
        for subject, pid in pids.items():
            if pid is None:
                continue
            try:
                process = self._known.get((subject, pid))
                if process is None:
                    process = self._known[subject, pid] = psutil.Process(pid)
                with process.oneshot():
                    times = process.cpu_times()
                    resident = process.memory_info().rss
            except psutil.Error:  # it ended between being listed and being read
                self._known.pop((subject, pid), None)
                continue
            yield Reading(subject, "cpu_seconds", times.user + times.system, "s")
            yield Reading(subject, "resident_bytes", resident, "B")

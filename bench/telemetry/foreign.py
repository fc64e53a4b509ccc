"""The CPU that goes to processes which are no part of the run.

`foreign_cpu_ratio` is their share of all cores together since the last sample: what the host spent on
processes, less what the watched ones used. Time in interrupts is nobody's. The kernel counts the host's
time in ticks and a process's exactly, so one reading may be a few per cent off; their mean is not.
"""

from collections.abc import Iterator, Mapping

import psutil

from bench.telemetry.reading import Reading


class Foreign:
    """Keeps the counters of the last sample; the first gives nothing."""

    def __init__(self) -> None:
        self._own_s: dict[int, float] = {}
        self._host: tuple[float, float] | None = None

    def sample(self, pids: Mapping[str, int | None]) -> Iterator[Reading]:
        """One reading; `pids` are all processes of the run."""
        cpu = psutil.cpu_times()
        spent_s, total_s = cpu.user + cpu.nice + cpu.system, sum(cpu)
        own_s: dict[int, float] = {}
        for pid in {pid for pid in pids.values() if pid is not None}:
            try:
                times = psutil.Process(pid).cpu_times()
            except psutil.Error:  # it ended between being listed and being read
                continue
            own_s[pid] = times.user + times.system
        if self._host is not None and total_s > self._host[1]:
            # A process that was not there before has used all that it used since then.
            used_s = sum(now_s - self._own_s.get(pid, 0.0) for pid, now_s in own_s.items())
            foreign_s = max(spent_s - self._host[0] - used_s, 0.0)
            ratio = min(foreign_s / (total_s - self._host[1]), 1.0)  # the sums round
            yield Reading("host", "foreign_cpu_ratio", ratio, "")
        self._own_s, self._host = own_s, (spent_s, total_s)

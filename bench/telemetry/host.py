"""The host's own pressure: what else may be disturbing the measurement.

Ratios are over the time since the last sample, of all cores together. `cpu_pressure_ratio` is the
share of time in which some task waited for a CPU (`/proc/pressure/cpu`, "some"); `steal_ratio` what
the hypervisor took; `busy_ratio` what anybody used; `context_switches_per_s` are of all cores. The canary
sleeps for 1 ms and says how much longer it took.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench.telemetry.reading import Reading

PRESSURE = Path("/proc/pressure/cpu")
CANARY_S = 0.001


class Host:
    """Keeps the counters of the last sample; the first sample gives only the canary."""

    def __init__(self, pressure: Path = PRESSURE) -> None:
        self._pressure = pressure
        self._last: tuple[float, float | None, psutil._common.scputimes, int] | None = None  # type: ignore[name-defined]

    def sample(self) -> Iterator[Reading]:
        """The readings since the last sample; a counter that the kernel does not have is left out."""
        before = time.perf_counter()
        time.sleep(CANARY_S)
        overshoot_s = time.perf_counter() - before - CANARY_S
        yield Reading("host", "sleep_overshoot_ms", overshoot_s * 1000, "ms")
        now_s, stalled_us, cpu = time.monotonic(), self._stalled_us(), psutil.cpu_times()
        switches = psutil.cpu_stats().ctx_switches
        if self._last is not None:
            then_s, then_us, then, switches_then = self._last
            total = sum(cpu) - sum(then)
            if stalled_us is not None and then_us is not None and now_s > then_s:
                share = (stalled_us - then_us) / 1e6 / (now_s - then_s)
                yield Reading("host", "cpu_pressure_ratio", share, "")
            if total > 0:
                yield Reading("host", "steal_ratio", (cpu.steal - then.steal) / total, "")
                idle = cpu.idle + cpu.iowait - then.idle - then.iowait
                busy_ratio = min(max(1 - idle / total, 0.0), 1.0)  # the sums round
                yield Reading("host", "busy_ratio", busy_ratio, "")
            if now_s > then_s:
                switched_per_s = (switches - switches_then) / (now_s - then_s)
                yield Reading("host", "context_switches_per_s", switched_per_s, "1/s")
        self._last = now_s, stalled_us, cpu, switches

    def _stalled_us(self) -> float | None:
        try:
            some = self._pressure.read_text().splitlines()[0]
            return float(some.rpartition("total=")[2])
        except (OSError, ValueError, IndexError):
            return None

"""Peak memory of each tool, and whether ours stays where it is.

The peaks of all are those of the throughput part, with 64 connections. Ours then has a crowd online at full
rate, which is 80 % of its ceiling with so many (above that a trial would be void), for some minutes: its memory is
read every second, and the slope through the readings (Theil–Sen) once what is remembered until its timeout is all
there is the growth.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from tests.benchmarks.nginx import Nginx
from tests.benchmarks.peers import Load, Target
from tests.benchmarks.setting import Setting
from tests.benchmarks.tables import Figure, at_most, figure
from tests.benchmarks.throughput import OURS

PEOPLE = 2_000
SHARE = 0.8
SETTLED_AFTER_S = 25.0
"""The timeout's worth of rows, and as much again for the allocator to find its size."""
MOST_MB, MOST_MB_A_MINUTE = 150.0, 1.0


def measure(setting: Setting, crowds_per_s: float, peaks_bytes: Mapping[str, Sequence[int]]) -> list[Figure]:
    """The figures; the ceiling of ours with a crowd online, and each tool's peaks in its rounds of throughput."""
    found = [
        figure("memory", name, "peak, 64 connections", (peak / 1e6 for peak in peaks), "MB")
        for name, peaks in peaks_bytes.items()
    ]
    rate_per_s = crowds_per_s * SHARE
    seconds = SETTLED_AFTER_S + setting.minutes * 60
    setting.say(f"memory: {PEOPLE:,} people at {rate_per_s:,.0f}/s for {seconds:.0f} s")
    folder = setting.fresh("memory")
    with (
        Nginx(folder / "nginx", setting.cores.sut) as server,
        OURS.start(
            Target(server.host, server.port),
            Load(PEOPLE, seconds, rate_per_s),
            folder / "tool",
            setting.cores.generator,
        ) as running,
    ):
        began = time.monotonic()
        t_s, held_mb = [], []
        while (now_s := time.monotonic() - began) < seconds - 1:
            t_s.append(now_s)
            held_mb.append(running.resident_bytes() / 1e6)
            time.sleep(1)
        peak_mb = running.peak_bytes() / 1e6
    later = [(t, mb) for t, mb in zip(t_s, held_mb, strict=True) if t >= SETTLED_AFTER_S]
    return [
        *found,
        figure("memory", OURS.name, f"peak, {PEOPLE:,} people", [peak_mb], "MB", at_most(MOST_MB)),
        figure(
            *("memory", OURS.name, "growth"), [60 * slope(later)], "MB a minute", at_most(MOST_MB_A_MINUTE)
        ),
    ]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points (Theil 1950, Sen 1968); there must be two."""
    x, y = np.array(points).T
    first, second = np.triu_indices(len(x), k=1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))

"""The stall of wrk2's README: a server that does nothing for 1.4 s, in half a minute of load.

Whoever arrives in the stall waits for its rest, so with arrivals spread evenly over D seconds the true
99th percentile is 1.4 s less 1 % of D. A closed loop has a few requests under way in the stall and
sends no others, so its 99th percentile shows nothing (coordinated omission); wrk fills in afterwards what
it thinks that it has missed. The second table stalls the
generator instead, by SIGSTOP: what was to leave meanwhile leaves late, which only response time shows;
service time, from the sending on, does not.
"""

import signal
import time
from collections.abc import Mapping

from tests.benchmarks.peers import Load, Peer, Report
from tests.benchmarks.scripted import Scripted
from tests.benchmarks.setting import Setting
from tests.benchmarks.tables import Figure, at_least, at_most, figure
from tests.benchmarks.throughput import CONNECTIONS, OURS, PEERS

STALL_S, LOAD_S, AFTER_S = 1.4, 30.0, 10.0
PEOPLE = 2_000
RATE_PER_S = 2_000.0
TRUE_P99_MS = (STALL_S - 0.01 * LOAD_S) * 1000
NEAR_RATIO = 0.1
"""The corrected 99th percentile is to be at most so far below the true one."""
UNSEEN_MS = 100.0
"""Below this a 99th percentile does not show the stall."""


def measure(setting: Setting, ceilings: Mapping[str, float]) -> list[Figure]:
    """The figures; each tool at 2,000 requests a second, as in the README, or at half of its ceiling."""
    found = []
    for peer in (*PEERS, OURS):
        rate_per_s = min(RATE_PER_S, ceilings[peer.name] / 2)
        setting.say(f"stall: the server stalls for {STALL_S} s under {peer.name}")
        found += _figures("stall of the server", peer, _ask(setting, peer, rate_per_s, own=False))
        setting.say(f"stall: {peer.name} itself is stopped for {STALL_S} s")
        found += _figures("stall of the generator", peer, _ask(setting, peer, rate_per_s, own=True))
    return found


def _ask(setting: Setting, peer: Peer, rate_per_s: float, *, own: bool) -> Report:
    folder = setting.fresh(f"stall-{peer.name}")
    load = Load(PEOPLE if peer is OURS else CONNECTIONS, LOAD_S, rate_per_s)
    server = Scripted(folder, setting.cores.sut, None if own else (AFTER_S, STALL_S))
    with (
        server as target,
        peer.start(target, load, folder / "tool", setting.cores.generator) as running,
    ):
        if own:
            time.sleep(AFTER_S)
            running.signal(signal.SIGSTOP)
            time.sleep(STALL_S)
            running.signal(signal.SIGCONT)
        return peer.report(running, folder / "tool")


def _figures(stalled: str, peer: Peer, report: Report) -> list[Figure]:
    part = ("stall", peer.name)
    ours = peer is OURS
    near = at_least(round(TRUE_P99_MS * (1 - NEAR_RATIO)))
    found = [figure(*part, f"p99, {stalled}", _given(report.latency_ms), "ms", near if ours else None)]
    if ours:
        own = "generator" in stalled
        goal = at_most(UNSEEN_MS) if own else None
        found.append(figure(*part, f"service p99, {stalled}", _given(report.service_ms), "ms", goal))
    return found


def _given(latency_ms: Mapping[float, float]) -> list[float]:
    return [latency_ms[0.99]] if 0.99 in latency_ms else []

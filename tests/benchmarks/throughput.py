"""Requests a second that one core of generator makes of one nginx, and what a request costs it.

Both are read from outside, the same way for all: nginx counts the requests, /proc the CPU time, over
a window in the middle of each run. The rounds are interleaved (each tool once, then each again), so
that a drift of the machine hits all alike. Where a generator did not fill its core, because nginx or the
machine was the limit, the rate says nothing of it, and the CPU time a request is what is judged.

All at full speed: the others are closed loops, which ask as soon as they are answered; ours, an open loop,
is offered more than it can ask for, and is late. The highest rate at which it is not late is its ceiling.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.records import TimelineRow
from tests.benchmarks.nginx import Nginx
from tests.benchmarks.peers import Load, Peer, Target
from tests.benchmarks.peers.k6 import K6
from tests.benchmarks.peers.locust_users import Locust
from tests.benchmarks.peers.ours import Ours, Step, timeline, until
from tests.benchmarks.peers.wrk import Wrk
from tests.benchmarks.running import Running, machine_cpu_s
from tests.benchmarks.setting import Setting
from tests.benchmarks.tables import Figure, Goal, at_least, figure

CONNECTIONS = 64
WARM_UP_S = 2.0
FIRST_REQUEST_S = 60.0
FULL = 0.9
"""A generator that uses more of its core than this is itself the limit."""
KEPT, KEPT_LAG_MS = 0.99, 10.0
"""A second at a ceiling: the share of what is offered that is answered, and the lag's 99th percentile."""
LOWEST_PER_S, STEP, HIGHEST_PER_S, STEP_S = 8_000.0, 1.08, 100_000.0, 2.0
SEARCHES = 3
BEHIND_S = 1.0
"""A backlog of so much ends the search."""
OVERLOAD = 1.5
"""How many times what it did in its best second ours is offered, to be at full speed."""

OURS = Ours()
PEERS: Sequence[Peer] = (Locust("HttpUser"), Locust("FastHttpUser"), K6(), Wrk())
GOALS: Mapping[str, Goal] = {
    "Locust FastHttpUser": at_least(6),
    "k6": at_least(3.5),
    "wrk": at_least(0.5),
}
"""How many times a peer's throughput ours is to be."""
NOISY = 0.05
"""Where others use more of a core than this, rates are theirs too."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen of one tool from outside in one round."""

    per_s: float
    cpu_us: float
    busy: float
    server_busy: float
    others_busy: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Reach:
    """How far ours came in a search, in requests a second: the rate it kept, and what its best second saw answered."""

    kept_per_s: float = 0.0
    most_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Throughput:
    """The figures, and by tool what other parts go by: its ceiling, and its rounds' peaks of memory."""

    figures: Sequence[Figure]
    ceilings_per_s: Mapping[str, float]
    peaks_bytes: Mapping[str, Sequence[int]]


def measure(setting: Setting) -> Throughput:
    """All tools against one nginx."""
    seen: dict[str, list[Window]] = {}
    with Nginx(setting.fresh("nginx"), setting.cores.sut) as server:
        target = Target(server.host, server.port)
        reach = search(setting, target, CONNECTIONS)
        for number in range(setting.rounds):
            for peer in (*PEERS, OURS):
                setting.say(f"throughput: round {number + 1} of {setting.rounds}: {peer.name}")
                rate = reach.most_per_s * OVERLOAD if peer is OURS else None
                load = Load(CONNECTIONS, WARM_UP_S + setting.seconds + FIRST_REQUEST_S, rate)
                seen.setdefault(peer.name, []).append(_watch(setting, server, target, peer, load))
    noise = median(w.others_busy for windows in seen.values() for w in windows)
    if noise > NOISY:
        setting.say(
            f"throughput: other processes used {noise:.2f} cores meanwhile: the rates are not the tools' own; "
            "the CPU time a request suffers less"
        )
    ceiling = figure("throughput", OURS.name, "ceiling", [reach.kept_per_s], "requests/s, lag p99 <= 10 ms")
    return Throughput(
        [*figures(seen), ceiling],
        {name: median(w.per_s for w in windows) for name, windows in seen.items()}
        | {OURS.name: reach.kept_per_s},
        {name: [w.peak_bytes for w in windows] for name, windows in seen.items()},
    )


def crowds_ceiling(setting: Setting, people: int) -> float:
    """That of ours with so many online, in requests a second: each of them costs cache misses."""
    with Nginx(setting.fresh("nginx"), setting.cores.sut) as server:
        return search(setting, Target(server.host, server.port), people).kept_per_s


def search(setting: Setting, target: Target, people: int) -> Reach:
    """The highest rate that ours keeps for a second, found in steps upwards until it is far behind.

    Others on the machine may end a search early, so there are several, each from where the last one came to.
    """
    reach = Reach(LOWEST_PER_S)
    for number in range(SEARCHES):
        setting.say(
            f"search {number + 1} for threegen's ceiling with {people:,} online: {reach.kept_per_s:,.0f}/s or more"
        )
        climbed = _climb(setting, target, people, reach.kept_per_s)
        reach = Reach(max(reach.kept_per_s, climbed.kept_per_s), max(reach.most_per_s, climbed.most_per_s))
    return reach


def _climb(setting: Setting, target: Target, people: int, rate_per_s: float) -> Reach:
    """One search from this rate; 0 kept where not even that is."""
    steps: list[Step] = []
    while rate_per_s < HIGHEST_PER_S:
        steps.append(Step(f"s{len(steps)}", STEP_S, rate_per_s))
        rate_per_s *= STEP
    folder = setting.fresh("search")
    with OURS.start_steps(target, people, steps, folder, setting.cores.generator) as running:
        rates = {step.name: step.rate_per_s for step in steps}
        while (said := until(running, "progress"))["in_flight"] < rates.get(said["phase"], 0) * BEHIND_S:
            pass
        running.stdin.write(b"stop\n")
        running.stdin.flush()
        until(running, "finished")
    rows = [row for row in timeline(folder) if row.phase in rates]
    return Reach(
        max((rates[row.phase] for row in rows if _is_kept(row)), default=0.0),
        max((row.acknowledged_in_bin for row in rows), default=0.0),
    )


def _is_kept(row: TimelineRow) -> bool:
    return (
        row.acknowledged_in_bin >= KEPT * row.offered
        and row.lag_p99_ms is not None
        and row.lag_p99_ms <= KEPT_LAG_MS
    )


def _watch(setting: Setting, server: Nginx, target: Target, peer: Peer, load: Load) -> Window:
    folder = setting.fresh(peer.name)
    before = server.requests()
    with peer.start(target, load, folder, setting.cores.generator) as running:
        deadline = time.monotonic() + FIRST_REQUEST_S
        while server.requests() - before < CONNECTIONS and time.monotonic() < deadline:
            running.check()
            time.sleep(0.1)
        time.sleep(WARM_UP_S)
        return window(running, server, setting.seconds)


def window(running: Running, server: Nginx, seconds: float) -> Window:
    """What happens between now and then."""
    began = time.monotonic()
    requests, cpu_s, server_s, all_s = server.requests(), running.cpu_s(), server.cpu_s(), machine_cpu_s()
    time.sleep(seconds)
    requests, cpu_s, server_s, all_s = (
        server.requests() - requests,
        running.cpu_s() - cpu_s,
        server.cpu_s() - server_s,
        machine_cpu_s() - all_s,
    )
    took_s = time.monotonic() - began
    return Window(
        per_s=requests / took_s,
        cpu_us=cpu_s * 1e6 / max(requests, 1),
        busy=cpu_s / took_s,
        server_busy=server_s / took_s,
        others_busy=max(0.0, all_s - cpu_s - server_s) / took_s,
        peak_bytes=running.peak_bytes(),
    )


def figures(seen: Mapping[str, Sequence[Window]]) -> list[Figure]:
    """The table of the rounds of each tool."""
    ours = seen[OURS.name]
    found = []
    for name, windows in seen.items():
        part = ("throughput", name)
        found += [
            figure(*part, "rate", (w.per_s for w in windows), "requests/s per core"),
            figure(*part, "cost", (w.cpu_us for w in windows), "CPU-µs a request"),
            figure(*part, "its core", (w.busy for w in windows), "busy ratio"),
            figure(*part, "nginx's core", (w.server_busy for w in windows), "busy ratio"),
            figure(*part, "others", (w.others_busy for w in windows), "cores"),
        ]
        if name == OURS.name:
            continue
        pairs = list(zip(ours, windows, strict=True))
        by_cost = any(w.busy < FULL for w in (*ours, *windows))
        goal = GOALS.get(name)
        rates = figure(
            *part, "ours/this, rate", (o.per_s / w.per_s for o, w in pairs), "", None if by_cost else goal
        )
        costs = figure(
            *part, "this/ours, cost", (w.cpu_us / o.cpu_us for o, w in pairs), "", goal if by_cost else None
        )
        found += [rates, costs]
    return found

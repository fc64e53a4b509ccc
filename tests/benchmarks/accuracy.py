"""Reported against true: each tool at half of its own ceiling, against a server that knows what it did.

Truth is the delays that the server logged, of the whole run, from each request's arrival on; what a tool
reports besides is its own error and the loopback's few tens of µs.
Each tool paces itself as it can: ours and k6 by a schedule, Locust by
each user's own pauses, wrk not at all: its connections are as many as make the rate.
"""

from collections.abc import Mapping

import numpy as np

from tests.benchmarks.peers import QUANTILES, Load, Peer, Report
from tests.benchmarks.scripted import MEDIAN_MS, SIGMA, Scripted
from tests.benchmarks.setting import Setting
from tests.benchmarks.tables import Figure, at_most, figure
from tests.benchmarks.throughput import CONNECTIONS, OURS, PEERS

PEOPLE = 4_000
"""Of ours, each of whom has one request under way: of a hundred hardly one waits for its person's last."""
ROUNDS_AT_MOST = 3
LONGER = 3.0
"""How many times longer than a round of throughput: a 99.9th percentile needs its samples."""
ENOUGH_BEYOND = 10
SHARE, MARGIN_MS = 0.02, 0.3
"""How far a percentile may be off: the greater of the two."""
LAG_MS = 1.0
_MEAN_MS = MEDIAN_MS * float(np.exp(SIGMA**2 / 2))
_LOOPBACK_MS = 0.1


def measure(setting: Setting, ceilings: Mapping[str, float], crowds_per_s: float) -> list[Figure]:
    """The figures; `ceilings` are requests a second by tool, `crowds_per_s` that of ours with a crowd online."""
    errors: dict[tuple[str, float], list[float]] = {}
    true: dict[tuple[str, float], list[float]] = {}
    rates: dict[str, list[float]] = {}
    lags: list[float] = []
    rounds = min(setting.rounds, ROUNDS_AT_MOST)
    for number in range(rounds):
        for peer in (*PEERS, OURS):
            half_per_s = (crowds_per_s if peer is OURS else ceilings[peer.name]) / 2
            setting.say(f"accuracy: round {number + 1} of {rounds}: {peer.name} at {half_per_s:,.0f}/s")
            report, truth_ms = _ask(setting, peer, half_per_s)
            rates.setdefault(peer.name, []).append(report.requests / (setting.seconds * LONGER))
            if report.lag_p99_ms is not None:
                lags.append(report.lag_p99_ms)
            for quantile in QUANTILES:
                if quantile in report.latency_ms and quantile in truth_ms:
                    key = peer.name, quantile
                    true.setdefault(key, []).append(truth_ms[quantile])
                    errors.setdefault(key, []).append(abs(report.latency_ms[quantile] - truth_ms[quantile]))
    return _figures(rates, true, errors, lags)


def truth(given_ns: np.ndarray) -> dict[float, float]:
    """The quantiles, in ms, that so many delays can tell of: ten must lie beyond."""
    enough = [q for q in QUANTILES if len(given_ns) * (1 - q) >= ENOUGH_BEYOND]
    return {q: float(np.quantile(given_ns, q)) / 1e6 for q in enough}


def _ask(setting: Setting, peer: Peer, rate_per_s: float) -> tuple[Report, dict[float, float]]:
    folder = setting.fresh(f"accuracy-{peer.name}")
    if peer is OURS:
        connections = PEOPLE
    elif peer.name == "wrk":
        connections = max(1, round(rate_per_s * (_MEAN_MS + _LOOPBACK_MS) / 1000))
    elif peer.name == "k6":
        connections = CONNECTIONS * 4  # idle ones cost it nothing, and it drops what finds none idle
    else:
        connections = CONNECTIONS
    load = Load(connections, setting.seconds * LONGER, rate_per_s)
    server = Scripted(folder, setting.cores.sut)
    with (
        server as target,
        peer.start(target, load, folder / "tool", setting.cores.generator) as running,
    ):
        report = peer.report(running, folder / "tool")
    return report, truth(server.truth_ns)


def _figures(
    rates: Mapping[str, list[float]],
    true: Mapping[tuple[str, float], list[float]],
    errors: Mapping[tuple[str, float], list[float]],
    lags: list[float],
) -> list[Figure]:
    found = []
    for name, per_s in rates.items():
        part = ("accuracy", name)
        found.append(figure(*part, "rate", per_s, "requests/s"))
        for quantile in QUANTILES:
            word = f"p{quantile * 100:g}"
            truths, off = true.get((name, quantile), []), errors.get((name, quantile), [])
            held = name == OURS.name and quantile < 0.999 and truths
            goal = at_most(round(max(SHARE * float(np.median(truths)), MARGIN_MS), 3)) if held else None
            found.append(figure(*part, f"{word} true", truths, "ms"))
            found.append(figure(*part, f"{word} off by", off, "ms", goal))
        if name == OURS.name:
            found.append(figure(*part, "lag p99", lags, "ms", at_most(LAG_MS)))
    return found

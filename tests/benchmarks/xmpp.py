"""Generator CPU time a chat message, beside Tsung: the same Prosody, people, rate and size of messages.

Prosody counts the messages, /proc the CPU time, over a window in the middle of each run. Ours
is the whole load process: open loop, every message acknowledged by XEP-0198 and audited at its addressee.
Tsung writes and does not look. The bare loop is no tool but a limit: what no client in Python can go below that
sends each message at its own moment.
"""

import time
from dataclasses import dataclass

from bench.plan import PASSWORD
from tests.benchmarks.peers import Load, Target
from tests.benchmarks.peers.bare import Bare
from tests.benchmarks.peers.ours import Ours
from tests.benchmarks.peers.tsung import Tsung, password
from tests.benchmarks.prosody import COUNT_EVERY_S, Prosody
from tests.benchmarks.running import Running
from tests.benchmarks.setting import Setting
from tests.benchmarks.tables import Figure, at_most, figure

PEOPLE = 200
RATE_PER_S = 1_000.0
WARM_UP_S = 6.0
AT_RATE_S = 60.0
"""How long a tool may take until it offers the rate."""
NEAR = 0.9
LONGER = 2.0
MOST_RATIO = 0.5


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen of one tool from outside in one round."""

    per_s: float
    cpu_us: float
    server_busy: float
    peak_bytes: int


def measure(setting: Setting) -> list[Figure]:
    """The figures of both."""
    seen: dict[str, list[Window]] = {"Tsung": [], Bare.name: [], "threegen": []}
    for number in range(min(setting.rounds, 3)):
        for name, windows in seen.items():
            setting.say(f"xmpp: round {number + 1}: {name}")
            windows.append(_watch(setting, name))
    found = []
    for name, windows in seen.items():
        part = ("xmpp", name)
        found += [
            figure(*part, "rate", (w.per_s for w in windows), "messages/s"),
            figure(*part, "cost", (w.cpu_us for w in windows), "CPU-µs a message"),
            figure(*part, "Prosody's core", (w.server_busy for w in windows), "busy ratio"),
            figure(*part, "peak memory", (w.peak_bytes / 1e6 for w in windows), "MB"),
        ]
    for name, goal in ((Bare.name, None), ("threegen", at_most(MOST_RATIO))):
        ratios = (o.cpu_us / t.cpu_us for o, t in zip(seen[name], seen["Tsung"], strict=True))
        found.append(figure("xmpp", name, "this/Tsung, cost", ratios, "", goal))
    return found


def _watch(setting: Setting, name: str) -> Window:
    folder = setting.fresh(f"xmpp-{name}")
    load = Load(PEOPLE, WARM_UP_S + AT_RATE_S + setting.seconds * LONGER, RATE_PER_S)
    passwords = password if name == "Tsung" else _same
    with Prosody(folder / "prosody", PEOPLE + 2, passwords, setting.cores.sut) as server:
        target = Target(server.host, server.port)
        if name != "Tsung":
            tool = Bare() if name == Bare.name else Ours("xmpp")
            with tool.start(target, load, folder / "tool", setting.cores.generator) as running:
                return _window(running, server, setting.seconds * LONGER)
        with (
            Tsung(folder / "tool") as tsung,
            tsung.start(target, load, setting.cores.generator) as running,
        ):
            return _window(running, server, setting.seconds * LONGER)


def _same(_: int) -> str:
    return PASSWORD


def _window(running: Running, server: Prosody, seconds: float) -> Window:
    deadline = time.monotonic() + AT_RATE_S
    before = server.messages()
    while time.monotonic() < deadline:
        time.sleep(1)
        running.check()
        now = server.messages()
        if now - before >= RATE_PER_S * NEAR:
            break
        before = now
    time.sleep(WARM_UP_S)
    began = time.monotonic()
    messages, cpu_s, server_s = server.messages(), running.cpu_s(), server.cpu_s()
    time.sleep(seconds)
    messages, cpu_s, server_s = (
        server.messages() - messages,
        running.cpu_s() - cpu_s,
        server.cpu_s() - server_s,
    )
    took_s = time.monotonic() - began
    assert took_s > COUNT_EVERY_S
    return Window(messages / took_s, cpu_s * 1e6 / max(messages, 1), server_s / took_s, running.peak_bytes())

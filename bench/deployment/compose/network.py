"""The network of one container, cut or slowed from the host: in the container's network namespace.

Taking a container off its network and putting it back, as the engine can, gives it another interface
and perhaps another address, and its connections never come back: that is no partition. Dropped packets
are one: connections last, and go on by TCP's own rules when it heals. Needs root, for `nsenter`; the
loopback is left alone. What is done here ends with the namespace: a container that is started again has
a whole network.
"""

from pathlib import Path

from bench import programs
from bench.children import run_to_end
from bench.deployment import Link

INTERFACE = "eth0"
TIMEOUT_S = 10.0
QUEUE_PACKETS = 100_000
"""Room for what is under way in netem: its default, 1,000, would lose what nobody asked it to lose."""
BURST_BYTES = 32_768
QUEUE_S = 0.4
"""How long a packet may wait for its turn on a link with a bandwidth; then it is lost."""


class Network:
    """What is done to the network namespace of process `pid`; each call returns when it is so."""

    def __init__(self, pid: int, log: Path) -> None:
        self._pid = pid
        self._log = log

    async def cut(self) -> None:
        """Drop all packets in and out. Raises DeploymentError where that is not allowed."""
        await self._firewall("-I")

    async def mend(self) -> None:
        """Let them through again."""
        await self._firewall("-D")

    async def slow(self, link: Link) -> None:
        """Delay, lose and queue what is sent. Raises DeploymentError where the kernel lacks netem."""
        await self._tc("replace", "root", *shape(link))

    async def hurry(self) -> None:
        """As fast as it goes again."""
        await self._tc("del", "root")

    async def _firewall(self, step: str) -> None:
        iptables = programs.require("iptables")
        both = [f"{iptables} -w {step} {way} -j DROP" for way in ("INPUT ! -i lo", "OUTPUT ! -o lo")]
        await self._inside("/bin/sh", "-c", " && ".join(both))

    async def _tc(self, step: str, *words: str) -> None:
        await self._inside(programs.require("tc"), "qdisc", step, "dev", INTERFACE, *words)

    async def _inside(self, *words: str) -> None:
        enter = (programs.require("nsenter"), f"--net=/proc/{self._pid}/ns/net", "--")
        await run_to_end((*enter, *words), self._log, timeout_s=TIMEOUT_S)


def shape(link: Link) -> list[str]:
    """The words of tc for `link`: tc-tbf(8) for a bandwidth alone, as all kernels can, else tc-netem(8)."""
    rate = [] if link.bytes_per_s is None else ["rate", f"{round(link.bytes_per_s * 8)}bit"]
    if not link.latency_s and not link.loss_ratio:
        return ["tbf", *rate, "burst", f"{BURST_BYTES}b", "latency", f"{round(QUEUE_S * 1000)}ms"]
    delay, loss = f"{round(link.latency_s * 1e6)}us", f"{link.loss_ratio:.4%}"
    return ["netem", "limit", str(QUEUE_PACKETS), "delay", delay, "loss", loss, *rate]

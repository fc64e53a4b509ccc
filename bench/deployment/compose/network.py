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
BURST_BYTES = 32_768
QUEUE_S = 0.2
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
        parent = ["root"]
        if link.latency_s or link.loss_ratio:
            spoiling = [
                "netem",
                "delay",
                f"{round(link.latency_s * 1e6)}us",
                "loss",
                f"{link.loss_ratio:.4%}",
            ]
            await self._tc("replace", [*parent, "handle", "1:", *spoiling])
            parent = ["parent", "1:1"]
        if link.bytes_per_s is not None:
            rate = f"{max(8, round(link.bytes_per_s * 8))}bit"
            waiting = f"{round(QUEUE_S * 1000)}ms"
            queue = ["handle", "2:", "tbf", "rate", rate, "burst", f"{BURST_BYTES}b", "latency", waiting]
            await self._tc("replace", [*parent, *queue])

    async def hurry(self) -> None:
        """As fast as it goes again."""
        await self._tc("del", ["root"])

    async def _firewall(self, step: str) -> None:
        iptables = programs.require("iptables")
        both = [f"{iptables} -w {step} {way} -j DROP" for way in ("INPUT ! -i lo", "OUTPUT ! -o lo")]
        await self._inside("/bin/sh", "-c", " && ".join(both))

    async def _tc(self, step: str, words: list[str]) -> None:
        await self._inside(programs.require("tc"), "qdisc", step, "dev", INTERFACE, *words)

    async def _inside(self, *words: str) -> None:
        enter = (programs.require("nsenter"), f"--net=/proc/{self._pid}/ns/net", "--")
        await run_to_end((*enter, *words), self._log, timeout_s=TIMEOUT_S)

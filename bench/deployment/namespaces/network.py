"""One switch, and a link from it to every node and to the harness: what can be cut, slowed and mended.

```
 harness, generator      namespace of the switch              namespace of node 0
 threegen-18-77 ──────── host ── bridge ── p0 ─────────────── eth0
   .1                              └────── p1 … (node 1)        .2
```

A node is cut off by taking its port off the bridge: its link stays up and is silent, as behind a router that
fails. Hardware addresses are known to all from the start, so that a lost or late question for one (ARP) is
never part of what is measured. What a node sends is slowed at its own end of the link (`eth0`) by tc: netem,
or, where the kernel has none, tbf for the rate and a program in the link for the rest (delay_line.py):

```
 bridge ── t0 ── s0 ── delay line ── p0 ── eth0
```
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from bench import programs
from bench.children import end, last_line, run_to_end, spawn
from bench.deployment import Link
from bench.deployment.namespaces.addresses import Block, hardware
from bench.deployment.namespaces.holder import Holder
from bench.errors import DeploymentError

BRIDGE = "bridge"
TIMEOUT_S = 20.0
QUEUE_PACKETS = 100_000
"""Room for what is under way in netem: its default, 1,000, would lose what nobody asked it to lose."""
BURST_S = 0.004
SMALLEST_BURST_BYTES = 32_768
QUEUE_S = 0.4
"""How long a packet may wait for a slow link before it is dropped."""
_DELAY_LINE = Path(__file__).with_name("delay_line.py")


class Network:
    """The switch of one deployment; nodes by name."""

    def __init__(
        self, block: Block, nodes: Sequence[str], batches: Path, log: Path, cores: frozenset[int] | None
    ) -> None:
        self._block = block
        self._index = {node: index for index, node in enumerate(nodes)}
        self._batches = batches
        self._cores = cores
        self._log = log
        self._switch: Holder | None = None
        self._nodes: Mapping[str, Holder] = {}
        self._laid = False
        self._netem = False
        self._cut_off: set[str] = set()
        self._shaped: set[str] = set()
        self._lines: dict[str, asyncio.subprocess.Process] = {}
        self._commands = 0
        self._one_at_a_time = asyncio.Lock()

    async def open(self, switch: Holder, nodes: Mapping[str, Holder]) -> None:
        """Lay the links between the held namespaces; raises DeploymentError where the kernel refuses."""
        self._switch, self._nodes = switch, nodes
        self._batches.mkdir()
        device, hosts = self._block.device, self._hosts()
        await self._ip(
            None,
            f"link add {device} address {hardware(self._block.harness)} type veth"
            f" peer name host netns {switch.pid}",
            f"address add {self._block.harness}/24 dev {device}",
            f"link set {device} up",
            *(f"neighbour add {a} lladdr {hardware(a)} dev {device} nud permanent" for a in hosts.values()),
        )
        self._laid = True
        await self._ip(
            switch,
            f"link add {BRIDGE} type bridge",
            f"link set {BRIDGE} up",
            f"link set host master {BRIDGE} up",
            *(
                f"link add p{self._index[node]} type veth"
                f" peer name eth0 address {hardware(hosts[node])} netns {holder.pid}"
                for node, holder in nodes.items()
            ),
            *(f"link set p{self._index[node]} master {BRIDGE} up" for node in nodes),
        )
        everybody = (self._block.harness, *hosts.values())
        for node, holder in nodes.items():
            await self._settle(holder, hosts[node], everybody)
        self._netem = await self._has_netem(switch)
        with self._log.open("a") as log:
            log.write(f"slow links by {'tc-netem' if self._netem else 'tc-tbf and a program in the link'}\n")
        if not self._netem:
            pairs = [f"link add s{n} type veth peer name t{n}" for n in self._index.values()]
            await self._ip(
                switch, *pairs, *(f"link set {side}{n} up" for n in self._index.values() for side in "st")
            )

    async def close(self) -> None:
        """End what stands in the links, and the harness's own; the others go with their namespaces."""
        for line in self._lines.values():
            await end(line, grace_s=0)
        self._lines.clear()
        if self._laid:
            await self._ip(None, f"link delete {self._block.device}")

    async def cut_off(self, node: str) -> None:
        """Let nothing in or out of the node."""
        async with self._one_at_a_time:
            self._cut_off.add(node)
            await self._ip(self._switch, f"link set {self._port(node)} nomaster")

    async def join_again(self, node: str) -> None:
        """Let it through, where it is cut off. May be asked again where it was cut short."""
        async with self._one_at_a_time:
            if node in self._cut_off:
                await self._ip(self._switch, f"link set {self._port(node)} master {BRIDGE}")
                self._cut_off.discard(node)

    async def slow_down(self, node: str, link: Link) -> None:
        """Slow what the node sends, in place of whatever slowed it before."""
        async with self._one_at_a_time:
            await self._mend(node)
            if self._netem:
                await self._shape(node, netem(link))
                return
            if link.bytes_per_s is not None:
                await self._shape(node, tbf(link.bytes_per_s))
            if link.latency_s > 0 or link.loss_ratio > 0:
                await self._put_in(node, link)

    async def full_speed(self, node: str) -> None:
        """Take away what slows it, if anything does. May be asked again where it was cut short."""
        async with self._one_at_a_time:
            await self._mend(node)

    async def _mend(self, node: str) -> None:
        if node in self._shaped:
            await self._shape(node, ["noqueue"])
            self._shaped.discard(node)
        if node in self._lines:
            n = self._index[node]
            attach = [] if node in self._cut_off else [f"link set p{n} master {BRIDGE}"]
            await self._ip(self._switch, f"link set t{n} nomaster", *attach)
            await end(self._lines[node], grace_s=0)
            del self._lines[node]

    def _hosts(self) -> dict[str, IPv4Address]:
        return {node: self._block.node(index) for node, index in self._index.items()}

    async def _settle(self, holder: Holder, own: IPv4Address, all_: Sequence[IPv4Address]) -> None:
        await self._ip(
            holder,
            "link set lo up",
            f"address add {own}/24 dev eth0",
            "link set eth0 up",
            *(f"neighbour add {a} lladdr {hardware(a)} dev eth0 nud permanent" for a in all_ if a != own),
        )

    async def _shape(self, node: str, words: Sequence[str]) -> None:
        self._shaped.add(node)
        await self._tc(self._nodes[node], "qdisc", "replace", "dev", "eth0", "root", *words)

    async def _put_in(self, node: str, link: Link) -> None:
        """Have the delay line between the node's port and the bridge."""
        n = self._index[node]
        command = (
            *self._inside(self._switch),
            *(sys.executable, "-S", "-E", str(_DELAY_LINE), "--node", f"p{n}", "--switch", f"s{n}"),
            *("--latency-us", f"{link.latency_s * 1e6:g}", "--loss", f"{link.loss_ratio:g}"),
        )
        line = self._lines[node] = await spawn(command, self._log, cores=self._cores, talk=True)
        assert line.stdout is not None
        if await line.stdout.readline() != b"ready\n":
            raise DeploymentError(f"the delay line of {node} does not run: {last_line(self._log)}")
        attach = [] if node in self._cut_off else [f"link set t{n} master {BRIDGE}"]
        await self._ip(self._switch, f"link set p{n} nomaster", *attach)

    def _port(self, node: str) -> str:
        """The device by which the node is on the bridge."""
        return f"{'t' if node in self._lines else 'p'}{self._index[node]}"

    async def _has_netem(self, switch: Holder) -> bool:
        try:
            await self._tc(switch, "qdisc", "add", "dev", BRIDGE, "root", "netem", "delay", "1ms")
        except DeploymentError:
            return False
        await self._tc(switch, "qdisc", "delete", "dev", BRIDGE, "root")
        return True

    async def _tc(self, holder: Holder, *words: str) -> None:
        command = (*self._inside(holder), programs.require("tc"), *words)
        await run_to_end(command, self._log, timeout_s=TIMEOUT_S)

    async def _ip(self, holder: Holder | None, *lines: str) -> None:
        """Run the lines by one `ip`, in order, in the held namespace or the host's own."""
        self._commands += 1
        batch = self._batches / str(self._commands)
        batch.write_text("\n".join([*lines, ""]))
        command = (*self._inside(holder), programs.require("ip"), "-batch", str(batch))
        await run_to_end(command, self._log, timeout_s=TIMEOUT_S)

    def _inside(self, holder: Holder | None) -> tuple[str, ...]:
        if holder is None:
            return ()
        return (programs.require("nsenter"), f"--net={holder.path('net')}", "--")


def netem(link: Link) -> list[str]:
    """The words of tc-netem(8) for `link`."""
    words = ["netem", "limit", f"{QUEUE_PACKETS}"]
    if link.latency_s > 0:
        words += ["delay", f"{link.latency_s * 1e6:.0f}us"]
    if link.loss_ratio > 0:
        words += ["loss", f"{link.loss_ratio:.4%}"]
    if link.bytes_per_s is not None:
        words += ["rate", f"{link.bytes_per_s * 8:.0f}bit"]
    return words


def tbf(bytes_per_s: float) -> list[str]:
    """The words of tc-tbf(8) for a link of that rate."""
    burst_bytes = max(SMALLEST_BURST_BYTES, round(bytes_per_s * BURST_S))
    rate, queue = f"{bytes_per_s * 8:.0f}bit", f"{QUEUE_S * 1000:.0f}ms"
    return ["tbf", "rate", rate, "burst", f"{burst_bytes}b", "latency", queue]

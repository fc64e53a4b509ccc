"""What the compose deployment needs of this machine, asked before anything is started."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench import machine, programs
from bench.deployment.compose.engine import compose_program, engine
from bench.errors import MachineError
from bench.plan import PlannedFault


def require(faults: Sequence[PlannedFault]) -> None:
    """Raise MachineError, one line, for the first thing that is missing for containers and these faults."""
    compose_program()
    with engine() as client:
        _refuse_memory_disk(Path(client.info()["DockerRootDir"]))
    networks = [fault for fault in faults if fault.kind in {"partition", "slow"}]
    if not networks:
        return
    if os.geteuid() != 0:
        raise MachineError(
            f"a {networks[0].kind} of containers is made in their network namespaces, which only root may "
            "enter: run bench as root, or leave that fault out"
        )
    for program in ("nsenter", "unshare", "iptables", "tc"):
        programs.require(program)
    if any(fault.link and (fault.link.latency_s or fault.link.loss_ratio) for fault in networks):
        _require_netem()


def _refuse_memory_disk(root: Path) -> None:
    """The volumes lie there, and durability on a disk that is memory would be a lie."""
    kind = machine.file_system(root)
    if kind in machine.MEMORY_FILE_SYSTEMS:
        raise MachineError(
            f"the Docker engine keeps its volumes in memory ({root}, {kind}), where fsync keeps nothing: "
            "give it a folder on a disk (dockerd --data-root)"
        )


def _require_netem() -> None:
    trial = [programs.require("unshare"), "--net", programs.require("tc")]
    words = ["qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    tried = subprocess.run([*trial, *words], capture_output=True, check=False, timeout=10)
    if tried.returncode != 0:
        raise MachineError(
            "this kernel cannot delay or lose packets (it has no netem): sudo modprobe sch_netem, or give "
            "a slow network a bandwidth only"
        )

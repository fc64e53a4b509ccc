"""What a host must have for namespaces, asked before a run and not in its middle."""

import os
import subprocess

from bench import programs
from bench.deployment.namespaces.addresses import Block, free_block, routed
from bench.deployment.namespaces.clocks import library
from bench.errors import MachineError

PROGRAMS = ("ip", "tc", "unshare", "nsenter", "mount", "mkfs.ext4")
_TRIAL = (
    "{ip} link add switch0 type bridge && {ip} link add one type veth peer name two"
    " && mount -t tmpfs threegen /tmp"
)
LOOP_DEVICES = "/dev/loop-control"


def require(*, clocks: bool = False) -> None:
    """Raise MachineError where this host cannot have the deployment; `clocks` need one thing more."""
    if os.geteuid() != 0:
        raise MachineError(
            "deployment: namespaces needs root, for network namespaces, mounts and tc: "
            "run it by sudo, or use deployment: local"
        )
    for program in PROGRAMS:
        programs.require(program)
    if clocks:
        library()
    if not os.access(LOOP_DEVICES, os.R_OK):
        raise MachineError(
            f"deployment: namespaces needs loop devices, and there is no {LOOP_DEVICES}: load the kernel's "
            "module (modprobe loop), or use deployment: local"
        )
    trial = _TRIAL.format(ip=programs.require("ip"))
    command = (programs.require("unshare"), "--net", "--mount", "/bin/sh", "-c", trial)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        raise MachineError(
            f"deployment: namespaces cannot be had here: {said} (from: unshare --net --mount; in a container "
            "it needs --privileged); use deployment: local"
        )


def choose_block() -> Block:
    """A block of addresses that this host does not use; raises MachineError where there is none."""
    command = (programs.require("ip"), "-json", "-4", "route", "show", "table", "all")
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return free_block(routed(done.stdout))

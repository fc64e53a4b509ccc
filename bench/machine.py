"""What this machine is, what runs on it, and which cores go to whom. Reads only."""

import hashlib
import os
import platform
import resource
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from bench import programs
from bench.manifest import Host

PACKAGES = ("threegen", "locust", "aiohttp", "nats-py", "aiomysql", "hdrhistogram", "numpy", "pandas")
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores the system under test and the generator are held to; None where there is only one."""

    sut: frozenset[int] | None
    generator: frozenset[int] | None


def divide_cores(available: frozenset[int] | None = None) -> Cores:
    """The first core for the system under test, the last for generator and harness."""
    cores = sorted(os.sched_getaffinity(0) if available is None else available)
    if len(cores) < 2:
        return Cores(None, None)
    return Cores(frozenset({cores[0]}), frozenset({cores[-1]}))


def host() -> Host:
    """This machine; the fingerprint changes with what would change a figure."""
    model = _cpu_model()
    cores = os.cpu_count() or 1
    memory = psutil.virtual_memory().total
    system = _os_name()
    text = "\n".join([model, str(cores), str(round(memory / 2**30)), platform.release(), system])
    return Host(
        fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16],
        cpu_model=model,
        cores=cores,
        memory_bytes=memory,
        kernel=platform.release(),
        os=system,
    )


def versions(project: Path) -> Mapping[str, str]:
    """Versions of all that may change a figure, by name; what is not there is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    commands = {
        "git": ("git", "-C", str(project), "describe", "--always", "--dirty=+dirty", "--abbrev=12"),
        "mariadbd": (programs.find("mariadbd"), "--version"),
        "nats-server": (programs.find("nats-server"), "--version"),
    }
    for name, command in commands.items():
        text = _first_line(command)
        if text:
            found[name] = text
    return found


def _first_line(command: tuple[str | None, ...]) -> str:
    if command[0] is None:
        return ""
    try:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else ""


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def file_system(path: Path) -> str:
    """The type of the file system that `path` lives on (`ext4`, `tmpfs`); empty where unknown."""
    best, kind = "", ""
    target = str(path.resolve()) + "/"
    for part in psutil.disk_partitions(all=True):
        mount = part.mountpoint.rstrip("/") + "/"
        if target.startswith(mount) and len(mount) >= len(best):
            best, kind = mount, part.fstype
    return kind


def most_open_files() -> int:
    """How many files a process may open, if it asks for all it can have (RLIMIT_NOFILE, hard)."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]

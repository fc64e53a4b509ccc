"""What this machine lacks for threegen, or has badly set, and the command that mends it; `make` calls it."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import machine, programs
from bench.errors import MachineError
from bench.programs import Program, Purpose
from bench.records import Finding

POLICY = Path("/usr/sbin/policy-rc.d")
FREE_DISK_BYTES = 2_000_000_000
OPEN_FILES = 4_096


def examine(results: Path, purpose: Purpose) -> list[Finding]:
    """Look at everything; `tests` and `benchmarks` look at what the runs need too."""
    found = [_python(), *_programs(purpose)]
    return [*found, _cores(), _open_files(), _disk(results)]


def install(purpose: Purpose, say: Callable[[str], None]) -> None:
    """Install what is missing, through apt as root or by sudo without a password.

    Raises MachineError with the exact command where it may not, or where apt fails.
    """
    missing = [program for program in programs.missing(purpose) if program.packages]
    if not missing:
        return
    names = ", ".join(program.name for program in missing)
    if shutil.which("apt-get") is None:
        hints = "; ".join(dict.fromkeys(program.elsewhere for program in missing))
        raise MachineError(f"missing here: {names}; {hints}")
    rights = _rights()
    if rights is None:
        packages = " ".join(dict.fromkeys(program.packages[0] for program in missing))
        raise MachineError(
            f"missing here: {names}; install with: sudo apt-get install --no-install-recommends {packages}"
        )
    say(f"installing {names} through apt")
    _apt([*rights, "apt-get", "update", "-qq"])
    packages = " ".join(dict.fromkeys(_available(program) for program in missing))
    with _asleep(rights):
        _apt([*rights, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages.split()])
    left = ", ".join(program.name for program in missing if programs.find(program.name) is None)
    if left:
        raise MachineError(f"apt installed {packages}, and {left} is still not found on PATH or in /usr/sbin")


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", "well", version)


def _programs(purpose: Purpose) -> list[Finding]:
    findings = []
    for program in programs.PROGRAMS:
        if program.purpose not in {"runs", purpose}:
            continue
        where = programs.find(program.name)
        if where is None:
            findings.append(Finding(program.name, "missing", "not found", program.mend))
        else:
            findings.append(Finding(program.name, "well", where))
    return findings


def _cores() -> Finding:
    count = len(os.sched_getaffinity(0))
    if count < 2:
        mend = "use a machine with 2 cores: here generator and system under test share one"
        return Finding("cores", "poor", f"{count}", mend)
    return Finding("cores", "well", f"{count}")


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < OPEN_FILES:
        limit = OPEN_FILES if hard < 0 else min(OPEN_FILES, hard)
        return Finding("open files", "poor", f"{soft}", f"ulimit -n {limit}")
    return Finding("open files", "well", f"{soft}")


def _disk(results: Path) -> Finding:
    there = next(path for path in (results, *results.resolve().parents) if path.exists())
    kind = machine.file_system(there)
    free_bytes = shutil.disk_usage(there).free
    text = f"{free_bytes / 1e9:.1f} GB free on {kind or 'an unknown file system'}"
    if kind in machine.MEMORY_FILE_SYSTEMS:
        return Finding("results", "missing", text, "name a folder on a disk: bench --results FOLDER")
    if free_bytes < FREE_DISK_BYTES:
        return Finding("results", "poor", text, "free 2 GB, or name another folder: bench --results FOLDER")
    return Finding("results", "well", text)


def _rights() -> list[str] | None:
    """What to put before apt-get: nothing as root, sudo where it asks no password, None for neither."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    asked = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    return ["sudo", "-n"] if asked.returncode == 0 else None


def _available(program: Program) -> str:
    """The first of the program's packages that this system's apt can install."""
    for package in program.packages:
        shown = subprocess.run(
            ["apt-cache", "policy", package], capture_output=True, text=True, check=False
        ).stdout
        if "Candidate:" in shown and "Candidate: (none)" not in shown:
            return package
    return program.packages[0]


@contextlib.contextmanager
def _asleep(rights: Sequence[str]) -> Iterator[None]:
    """Have the daemons of what is installed meanwhile not be started: we run our own of each.

    Debian asks /usr/sbin/policy-rc.d before it starts any; one that is there already is left to decide. Ours
    forbids only while this process lives, and removes itself when it is asked later.
    """
    if POLICY.exists():
        yield
        return
    with tempfile.NamedTemporaryFile("w", suffix=".policy-rc.d") as script:
        script.write(f'#!/bin/sh\n[ -d /proc/{os.getpid()} ] && exit 101\nrm -f "$0"\nexit 0\n')
        script.flush()
        subprocess.run([*rights, "install", "-m", "755", script.name, str(POLICY)], check=False)
    try:
        yield
    finally:
        subprocess.run([*rights, "rm", "-f", str(POLICY)], check=False)


def _apt(command: Sequence[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MachineError(f"{' '.join(command)} ended with {done.returncode}: {last}")

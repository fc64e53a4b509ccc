"""A disk for each node that keeps data: a file on the real disk, with ext4 in it, on a loop device.

Mounted in a mount namespace of the deployment's own, so that host and results folder see nothing of it and
it is gone when the last process in there is. A flush in there is a flush of the real disk. `lost+found` is
removed, because a database takes each folder for one of its own.
"""

import asyncio
import errno
import os
import shlex
import shutil
from pathlib import Path

from bench import programs
from bench.children import run_to_end
from bench.deployment.namespaces.holder import Holder
from bench.errors import DeploymentError

LARGEST_BYTES = 16 * 1024**3
SMALLEST_BYTES = 256 * 1024**2
INODES = 16_384
JOURNAL_MIB = 64
FILLING = ".filling"
TIMEOUT_S = 60.0


class Disks:
    """The disks of one deployment: images in `images`, mounted on the folders of `mounts`, one a node."""

    def __init__(self, images: Path, mounts: Path, log: Path) -> None:
        self._images = images
        self._mounts = mounts
        self._log = log
        self._holder: Holder | None = None

    async def open(self, holder: Holder) -> None:
        """Make and mount a disk for every folder in `mounts`, in the mount namespace of `holder`."""
        self._holder = holder
        nodes = sorted(path.name for path in self._mounts.iterdir()) if self._mounts.exists() else []
        if not nodes:
            return
        self._images.mkdir(parents=True, exist_ok=True)
        size_bytes = min(LARGEST_BYTES, shutil.disk_usage(self._images).free // len(nodes))
        if size_bytes < SMALLEST_BYTES:
            raise DeploymentError(
                f"{self._images} has no room for {len(nodes)} disks of {SMALLEST_BYTES >> 20} MiB: free some"
            )
        script = "\n".join(["set -e", *(self._make(node, size_bytes) for node in nodes)])
        enter = (programs.require("nsenter"), f"--mount={holder.path('mnt')}", "--")
        await run_to_end((*enter, "/bin/sh", "-c", script), self._log, timeout_s=TIMEOUT_S)

    async def fill(self, node: str) -> None:
        """Take all that is free on the node's disk; raises DeploymentError for a node that has none."""
        await asyncio.to_thread(_take_all, self._folder(node) / FILLING)

    async def free(self, node: str) -> None:
        """Give back what `fill` took, if it took something."""
        await asyncio.to_thread((self._folder(node) / FILLING).unlink, missing_ok=True)

    def _folder(self, node: str) -> Path:
        mount = self._mounts / node
        if self._holder is None or not mount.is_dir():
            raise DeploymentError(f"{node} keeps nothing on a disk")
        return self._holder.root / mount.relative_to("/")

    def _make(self, node: str, size_bytes: int) -> str:
        image, mount = shlex.quote(str(self._images / node)), shlex.quote(str(self._mounts / node))
        return (
            f"truncate -s {size_bytes} {image}\n"
            # written whole, and little: else a thread of the kernel's does it in the middle of a trial
            f"{programs.require('mkfs.ext4')} -q -F -m 0 -N {INODES} -J size={JOURNAL_MIB}"
            f" -E lazy_itable_init=0,lazy_journal_init=1,nodiscard {image}\n"
            f"{programs.require('mount')} -o loop {image} {mount}\n"
            f"rmdir {mount}/lost+found"
        )


def _take_all(path: Path) -> None:
    """Allocate blocks to `path`, in ever smaller pieces, until not one is left."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        block_bytes = os.fstatvfs(file).f_frsize
        piece_bytes = max(os.fstatvfs(file).f_bavail * block_bytes, block_bytes)
        end = os.fstat(file).st_size
        while piece_bytes >= block_bytes:
            try:
                os.posix_fallocate(file, end, piece_bytes)
                end += piece_bytes
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                piece_bytes //= 2
    finally:
        os.close(file)

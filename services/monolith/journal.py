"""The journal and the snapshots on disk: what is there after a crash, and how it gets there.

A data folder holds `journal-N.log` and `snapshot-N.log` (records.py says what is inside).
`snapshot-N` is the state before the first record of `journal-N`, so the state is the newest snapshot
plus every journal from its number on. Taking snapshot N:

    1  flush journal N-1                         a crash after any step leaves the newest
    2  create journal N, and go on there         whole snapshot and all journals since it;
    3  write snapshot-N.new and flush it         what step 5 did not get to remove is
    4  rename it to snapshot-N.log               removed by the next opening
    5  remove the journals and snapshots before N

Only the last journal can end in a torn record, from a write cut short by a crash: nothing of it was
acknowledged, and it is cut off. An unsound record anywhere else is damage, and refused.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from services.monolith.records import MAGIC, End, read
from services.monolith.state import State

_NAME = re.compile(r"(journal|snapshot)-(\d{8})\.log")


class JournalDamaged(Exception):
    """The data folder holds what no crash of this server can have left."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What opening a data folder read: `snapshot_bytes`, and of journals `bytes` and `records`.

    `truncated_bytes` is the torn tail that was cut off.
    """

    snapshot_bytes: int
    bytes: int
    records: int
    truncated_bytes: int


class Journal:
    """An open data folder, at the end of its last journal. Every method may block on the disk."""

    def __init__(self, folder: Path, number: int, fd: int, size_bytes: int) -> None:
        self._folder = folder
        self._fd = fd
        self.number = number
        self.size_bytes = size_bytes

    @classmethod
    def open(cls, folder: Path, state: State) -> tuple["Journal", Replayed]:
        """Bring `state`, which must be new, to what the folder holds; raises JournalDamaged or OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.new"):
            leftover.unlink()
        journals, snapshots = _numbers(folder, "journal"), _numbers(folder, "snapshot")
        first = max(snapshots, default=1)
        snapshot_bytes = _load_snapshot(_path(folder, "snapshot", first), state) if snapshots else 0
        _remove_before(folder, first)
        numbers = [number for number in journals if number >= first]
        if not numbers:
            if snapshots or journals:
                raise JournalDamaged(f"{_path(folder, 'journal', first)} is missing")
            return cls._create(folder, first), Replayed(snapshot_bytes, 0, 0, 0)
        if numbers != list(range(first, numbers[-1] + 1)):
            raise JournalDamaged(f"{folder}: a journal is missing between {first} and {numbers[-1]}")
        size_bytes = records = truncated_bytes = 0
        for number in numbers:
            path = _path(folder, "journal", number)
            data = path.read_bytes()
            end, count = _apply(data, state, path)
            if end < len(data) or not end:
                if number != numbers[-1]:
                    raise JournalDamaged(f"{path}: unsound record at byte {end}, and a journal after it")
                truncated_bytes = len(data) - end
            size_bytes += end
            records += count
        fd = os.open(path, os.O_WRONLY)
        os.ftruncate(fd, end)
        os.lseek(fd, end, os.SEEK_SET)
        journal = cls(folder, number, fd, end)
        if not end:  # its creation was cut short
            journal.write(MAGIC)
        # Whatever was read is now relied upon, and answered for: it must not vanish with a power cut.
        os.fsync(fd)
        _sync_folder(folder)
        return journal, Replayed(snapshot_bytes, size_bytes, records, truncated_bytes)

    @classmethod
    def _create(cls, folder: Path, number: int) -> "Journal":
        fd = os.open(_path(folder, "journal", number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        journal = cls(folder, number, fd, 0)
        journal.write(MAGIC)
        journal.sync()
        _sync_folder(folder)
        return journal

    def write(self, data: bytes) -> None:
        """Append `data`, which a kill of this process, but not of the machine, then survives."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self.size_bytes += len(data)

    def sync(self) -> None:
        """Return once everything written is on the disk."""
        os.fdatasync(self._fd)

    def rotate(self) -> "Journal":
        """Close this journal for good and give back the next, empty one (steps 1 and 2)."""
        self.sync()
        following = self._create(self._folder, self.number + 1)
        os.close(self._fd)
        return following

    def keep_snapshot(self, data: bytes) -> None:
        """Make `data` the snapshot this journal begins with, and remove what is older (steps 3 to 5)."""
        path = _path(self._folder, "snapshot", self.number)
        new = path.with_suffix(".new")
        with open(new, "wb", opener=_private) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
        _sync_folder(self._folder)
        _remove_before(self._folder, self.number)

    def close(self) -> None:
        """Flush and close."""
        self.sync()
        os.close(self._fd)


def _path(folder: Path, kind: str, number: int) -> Path:
    return folder / f"{kind}-{number:08}.log"


def _numbers(folder: Path, kind: str) -> list[int]:
    matches = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[2]) for match in matches if match and match[1] == kind)


def _remove_before(folder: Path, number: int) -> None:
    for kind in ("journal", "snapshot"):
        for older in _numbers(folder, kind):
            if older < number:
                _path(folder, kind, older).unlink()


def _apply(data: bytes, state: State, path: Path) -> tuple[int, int]:
    """Apply the sound records of a journal: the offset of their end (0 for a torn magic), their count."""
    if not data.startswith(MAGIC):
        if MAGIC.startswith(data):
            return 0, 0
        raise JournalDamaged(f"{path} is not a journal of this server")
    sound_end, count = len(MAGIC), 0
    for end, record in read(data):
        state.apply(record)
        sound_end = end
        count += 1
    return sound_end, count


def _load_snapshot(path: Path, state: State) -> int:
    data = path.read_bytes()
    sound_end, closed = 0, False
    if data.startswith(MAGIC):
        for end, record in read(data):
            state.apply(record)
            sound_end = end
            closed = isinstance(record, End)
    if sound_end != len(data) or not closed:
        raise JournalDamaged(f"{path}: unsound at byte {sound_end}")
    return len(data)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _private(path: str, flags: int) -> int:
    """Open as the journals are: for this account only."""
    return os.open(path, flags, 0o600)

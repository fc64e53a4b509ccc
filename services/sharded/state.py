"""What failover must not forget when it dies: who is primary, and whether the other server may be promoted.

One JSON file, replaced whole and synced before any server is told to act on it. Without the file a
generation is new: the first server of each shard is its primary, in epoch 1.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

Standing = Literal["unknown", "in_sync", "former", "rebuild"]
"""What is known of the server that is not primary.

`unknown`  shares the primary's history and may lack acknowledged commits: never to be promoted
`in_sync`  has received every acknowledged commit since: may be promoted while its applier has not restarted
`former`   was primary until the last promotion: may hold commits that nobody was told of
`rebuild`  holds such commits, or half a copy: its data is to be replaced
"""


class ShardState(BaseModel):
    """One shard. `fork` is the number of the last commit that both servers share (None: no promotion yet).

    `prepared` says that the shard has been in service. `alone` says that the primary acknowledges
    without a replica.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prepared: bool = False
    epoch: int = 1
    primary: int = 0
    """Position of the primary in the shard's list of two servers."""
    standing: Standing = "unknown"
    fork: int | None = None
    alone: bool = False

    def changed(self, **changes: object) -> "ShardState":
        """A copy with `changes`."""
        return self.model_copy(update=changes)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    shards: list[ShardState]


class StateFile:
    """The states of all shards, on disk. Use `put`; reading is from memory."""

    def __init__(self, path: Path, shards: int) -> None:
        self._path = path
        if path.exists():
            self._file = _File.model_validate_json(path.read_bytes())
        else:
            self._file = _File(shards=[ShardState() for _ in range(shards)])
        if len(self._file.shards) != shards:
            raise ValueError(
                f"{path} tells of {len(self._file.shards)} shards, the configuration of {shards}"
            )

    def get(self, shard: int) -> ShardState:
        """What stands for `shard`."""
        return self._file.shards[shard]

    def put(self, shard: int, state: ShardState) -> None:
        """Replace `shard`'s state; on disk when this returns."""
        self._file.shards[shard] = state
        beside = self._path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(self._file.model_dump_json(indent=1).encode())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

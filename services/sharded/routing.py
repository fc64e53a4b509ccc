"""User → bucket → shard, and the map that says where each shard's primary is. Pure.

A user's bucket is crc32(name) mod 1024. Buckets are dealt to shards in turn, not in ranges: the names of
a small population (`u0` … `u9`) differ in few bits, and would all fall into one range.
A shard's epoch grows by one with each promotion; the map's version with every change of any shard.

The map as JSON, served by failover at `GET /v1/shards`:
`{"version": 3, "shards": [{"epoch": 2, "node": "shard-0-replica", "host": "127.0.0.1", "port": 3306}, …]}`,
one entry a shard, in order.
"""

from binascii import crc32
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

BUCKETS = 1024


def bucket_of(user: str) -> int:
    """The user's bucket, 0 … 1023."""
    return crc32(user.encode()) % BUCKETS


def shard_of(user: str, shards: int) -> int:
    """Which of `shards` shards keeps what is addressed to `user`."""
    return bucket_of(user) % shards


class Address(BaseModel):
    """Where something listens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    port: int = Field(gt=0, le=65535)


class Account(BaseModel):
    """A database account."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str
    password: str


class Primary(Address):
    """A shard's primary: the node, where it listens, and the epoch in which it became primary."""

    epoch: int = Field(gt=0)
    node: str

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address(host=self.host, port=self.port)


class ShardMap(BaseModel):
    """Every shard's primary, by shard number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    shards: tuple[Primary, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account: the name, the row number in the tables, the shard of their inbox."""

    name: str
    number: int
    shard: int

"""The replicated log: JetStream streams `inbox-0` … `inbox-2` and `groups`, where acknowledged messages live.

A user's messages are all in one partition, `crc32(user) % 3`. One entry is one *record*: a JSON list of
messages `[number, sender, message id, addressee, body]`, appended by one `message` node in one go, so that
they stay together and in order. A message's *position* is where it stands: the entry's sequence times
65,536 plus its index in the record. Positions of a partition grow, and never change.

A message to a group is first in `groups`, whose records hold `[sender, message id, group, body]`. From there
`group` copies it into the partitions of its members, in a record of its own kind of messages: `[numbers,
sender, message id, addressees, body, group]`, which stand for one message to each addressee, in turn.

Durable means: written by a quorum of three servers, each into its own files. That survives the loss of any
one server, by SIGKILL too (the page cache outlives the process). It does not survive a power cut of all
three at once: `sync_interval` is left at its default of two minutes, as most clusters run.

Duplicates: an append that is repeated carries the same `Nats-Msg-Id`, which the stream suppresses for
`DUPLICATE_WINDOW_S`, and readers suppress each message by (sender, message id) as well (see mailbox.py).
"""

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nats.errors
import nats.js.errors
import orjson
from nats.aio.msg import Msg
from nats.js.api import KeyValueConfig
from nats.js.kv import KeyValue

from services.microservices.bus import Bus, Unavailable

PARTITIONS = 3
GROUPS = "groups"
"""The stream of messages to groups."""
GROUPS_SUBJECT = "group.log"
FAN_OUT_BUCKET = "fan-out"
SEQUENCE_BUCKET = "sequence"
DUPLICATE_WINDOW_S = 600
RECORD_SPAN = 65_536
API_TIMEOUT_S = 2.0
STORE_TIMEOUT_S = 0.5
RETRY_S = 0.1
ENTRIES_A_READ = 512
BYTES_A_READ = 4 * 1024 * 1024


def partition_of(user: str) -> int:
    """The partition that holds the messages for `user`."""
    return zlib.crc32(user.encode()) % PARTITIONS


def position_of(sequence: int, index: int) -> int:
    """The position of message `index` of the record in entry `sequence`."""
    return sequence * RECORD_SPAN + index


def stream(partition: int) -> str:
    """The partition's stream."""
    return f"inbox-{partition}"


def subject(partition: int) -> str:
    """The subject whose messages the partition's stream stores."""
    return f"inbox.log.{partition}"


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry a quorum has; `again` where it was there already, perhaps with other numbers in it."""

    sequence: int
    again: bool


async def append(bus: Bus, to: str, record: bytes, *, entry_id: str, timeout_s: float) -> Stored:
    """Append one record to the stream of subject `to`, durably; raises Unavailable where it is not known."""
    answer = await bus.request(to, record, timeout_s=timeout_s, headers={"Nats-Msg-Id": entry_id})
    receipt = orjson.loads(answer.data)
    if "error" in receipt or not receipt.get("seq"):
        raise Unavailable(f"{to}: {receipt.get('error', {}).get('description', receipt)}")
    return Stored(receipt["seq"], again=receipt.get("duplicate", False))


async def create(bus: Bus, streams: Mapping[str, str], *, replicas: int) -> None:
    """Make those of the streams (name: subject) that are missing; waits for the cluster to form."""
    for name, stored in streams.items():
        wanted = {
            "name": name,
            "subjects": [stored],
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "num_replicas": replicas,
            "duplicate_window": DUPLICATE_WINDOW_S * 10**9,
            "allow_direct": True,
            "deny_delete": True,
            "deny_purge": True,
        }
        while True:
            try:
                await api(bus, f"STREAM.CREATE.{name}", wanted, timeout_s=1.0)
                break
            except Unavailable:
                await asyncio.sleep(RETRY_S)


async def api(
    bus: Bus, call: str, request: dict[str, Any] | None = None, *, timeout_s: float = API_TIMEOUT_S
) -> Any:
    """One call of the JetStream API; raises Unavailable for no answer and for an error as well."""
    payload = orjson.dumps(request) if request is not None else b""
    answer = orjson.loads(await bus.call(f"$JS.API.{call}", payload, timeout_s=timeout_s))
    if "error" in answer:
        raise Unavailable(f"{call}: {answer['error'].get('description')}")
    return answer


async def bucket(bus: Bus, name: str, *, replicas: int) -> KeyValue:
    """A bucket of JetStream's key-value store, made where it is missing; waits until the log answers."""
    context = bus.client.jetstream(timeout=STORE_TIMEOUT_S)
    while True:
        try:
            return await context.key_value(name)
        except nats.js.errors.NotFoundError:
            pass
        except (nats.errors.Error, OSError, TimeoutError):
            await asyncio.sleep(RETRY_S)
            continue
        try:
            return await context.create_key_value(
                KeyValueConfig(bucket=name, history=1, replicas=replicas, direct=False)
            )
        except (nats.errors.Error, OSError, TimeoutError):
            await asyncio.sleep(RETRY_S)


def replicas_among(servers: tuple[str, ...]) -> int:
    """How many of the servers hold each stream."""
    return min(3, len(servers))


def preferred_leaders(servers: tuple[str, ...]) -> dict[str, str]:
    """Which server should lead each stream: partitions in turn, ceilings the first, and groups the second."""
    leaders = {stream(partition): servers[partition % len(servers)] for partition in range(PARTITIONS)}
    second = servers[1 % len(servers)]
    return {
        **leaders,
        f"KV_{SEQUENCE_BUCKET}": servers[0],
        GROUPS: second,
        f"KV_{FAN_OUT_BUCKET}": second,
    }


@dataclass(frozen=True, slots=True)
class Cluster:
    """The servers of one stream: who leads, None for nobody, and which hold all of it, the leader too."""

    leader: str | None
    current: frozenset[str]


async def cluster_of(bus: Bus, name: str) -> Cluster:
    """The stream's servers as its leader sees them; raises Unavailable."""
    cluster = (await api(bus, f"STREAM.INFO.{name}")).get("cluster", {})
    leader = cluster.get("leader") or None
    replicas = cluster.get("replicas") or []
    current = {one["name"] for one in replicas if one.get("current") and not one.get("offline")}
    return Cluster(leader, frozenset(current | {leader} if leader else current))


async def give_leadership(bus: Bus, name: str, server: str) -> None:
    """Ask the stream's leader to step down for `server`; raises Unavailable."""
    await api(bus, f"STREAM.LEADER.STEPDOWN.{name}", {"placement": {"preferred": server}})


class Reader:
    """Reads entries of one stream from any server that has them (direct get, ADR-31)."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus = bus
        self._stream = name
        self._inbox = bus.client.new_inbox()
        self._reading = 0
        self._entries: list[tuple[int, bytes]] = []
        self._done: asyncio.Future[int] | None = None

    async def open(self) -> None:
        """Listen for answers; once, before the first read."""
        await self._bus.listen(f"{self._inbox}.*", self._on_answer)

    async def read(
        self, after: int, *, timeout_s: float = API_TIMEOUT_S
    ) -> tuple[list[tuple[int, bytes]], int]:
        """Entries (sequence, record) after sequence `after`, in order, and how many remain behind them.

        A server that lags gives fewer than there are; none that there are not. Raises Unavailable.
        """
        self._reading += 1
        self._entries = []
        self._done = asyncio.get_running_loop().create_future()
        request = {"seq": after + 1, "batch": ENTRIES_A_READ, "max_bytes": BYTES_A_READ}
        await self._bus.publish(
            f"$JS.API.DIRECT.GET.{self._stream}",
            orjson.dumps(request),
            reply=f"{self._inbox}.{self._reading}",
        )
        try:
            remaining = await asyncio.wait_for(self._done, timeout_s)
        except TimeoutError as error:
            raise Unavailable(f"{self._stream}: no entries within {timeout_s:g} s") from error
        return self._entries, remaining

    async def _on_answer(self, message: Msg) -> None:
        done = self._done
        if done is None or done.done() or not message.subject.endswith(f".{self._reading}"):
            return
        headers = message.headers or {}
        status = headers.get("Status")
        if status is None:
            self._entries.append((int(headers["Nats-Sequence"]), message.data))
        elif status in {"204", "404"}:
            done.set_result(int(headers.get("Nats-Num-Pending", "0")))
        else:
            done.set_exception(Unavailable(f"{self._stream}: status {status}"))

"""The replicated log: JetStream streams `inbox-0` … `inbox-2`, where acknowledged messages live.

A user's messages are all in one partition, `crc32(user) % 3`. One entry is one *record*: a JSON list of
messages `[number, sender, message id, addressee, body]`, appended by one `message` node in one go, so that
they stay together and in order. A message's *position* is where it stands: the entry's sequence times
65,536 plus its index in the record. Positions of a partition grow, and never change.

Durable means: written by a quorum of three servers, each into its own files. That survives the loss of any
one server, by SIGKILL too (the page cache outlives the process). It does not survive a power cut of all
three at once: `sync_interval` is left at its default of two minutes, as most clusters run.

Duplicates: an append that is repeated carries the same `Nats-Msg-Id`, which the stream suppresses for
`DUPLICATE_WINDOW_S`, and readers suppress each message by (sender, message id) as well (see mailbox.py).
"""

import asyncio
import zlib
from dataclasses import dataclass
from typing import Any

import orjson
from nats.aio.msg import Msg

from services.microservices.bus import Bus, Unavailable

PARTITIONS = 3
SEQUENCE_BUCKET = "sequence"
DUPLICATE_WINDOW_S = 600
RECORD_SPAN = 65_536
API_TIMEOUT_S = 2.0
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


async def append(bus: Bus, partition: int, record: bytes, *, entry_id: str, timeout_s: float) -> Stored:
    """Append one record durably; raises Unavailable where that is not known to have happened."""
    answer = await bus.request(
        subject(partition), record, timeout_s=timeout_s, headers={"Nats-Msg-Id": entry_id}
    )
    receipt = orjson.loads(answer.data)
    if "error" in receipt or not receipt.get("seq"):
        raise Unavailable(f"{stream(partition)}: {receipt.get('error', {}).get('description', receipt)}")
    return Stored(receipt["seq"], again=receipt.get("duplicate", False))


async def create(bus: Bus, *, replicas: int) -> None:
    """Make the streams that are missing; returns once all exist, however long the cluster takes to form."""
    for partition in range(PARTITIONS):
        name = stream(partition)
        wanted = {
            "name": name,
            "subjects": [subject(partition)],
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


def preferred_leaders(servers: tuple[str, ...]) -> dict[str, str]:
    """Which server should lead each stream: partitions in turn, and the ceilings with the first."""
    leaders = {stream(partition): servers[partition % len(servers)] for partition in range(PARTITIONS)}
    return {**leaders, f"KV_{SEQUENCE_BUCKET}": servers[0]}


async def led_by(bus: Bus, name: str, preferred: str) -> bool | None:
    """True when `preferred` leads the stream; False when it could; None when it cannot, or nobody leads."""
    cluster = (await api(bus, f"STREAM.INFO.{name}")).get("cluster", {})
    if cluster.get("leader") == preferred:
        return True
    replicas = {replica["name"]: replica for replica in cluster.get("replicas") or []}
    return False if cluster.get("leader") and replicas.get(preferred, {}).get("current") else None


async def lead_as_preferred(bus: Bus, name: str, preferred: str) -> bool:
    """Whether `preferred` leads the stream; where it does not and could, it is asked to."""
    led = await led_by(bus, name, preferred)
    if led is False:
        await api(bus, f"STREAM.LEADER.STEPDOWN.{name}", {"placement": {"preferred": preferred}})
    return led is True


class Reader:
    """Reads entries of one partition from any server that has them (direct get, ADR-31)."""

    def __init__(self, bus: Bus, partition: int) -> None:
        self._bus = bus
        self._stream = stream(partition)
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

"""Answering a batch of sends, as `message` and `group` do (see lane.py for who asks)."""

from collections.abc import Awaitable, Callable

import orjson
from nats.aio.msg import Msg

from services.microservices.bus import Bus, Unavailable
from services.microservices.metrics import Operations
from services.runtime import Node

Refused = list[tuple[int, str]]
"""Index and reason of each send that is not taken; all others are stored."""


async def answer(
    node: Node, bus: Bus, operations: Operations, message: Msg, store: Callable[[bytes], Awaitable[Refused]]
) -> None:
    """Handle one batch and answer; a failure is an answer too, so nobody waits for it in vain."""
    with operations.timed("store_batch") as timing:
        told: dict[str, object]
        try:
            told = {"refused": await store(message.data)}
        except Unavailable as error:
            timing.outcome = "unknown"
            told = {"unavailable": str(error)}
        except (orjson.JSONDecodeError, ValueError, TypeError) as error:
            timing.outcome = "failed"
            node.log("batch not understood", error=str(error))
            told = {"unavailable": "batch not understood"}
        try:
            await bus.publish(message.reply, orjson.dumps(told))
        except Unavailable:
            timing.outcome = "unknown"


async def take_numbers(bus: Bus, users: list[str], *, timeout_s: float) -> list[int]:
    """The next number of each user named, in turn, from `sequence`; raises Unavailable."""
    answered = orjson.loads(await bus.call("sequence.take", orjson.dumps(users), timeout_s=timeout_s))
    if "numbers" not in answered:
        raise Unavailable(f"sequence: {answered.get('unavailable')}")
    numbers: list[int] = answered["numbers"]
    return numbers


async def tell_stored(bus: Bus, partition: int, sequence: int, record: bytes) -> None:
    """Tell `inbox` of an entry that a partition has now; an empty record has it look there itself."""
    await bus.publish("inbox.stored", b"%d %d\n%b" % (partition, sequence, record))

"""The bus: how the services of this generation find and call each other, over NATS.

A service answers on a subject as a member of a queue group, so that any of its nodes may take a call and
one that dies is simply no longer chosen. Every call has a timeout, and every way in which it can go
without an answer is one exception, `Unavailable`: whether the call had an effect is then unknown, so only
calls that may be repeated are made. Each node also registers with the NATS services API (ADR-32), which
costs nothing per message: `nats micro ls` shows what runs.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import nats
import nats.errors
from nats import micro
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from pydantic import Field

from services.runtime import Node, NodeConfig

RECONNECT_S = 0.05
PING_S = 1
"""A server that leaves two pings unanswered, so is silent for 2 to 3 s, is left for another."""
UNANSWERED_PINGS = 2

Handler = Callable[[Msg], Awaitable[None]]


class Unavailable(Exception):
    """A call had no answer; whether it had an effect is unknown."""


class BusConfig(NodeConfig):
    """What every service's configuration holds: the servers of the bus, nearest first."""

    nats: tuple[str, ...] = Field(min_length=1)


class Bus:
    """One node's connection to NATS."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, subject: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Ask, and give the answer; raises Unavailable when none came in time or nobody listens."""
        return (await self.request(subject, payload, timeout_s=timeout_s)).data

    async def request(
        self, subject: str, payload: bytes, *, timeout_s: float, headers: dict[str, Any] | None = None
    ) -> Msg:
        """Like `call`, with headers, and giving the whole answer."""
        try:
            return await self.client.request(subject, payload, timeout=timeout_s, headers=headers)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise Unavailable(f"{subject}: {type(error).__name__}") from error

    async def publish(self, subject: str, payload: bytes, *, reply: str = "") -> None:
        """Tell whoever listens; at most once, so only for what another way makes good."""
        try:
            await self.client.publish(subject, payload, reply=reply)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"{subject}: {type(error).__name__}") from error

    async def listen(self, subject: str, handler: Handler, *, group: str = "") -> Subscription:
        """Have `handler` called for each message, one after the other; in a group, one member takes each."""
        return await self.client.subscribe(subject, queue=group, cb=handler)

    async def connected(self) -> str | None:
        """Readiness check: None when connected, else the reason."""
        return None if self.client.is_connected else "no connection to the bus"


@contextlib.asynccontextmanager
async def connect(node: Node, kind: str, config: BusConfig) -> AsyncIterator[Bus]:
    """Connect and stay connected, to whichever server lives; waits for the first one to answer."""

    async def on_error(_: Exception) -> None:
        """Each failed attempt ends here; `disconnected` and `connected` say what matters."""

    async def on_disconnected() -> None:
        if not node.stopping.is_set():
            node.log("disconnected", server=_server(client))

    async def on_reconnected() -> None:
        node.log("connected", server=_server(client))

    client = Client()
    await client.connect(
        list(config.nats),
        name=node.name,
        dont_randomize=True,
        reconnect_time_wait=RECONNECT_S,  # type: ignore[arg-type]  # seconds, as it goes to asyncio.sleep
        max_reconnect_attempts=-1,
        ping_interval=PING_S,
        max_outstanding_pings=UNANSWERED_PINGS,
        connect_timeout=2,
        error_cb=on_error,
        disconnected_cb=on_disconnected,
        reconnected_cb=on_reconnected,
    )
    bus = Bus(client)
    node.check("bus", bus.connected)
    try:
        await micro.add_service(
            client, name=kind, version="1.0.0", description="threegen", metadata={"node": node.name}
        )
        yield bus
    finally:
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            await asyncio.wait_for(client.close(), 1)


def _server(client: Client) -> str:
    url = client.connected_url
    return url.netloc if url is not None else ""

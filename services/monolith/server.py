"""The monolith's only node: everything in one process, in RAM, with one journal beside it.

A start reads the newest snapshot and the journals after it, then listens. It logs `replayed`
(`seconds`, `snapshot_bytes`, `bytes` and `records` of journals, `truncated_bytes`, `undelivered`
messages), `listening` (`port`), and `ready`.
"""

import asyncio
import contextlib
import gc
import ssl
import time
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from services.monolith.commit import GroupCommit
from services.monolith.domain import Domain
from services.monolith.journal import Journal
from services.monolith.metrics import Metrics
from services.monolith.session import Session
from services.monolith.state import State
from services.runtime import Node, NodeConfig, People

WATCH_INTERVAL_S = 1.0
BACKLOG = 4096
CLOSE_TIMEOUT_S = 1.0


class Config(NodeConfig):
    """The server's configuration. With a certificate STARTTLS is offered and required, else it is not."""

    people: People
    data_dir: Path
    """Where the journal and the snapshots are; made if need be."""
    domain: str = Field(default="threegen.example", pattern=r"^[a-z0-9.-]+$")
    """The XMPP domain all accounts belong to."""
    tls_certificate: Path | None = None
    """PEM file with the certificate chain."""
    tls_key: Path | None = None
    """PEM file with the certificate's key."""
    snapshot_every_bytes: int = Field(default=64 << 20, ge=0)
    """A snapshot is taken when the journal has grown past this; 0 for never, so replay grows for ever."""
    duplicate_window: int = Field(default=250_000, gt=0)
    """At least so many of the latest message ids are known again when they are sent again."""
    max_stanza_bytes: int = Field(default=262_144, ge=10_000)
    """Longer stanzas end the stream; not under 10,000 (RFC 6120, 13.12)."""

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        self.tls()
        return self

    def tls(self) -> ssl.SSLContext | None:
        """What to secure connections with; None without a certificate, ValueError for an unusable one."""
        if self.tls_certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.tls_certificate, self.tls_key)
        except OSError as error:
            raise ValueError(f"tls_certificate {self.tls_certificate}: {error}") from error
        return context


async def serve(node: Node, config: Config) -> None:
    """Replay, listen, and serve until the node is to stop; raises OSError when the journal fails."""
    tls = config.tls()
    metrics = Metrics(node.registry)
    state = State(config.duplicate_window)
    begun = time.perf_counter()
    journal, replayed = await asyncio.to_thread(Journal.open, config.data_dir, state)
    metrics.replay_seconds = time.perf_counter() - begun
    metrics.replayed_bytes = replayed.snapshot_bytes + replayed.bytes
    metrics.replayed_records = replayed.records
    node.log(
        "replayed",
        seconds=round(metrics.replay_seconds, 6),
        snapshot_bytes=replayed.snapshot_bytes,
        bytes=replayed.bytes,
        records=replayed.records,
        truncated_bytes=replayed.truncated_bytes,
        undelivered=len(state.undelivered),
    )
    # What was replayed lives long; collecting it again and again would only stall the loop.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)

    domain = Domain(config.domain, config.people, state, metrics)
    domain.commit = GroupCommit(
        journal,
        state,
        metrics,
        snapshot_every_bytes=config.snapshot_every_bytes,
        on_durable=domain.durable,
    )
    listener = await asyncio.get_running_loop().create_server(
        lambda: Session(domain, tls, config.max_stanza_bytes),
        config.host,
        config.port,
        backlog=BACKLOG,
        reuse_address=True,
    )
    node.log("listening", port=listener.sockets[0].getsockname()[1])
    watch = asyncio.create_task(domain.watch(WATCH_INTERVAL_S))
    node.ready()
    stopping = asyncio.create_task(node.stopping.wait())
    try:
        waits: set[asyncio.Future[Any]] = {stopping, watch, domain.commit.failed}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        listener.close()
        stopping.cancel()
        watch.cancel()
    if domain.commit.failed.done():
        await domain.commit.failed
    if watch.done() and not watch.cancelled():
        await watch
    node.log("stopping", sessions=len(domain.connections))
    await _close(domain)


async def _close(domain: Domain) -> None:
    """Acknowledge what was taken, say goodbye, close the journal."""
    domain.stopping = True
    await domain.commit.flushed()
    for session in tuple(domain.connections):
        session.end("system-shutdown")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            while domain.connections:
                await asyncio.sleep(0.01)
    await domain.commit.close()

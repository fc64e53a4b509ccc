"""Fills a new data folder with history, before the server that is to read it starts.

Each message was taken and delivered: a `stored` record, and soon after a `delivered` one, which names as
many as the server notes together under load. No snapshot is taken, so that all of it is journal.
"""

import asyncio
import time
from pathlib import Path

from pydantic import Field

from services.history import History, HistoryConfig, Telling, chunks, write_positions
from services.history import Message as Written
from services.monolith.journal import Journal
from services.monolith.records import Delivered, Message, encode
from services.monolith.stanza import attribute, text
from services.monolith.state import State
from services.runtime import Node

NOTED_TOGETHER = 20
WRITTEN_TOGETHER = 5_000


class Config(HistoryConfig):
    """Keys of a `monolith-history` node."""

    data_dir: Path
    domain: str = Field(default="threegen.example", pattern=r"^[a-z0-9.-]+$")


async def serve(node: Node, config: Config) -> None:
    """Write the journal and end; raises OSError where the disk does not take it."""
    await asyncio.to_thread(_fill, node, config)


def _fill(node: Node, config: Config) -> None:
    history, telling = History(config), Telling(node)
    stored_ms = time.time_ns() // 1_000_000
    journal, _ = Journal.open(config.data_dir, State(1))
    for part in chunks(history.in_order(), WRITTEN_TOGETHER):
        if node.stopping.is_set():
            return
        records = []
        for together in chunks(part, NOTED_TOGETHER):
            records += [encode(_stored(config, message, stored_ms)) for message in together]
            records.append(encode(Delivered(tuple(message.number + 1 for message in together))))
        journal.write(b"".join(records))
        telling.stored(len(part))
    journal.close()
    write_positions(config.positions_file, {})  # the protocol counts none
    telling.done(history.messages, journal.size_bytes)


def _stored(config: Config, message: Written, stored_ms: int) -> Message:
    name, domain = config.people.name, config.domain
    stanza = (
        f"<message from='{name(message.sender)}@{domain}/history' to='{name(message.addressee)}@{domain}'"
        f" id='{attribute(message.message_id)}' type='chat'><body>{text(message.body)}</body></message>"
    ).encode()
    return Message(
        message.number + 1, stored_ms, message.sender, message.addressee, message.message_id, stanza
    )

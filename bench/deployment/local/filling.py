"""Filling a generation's store with history before anybody is online, and saying how far it has come.

What fills is a process of the stubs' own (services/history.py), which ends by itself: the monolith's writes
the journal before the server starts, the others' put theirs into the databases and the log once those are up.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.children import run_to_end

NODE = "history"
TAIL_BYTES = 4_096
POLL_S = 1.0
FEWEST_PER_S = 1_000
"""Slower than this nothing fills that is not broken."""
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class History:
    """What people are to have written and received before: `messages` of persons 0 … `persons`-1.

    `run` stands in their ids, and is that of no load; `bodies_file` is a JSON list of what they say.
    """

    messages: int
    persons: int
    seed: int
    run: int
    bodies_file: Path


@dataclass(frozen=True, slots=True)
class Fill:
    """The process that fills, and when: `before` any node starts, or once all are `ready`."""

    command: tuple[str, ...]
    moment: Literal["before", "ready"]
    messages: int


def configuration(history: History, people: Mapping[str, Any], positions: Path) -> dict[str, Any]:
    """The keys that every filling node's configuration has."""
    return {
        "people": dict(people),
        "messages": history.messages,
        "persons": history.persons,
        "seed": history.seed,
        "run": history.run,
        "bodies_file": history.bodies_file,
        "positions_file": positions,
    }


async def run_fill(
    fill: Fill, log: Path, *, cores: frozenset[int] | None, say: Callable[[str], None]
) -> None:
    """Fill, to the end; raises DeploymentError where that fails or takes far too long."""
    telling = asyncio.create_task(_tell(fill, log, say))
    try:
        await run_to_end(fill.command, log, timeout_s=PATIENCE_S + fill.messages / FEWEST_PER_S, cores=cores)
    finally:
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling


async def _tell(fill: Fill, log: Path, say: Callable[[str], None]) -> None:
    said = ""
    while True:
        tenths = _stored(log) * 10 // fill.messages
        text = f"preloading {fill.messages:,} messages: {tenths * 10} %"
        if text != said:
            say(text)
        said = text
        await asyncio.sleep(POLL_S)


def _stored(log: Path) -> int:
    """How many messages the log says are stored."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return 0
    for line in reversed(lines):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return int(json.loads(line)["messages"])
    return 0

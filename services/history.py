"""What people wrote to each other before: drawn alike for each generation, and kept by its own code.

Message n is a function of n and the seed alone, so that a longer history begins with the shorter one, and
whoever stores it may go through it in whichever order the store likes. Person n mod `persons` gets it, from
one of their contacts; what it says is one of the bodies in `bodies_file`. Its id has the form of a load
process's (RUN.PRODUCER.CONVERSATION.PLACE.SEQUENCE.INTENDED.CRC, hexadecimal) with a run of its own; its
place is n, too, as nobody judges the order of what was before.

A filling node (services/GENERATION/history.py) ends by itself. Its log has `preloading` (`messages` so far)
once a second, and at the end `preloaded`: `messages`, `bytes` that one copy of them takes in the
generation's store, `seconds`. All of it was delivered: `positions_file` says, by person, up to where each has
received, for clients whose protocol counts.
"""

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar
from zlib import crc32

from pydantic import Field

from services.runtime import ConfigError, Node, NodeConfig, People

TELL_EVERY_S = 1.0

T = TypeVar("T")


class HistoryConfig(NodeConfig):
    """What every filling node's file holds."""

    people: People
    messages: int = Field(gt=0)
    persons: int = Field(gt=1)
    """Persons 0 … persons-1 have a history; the other accounts have none."""
    seed: int = 0
    run: int = Field(default=0, ge=0)
    """The run in the messages' ids; that of no load that is to come."""
    bodies_file: Path
    """A JSON list of the bodies to draw from."""
    positions_file: Path
    """Written at the end: a JSON object, position by person."""


class Message(NamedTuple):
    """One message of the history; `sender` and `addressee` are persons."""

    number: int
    sender: int
    addressee: int
    message_id: str
    body: str


class History:
    """All messages of one configuration; raises ConfigError for people or bodies that are not sound.

    Who has no contact with a history hears from their neighbour.
    """

    def __init__(self, config: HistoryConfig) -> None:
        self.messages = config.messages
        self.persons = config.persons
        if config.persons > config.people.count:
            raise ConfigError(f"persons: {config.persons}, but there are {config.people.count} accounts")
        self._contacts = [
            [other for other in contacts if other < self.persons] or [(person + 1) % self.persons]
            for person, contacts in enumerate(config.people.contacts()[: self.persons])
        ]
        self._bodies = [(body, crc32(body.encode())) for body in _bodies(config.bodies_file)]
        self._run = config.run
        self._seed = config.seed & 0xFFFFFFFF

    def message(self, number: int) -> Message:
        """Message `number`, from 0 on."""
        drawn = crc32(number.to_bytes(8, "little"), self._seed)
        addressee = number % self.persons
        contacts = self._contacts[addressee]
        sender = contacts[drawn % len(contacts)]
        body, crc = self._bodies[(drawn >> 8) % len(self._bodies)]
        talk = sender * self.persons + addressee
        message_id = f"{self._run:x}.0.{talk:x}.{number:x}.{number:x}.0.{crc:x}"
        return Message(number, sender, addressee, message_id, body)

    def in_order(self) -> Iterator[Message]:
        """Everything, as it was written."""
        return map(self.message, range(self.messages))

    def of(self, person: int) -> Iterator[Message]:
        """What `person` was sent, as it was written."""
        return map(self.message, range(person, self.messages, self.persons))


class Telling:
    """Says once a second how far a filling node has come."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._began = self._told = time.monotonic()
        self.messages = 0

    def stored(self, messages: int) -> None:
        """So many more are stored."""
        self.messages += messages
        if time.monotonic() - self._told >= TELL_EVERY_S:
            self._told = time.monotonic()
            self._node.log("preloading", messages=self.messages)

    def done(self, messages: int, size_bytes: int) -> None:
        """All `messages` are stored, and one copy of them takes `size_bytes`."""
        seconds = round(time.monotonic() - self._began, 3)
        self._node.log("preloaded", messages=messages, bytes=size_bytes, seconds=seconds)


def write_positions(path: Path, positions: dict[int, int]) -> None:
    """Keep up to where each person has received."""
    path.write_text(json.dumps(positions))


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`; the last may be shorter."""
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _bodies(path: Path) -> list[str]:
    try:
        bodies: list[str] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not bodies:
        raise ConfigError(f"{path}: no body to draw from")
    return bodies

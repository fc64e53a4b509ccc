"""What a message's id says, so that every arrival can be judged from itself alone.

`RUN.PRODUCER.CONVERSATION.PLACE.SEQUENCE.INTENDED.CRC` in lower-case hexadecimal: the run; the load process
that made it; sender and addressee, or sender and group, as one number; its place in that conversation, from
0 without a gap, which is what order is judged by; its place in the producer's journal; the intended start in
µs from the trial's origin; the CRC-32 of the body.
"""

import zlib
from typing import NamedTuple


class MessageId(NamedTuple):
    """The parts of an id; all non-negative integers."""

    run: int
    producer: int
    conversation: int
    place: int
    sequence: int
    intended_us: int
    crc: int

    def __str__(self) -> str:
        return (
            f"{self.run:x}.{self.producer:x}.{self.conversation:x}.{self.place:x}."
            f"{self.sequence:x}.{self.intended_us:x}.{self.crc:x}"
        )

    @classmethod
    def parse(cls, text: str) -> "MessageId | None":
        """The id that str() wrote, or None for anything else."""
        try:
            parts = [int(part, 16) for part in text.split(".")]
        except ValueError:
            return None
        return cls(*parts) if len(parts) == 7 else None


def conversation(sender: int, addressee: int, people: int) -> int:
    """One number for the direction sender -> addressee among `people`."""
    return sender * people + addressee


def group_conversation(sender: int, group: int, people: int) -> int:
    """One number for what `sender` says in `group`, apart from all those between two people."""
    return people * people + group * people + sender


def parties(number: int, people: int) -> tuple[str, str]:
    """Whose conversation this number is, as (sender, target): `u7` to `u9`, or `u7` in `g3`."""
    group, sender = divmod(number - people * people, people)
    if group >= 0:
        return f"u{sender}", f"g{group}"
    sender, addressee = divmod(number, people)
    return f"u{sender}", f"u{addressee}"


def crc_of(body: str) -> int:
    """CRC-32 of the body's UTF-8 bytes."""
    return zlib.crc32(body.encode())

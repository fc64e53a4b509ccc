"""The records of the journal and the snapshot, as bytes. This module owns the format.

A file is a magic line and records; all integers are little-endian:

    record     = length u32, crc32 u32 of the content, content
    content    = kind u8, then
      stored     number u64, stored_ms u64 (UTC), sender u32, addressee u32, id length u16, id, stanza
      delivered  number u64, as often as there are
      keys       keys of messages already taken, UTF-8, divided by NUL (which XML cannot hold)
      end        the next message's number u64; closes a snapshot, and says it is whole
      grouped    stored_ms u64 (UTC), sender u32, count u32, id length u16, `count` numbers u64,
                 `count` addressees u32, id, stanza: one message for all of them

A record that is cut short, or whose checksum is wrong, ends the reading of its file.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

MAGIC = b"threegen monolith 1\n"
LONGEST_ID_BYTES = 0xFFFF

_STORED, _DELIVERED, _KEYS, _END, _GROUPED = 1, 2, 3, 4, 5
_HEAD = struct.Struct("<II")
_STORED_HEAD = struct.Struct("<BQQIIH")
_GROUPED_HEAD = struct.Struct("<BQIIH")
_LONGEST_RECORD_BYTES = 1 << 30


@dataclass(slots=True)
class Message:
    """A message the server took responsibility for, until its addressee has it.

    `number` counts all messages of this server, in the order they were taken. `stanza` is what is
    written to the addressee, whole, but for `to` where it is `shared` by all of a group. `message_id` is
    empty where the sender gave none.
    """

    number: int
    stored_ms: int
    sender: int
    addressee: int
    message_id: str
    stanza: bytes
    shared: bool = False

    @property
    def key(self) -> str | None:
        """What tells a duplicate: sender and message id; None without an id."""
        return key(self.sender, self.message_id) if self.message_id else None


@dataclass(frozen=True, slots=True)
class GroupMessage:
    """A message to a group: taken once, and a message with a number of its own for each addressee.

    `numbers` and `addressees` belong together, by place. Once some have it, it is kept with the others.
    """

    stored_ms: int
    sender: int
    message_id: str
    stanza: bytes
    numbers: tuple[int, ...]
    addressees: tuple[int, ...]

    def messages(self) -> Iterator[Message]:
        """One for each addressee."""
        for number, addressee in zip(self.numbers, self.addressees, strict=True):
            yield Message(
                number, self.stored_ms, self.sender, addressee, self.message_id, self.stanza, shared=True
            )

    @property
    def key(self) -> str | None:
        """What tells a duplicate: sender and message id; None without an id."""
        return key(self.sender, self.message_id) if self.message_id else None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The messages with these numbers reached their addressees."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of messages taken before, oldest first."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class End:
    """A snapshot's last record."""

    next_number: int


Record = Message | GroupMessage | Delivered | Keys | End


def key(sender: int, message_id: str) -> str:
    """What tells a duplicate of person `sender`'s message `message_id`."""
    return f"{sender} {message_id}"


def encode(record: Record) -> bytes:
    """The record as it stands in a file."""
    match record:
        case Message():
            assert not record.shared, "a group's message is written whole"
            identity = record.message_id.encode()
            head = _STORED_HEAD.pack(
                _STORED, record.number, record.stored_ms, record.sender, record.addressee, len(identity)
            )
            content = head + identity + record.stanza
        case GroupMessage():
            identity = record.message_id.encode()
            count = len(record.numbers)
            head = _GROUPED_HEAD.pack(_GROUPED, record.stored_ms, record.sender, count, len(identity))
            addressed = struct.pack(f"<{count}Q{count}I", *record.numbers, *record.addressees)
            content = head + addressed + identity + record.stanza
        case Delivered():
            content = struct.pack(f"<B{len(record.numbers)}Q", _DELIVERED, *record.numbers)
        case Keys():
            content = bytes([_KEYS]) + "\0".join(record.keys).encode()
        case End():
            content = struct.pack("<BQ", _END, record.next_number)
    return _HEAD.pack(len(content), crc32(content)) + content


def decode(content: bytes) -> Record:
    """The record whose checked content this is; raises ValueError for what this version never wrote."""
    match content[0]:
        case 1:
            _, number, stored_ms, sender, addressee, length = _STORED_HEAD.unpack_from(content)
            start = _STORED_HEAD.size
            identity = content[start : start + length].decode()
            return Message(number, stored_ms, sender, addressee, identity, content[start + length :])
        case 2:
            return Delivered(struct.unpack(f"<{(len(content) - 1) // 8}Q", content[1:]))
        case 3:
            return Keys(tuple(content[1:].decode().split("\0")) if len(content) > 1 else ())
        case 4:
            return End(struct.unpack("<Q", content[1:])[0])
        case 5:
            _, stored_ms, sender, count, length = _GROUPED_HEAD.unpack_from(content)
            addressed = struct.unpack_from(f"<{count}Q{count}I", content, _GROUPED_HEAD.size)
            start = _GROUPED_HEAD.size + 12 * count
            identity = content[start : start + length].decode()
            return GroupMessage(
                stored_ms, sender, identity, content[start + length :], addressed[:count], addressed[count:]
            )
        case kind:
            raise ValueError(f"unknown record kind {kind}")


def read(data: bytes, start: int = len(MAGIC)) -> Iterator[tuple[int, Record]]:
    """Each sound record of `data` with the offset of its end, from `start` to the first unsound one."""
    view = memoryview(data)
    offset = start
    while offset + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, offset)
        begin = offset + _HEAD.size
        offset = begin + length
        if not 0 < length <= _LONGEST_RECORD_BYTES or offset > len(data):
            return
        if crc32(view[begin:offset]) != checksum:
            return
        yield offset, decode(data[begin:offset])


def encode_all(records: Iterable[Record]) -> bytes:
    """A whole file of these records."""
    return MAGIC + b"".join(map(encode, records))

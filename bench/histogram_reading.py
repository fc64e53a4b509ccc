"""histograms.hlog read into a table, half a megabyte at a time.

What is done to a line by itself is what C does: split, base64, inflate. The counts' variable-length
numbers (ZigZag LEB128, HdrHistogram's V2 encoding) are decoded for all lines of a piece at once with
numpy: 360,000 lines take 2 s instead of 14. A piece with anything unusual in it is left to
`histograms.decode_log`, which reads line by line, and names the line that is wrong.
"""

import binascii
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hdrh.codec import get_compression_cookie, get_encoding_cookie

from bench.errors import RunFolderError
from bench.histogram_table import Floats, HistogramTable, Integers
from bench.histograms import BUCKETS, decode_log
from bench.records import HIGHEST_LATENCY_US, LOWEST_LATENCY_US, SIGNIFICANT_DIGITS, HistogramTag

PIECE_BYTES = 1 << 19
"""Of the log. Decoded, its numbers take some fifty times as much for a while, and stay in the caches."""
HEADER_BYTES = 40
_WRAPPER = struct.Struct(">II")
_HEADER = np.frombuffer(
    struct.pack(
        ">IIIIQQd",
        get_encoding_cookie(),
        0,
        0,
        SIGNIFICANT_DIGITS,
        LOWEST_LATENCY_US,
        HIGHEST_LATENCY_US,
        1.0,
    ),
    dtype=np.uint8,
)
_LENGTH = slice(4, 8)
"""Where in a header the length of what follows stands; the rest is the same in all."""


class _UnusualError(Exception):
    """A piece that is to be read line by line."""


def read_table(path: Path, wanted: Callable[[HistogramTag], bool]) -> HistogramTable:
    """The lines of an hlog file whose tag is `wanted`; raises RunFolderError naming the first bad one."""
    rows = _Rows()
    number = 0
    try:
        with path.open("rb") as log:
            while lines := log.readlines(PIECE_BYTES):
                try:
                    rows.add(lines, wanted)
                except _UnusualError:
                    blank = [b"#\n"] * number  # so that a bad line is told by its own number
                    table = HistogramTable.of(
                        line for line in decode_log([*blank, *lines], str(path)) if wanted(line.tag)
                    )
                    rows.add_table(table)
                number += len(lines)
    except OSError as error:
        raise RunFolderError(f"{path}: {error.strerror}") from error
    return rows.table()


@dataclass(slots=True)
class _Rows:
    """What was read so far. The long columns are bytes that grow, so that the table needs no copy of them."""

    numbers: dict[HistogramTag, int] = field(default_factory=dict)
    parsed: dict[bytes, int] = field(default_factory=dict)
    tag: list[npt.NDArray[np.int32]] = field(default_factory=list)
    start_s: list[Floats] = field(default_factory=list)
    length_s: list[Floats] = field(default_factory=list)
    sizes: list[Integers] = field(default_factory=list)
    buckets: bytearray = field(default_factory=bytearray)
    counts: bytearray = field(default_factory=bytearray)
    fitting: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint16))
    """The type of the counts, wide enough for all so far."""

    def add(self, lines: list[bytes], wanted: Callable[[HistogramTag], bool]) -> None:
        """Read one piece of the log; raises _UnusualError where that must be done line by line."""
        tag, starts, lengths, payloads = [], [], [], []
        try:
            for line in lines:
                if line.startswith((b"#", b'"StartTimestamp"')):
                    continue
                text, start, length, _, payload = line.split(b",")
                number = self.parsed.get(text)
                if number is None:
                    number = self._number(text, wanted)
                if number < 0:
                    continue
                if payload[-1] != 10:  # cut off
                    raise _UnusualError
                tag.append(number)
                starts.append(start)
                lengths.append(length)
                payloads.append(_inflated(payload))
            start_s = np.array(starts, dtype="S").astype(np.float64) if starts else np.zeros(0)
            length_s = np.array(lengths, dtype="S").astype(np.float64) if lengths else np.zeros(0)
        except (ValueError, binascii.Error, zlib.error, struct.error, IndexError) as error:
            raise _UnusualError from error
        if not payloads:
            return
        first, index, count = _decoded(payloads)
        self._append(
            HistogramTable((), np.array(tag, dtype=np.int32), start_s, length_s, first, index, count)
        )

    def add_table(self, table: HistogramTable) -> None:
        """Take up lines that were read one by one."""
        numbers = [self.numbers.setdefault(tag, len(self.numbers)) for tag in table.tags]
        tag = np.array(numbers, dtype=np.int32)[table.tag] if numbers else table.tag
        self._append(
            HistogramTable((), tag, table.start_s, table.length_s, table.first, table.buckets, table.counts)
        )

    def table(self) -> HistogramTable:
        """Everything read, as one table."""
        sizes = np.concatenate([np.zeros(0, dtype=np.int64), *self.sizes])
        return HistogramTable(
            tags=tuple(self.numbers),
            tag=np.concatenate([np.zeros(0, dtype=np.int32), *self.tag]),
            start_s=np.concatenate([np.zeros(0), *self.start_s]),
            length_s=np.concatenate([np.zeros(0), *self.length_s]),
            first=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            buckets=np.frombuffer(self.buckets, dtype=np.uint16),
            counts=np.frombuffer(self.counts, dtype=self.fitting),
        )

    def _append(self, piece: HistogramTable) -> None:
        fitting = np.promote_types(self.fitting, piece.counts.dtype)
        if fitting != self.fitting:
            self.counts = bytearray(np.frombuffer(self.counts, dtype=self.fitting).astype(fitting).tobytes())
            self.fitting = fitting
        self.tag.append(piece.tag)
        self.start_s.append(piece.start_s)
        self.length_s.append(piece.length_s)
        self.sizes.append(np.diff(piece.first))
        self.buckets += piece.buckets.tobytes()
        self.counts += piece.counts.astype(fitting).tobytes()

    def _number(self, text: bytes, wanted: Callable[[HistogramTag], bool]) -> int:
        """The tag's number, or -1 for one that is not wanted."""
        if not text.startswith(b"Tag="):
            raise _UnusualError
        tag = HistogramTag.parse(text[4:].decode("ascii"))
        number = self.numbers.setdefault(tag, len(self.numbers)) if wanted(tag) else -1
        self.parsed[text] = number
        return number


def _inflated(payload: bytes) -> bytes:
    """The V2 form within one line's base64."""
    raw = binascii.a2b_base64(payload)
    cookie, length = _WRAPPER.unpack_from(raw)
    if cookie != get_compression_cookie() or length != len(raw) - _WRAPPER.size:
        raise _UnusualError
    return zlib.decompress(raw[_WRAPPER.size :])


def _decoded(
    payloads: list[bytes],
) -> tuple[Integers, npt.NDArray[np.uint16], npt.NDArray[np.unsignedinteger[Any]]]:
    """Where each line's buckets begin, and the occupied buckets and counts of all; at least one line."""
    sizes = np.array([len(payload) for payload in payloads], dtype=np.int64)
    if sizes.min() <= HEADER_BYTES:
        raise _UnusualError
    whole = np.frombuffer(b"".join(payloads), dtype=np.uint8)
    begins = np.cumsum(sizes) - sizes
    headers = whole[begins[:, None] + np.arange(HEADER_BYTES)]
    said = headers[:, _LENGTH].copy().view(">u4")[:, 0].astype(np.int64)
    headers[:, _LENGTH] = 0
    if (headers != _HEADER).any() or (said != sizes - HEADER_BYTES).any():
        raise _UnusualError
    body = np.ones(len(whole), dtype=np.bool_)
    body[(begins[:, None] + np.arange(HEADER_BYTES)).ravel()] = False
    values, first_value = _numbers(whole[body], sizes - HEADER_BYTES)
    # A positive number is a count; a negative one is that many empty buckets, 0 is one of them.
    steps = np.where(values < 0, -values, 1)
    after = np.cumsum(steps)
    line_begins = np.concatenate([[0], after])[first_value[:-1]]
    bucket = after - steps - np.repeat(line_begins, np.diff(first_value))
    occupied = np.flatnonzero(values > 0)
    if not len(occupied) or bucket[occupied].max() >= BUCKETS or values.max() > np.iinfo(np.uint32).max:
        raise _UnusualError
    first = np.searchsorted(occupied, first_value)
    fitting = np.uint16 if values.max() <= np.iinfo(np.uint16).max else np.uint32
    return first, bucket[occupied].astype(np.uint16), values[occupied].astype(fitting)


def _numbers(body: npt.NDArray[np.uint8], sizes: Integers) -> tuple[Integers, Integers]:
    """The signed numbers of all lines, and where each line's begin, with their total last."""
    last = np.flatnonzero(body < 0x80)  # the last byte of each number
    if not len(last) or last[-1] != len(body) - 1:
        raise _UnusualError
    begin = np.concatenate([[0], last[:-1] + 1])
    widths = last - begin + 1
    if widths.max() > 7:
        raise _UnusualError
    raw = (body[begin] & 0x7F).astype(np.int64)
    for place in range(1, int(widths.max())):
        longer = np.flatnonzero(widths > place)
        raw[longer] |= (body[begin[longer] + place] & 0x7F).astype(np.int64) << (7 * place)
    ends = np.cumsum(sizes)
    if (body[ends - 1] >= 0x80).any():  # a number that runs over into the next line
        raise _UnusualError
    first = np.concatenate([[0], np.searchsorted(last, ends)]).astype(np.int64)
    return (raw >> 1) ^ -(raw & 1), first

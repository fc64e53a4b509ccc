"""Latency histograms: HdrHistogram's buckets counted with numpy, and its log format, V2 with tags.

1 µs to 1 h at three significant digits, as `records` says. `record_value` of the Python package costs
about a microsecond a value and `reset` over a millisecond, so values are gathered in an array and
counted a whole bin at once: `counts_of` is one bincount over `counts_index`, which is HdrHistogram's
own bucket rule (countsArrayIndex of the Java original), vectorised.

In memory a histogram is sparse: a one-second bin has some hundred occupied buckets of 23,552, and an
hour has thousands of bins.

The file (`histograms.hlog`) is what HdrHistogram's own tools read: comment lines with `#`, a legend,
then a line for each bin, `Tag=<tag>,<start s>,<length s>,<max ms>,<base64 of the compressed V2 form>`.
Starts are seconds from the trial's origin; the format has no sign, so a bin that began before the
origin is written at 0. Empty histograms are not written.
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from hdrh.codec import (
    HdrCookieException,
    HdrHistogramEncoder,
    HdrLengthException,
    encode,
    get_compression_cookie,
    get_encoding_cookie,
)

from bench.errors import RunFolderError
from bench.records import HIGHEST_LATENCY_US, LOWEST_LATENCY_US, SIGNIFICANT_DIGITS, HistogramTag

Integers = npt.NDArray[np.int64]

_HALF_MAGNITUDE = 10  # 2 * 10^3 rounded up to a power of two is 2^11; half of it is 2^10
BUCKETS = (HIGHEST_LATENCY_US.bit_length() - _HALF_MAGNITUDE + 1) << _HALF_MAGNITUDE
_WORD_BYTES = 8

LOG_HEADER = (
    "#[threegen: values in microseconds, Interval_Max in milliseconds, times from each trial's origin]\n"
    "#[Histogram log format version 1.3]\n"
    # Without these two a reader takes the first line's start for the origin, and skips what is earlier.
    "#[StartTime: 0.000 (seconds since epoch), each trial's origin]\n"
    "#[BaseTime: 0.000 (seconds since epoch)]\n"
    '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
)


def counts_index(values_us: npt.NDArray[Any]) -> Integers:
    """Each value's bucket. Values are µs; below 0 counts as 0, above an hour as an hour."""
    values = np.clip(np.asarray(values_us).astype(np.int64), 0, HIGHEST_LATENCY_US)
    bits = np.frexp(values.astype(np.float64))[1].astype(np.int64)  # bit length; exact below 2^53
    bucket = np.maximum(bits - (_HALF_MAGNITUDE + 1), 0)
    index: Integers = (bucket << _HALF_MAGNITUDE) + (values >> bucket)
    return index


def lowest_value(index: npt.NDArray[Any]) -> Integers:
    """The lowest value, in µs, that each bucket holds."""
    index = np.asarray(index, dtype=np.int64)
    bucket = np.maximum((index >> _HALF_MAGNITUDE) - 1, 0)
    lowest: Integers = (index - (bucket << _HALF_MAGNITUDE)) << bucket
    return lowest


def highest_value(index: npt.NDArray[Any]) -> Integers:
    """The highest value, in µs, that each bucket holds."""
    index = np.asarray(index, dtype=np.int64)
    bucket = np.maximum((index >> _HALF_MAGNITUDE) - 1, 0)
    highest: Integers = lowest_value(index) + (np.int64(1) << bucket) - 1
    return highest


def _highest_value(index: int) -> int:
    """`highest_value` of one bucket, without numpy, whose calls cost more than the work."""
    bucket = max((index >> _HALF_MAGNITUDE) - 1, 0)
    return ((index - (bucket << _HALF_MAGNITUDE) + 1) << bucket) - 1


def _lowest_value(index: int) -> int:
    """`lowest_value` of one bucket, likewise."""
    bucket = max((index >> _HALF_MAGNITUDE) - 1, 0)
    return (index - (bucket << _HALF_MAGNITUDE)) << bucket


def counts_of(values_us: npt.NDArray[Any]) -> Integers:
    """How many values fall into each bucket, from bucket 0 to the last one occupied; empty for none."""
    return np.bincount(counts_index(values_us))


@dataclass(frozen=True, slots=True)
class Histogram:
    """The occupied buckets, in rising order, and how many values each holds."""

    index: npt.NDArray[np.integer[Any]]
    count: npt.NDArray[np.integer[Any]]

    @classmethod
    def of_counts(cls, counts: npt.NDArray[Any]) -> Self:
        """From one count for each bucket, 0 upwards; trailing ones may be missing."""
        index = np.flatnonzero(counts != 0)  # of truth values: ten times as quick as of whole numbers
        return cls(index, counts[index].astype(np.int64, copy=False))

    @classmethod
    def of_values(cls, values_us: npt.NDArray[Any]) -> Self:
        """From the values themselves, in µs."""
        return cls.of_counts(counts_of(values_us))

    @property
    def total(self) -> int:
        """How many values it holds."""
        return int(self.count.sum())

    @property
    def lowest_us(self) -> int | None:
        """The lowest value, to the bucket's resolution; None when empty."""
        return _lowest_value(int(self.index[0])) if self.index.size else None

    @property
    def highest_us(self) -> int | None:
        """The highest value, to the bucket's resolution; None when empty."""
        return _highest_value(int(self.index[-1])) if self.index.size else None


def merge(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram with all values of `histograms`; empty for none."""
    parts = list(histograms)
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Histogram.of_counts(np.zeros(0, dtype=np.int64))
    buckets = max((int(part.index[-1]) + 1 for part in parts if part.index.size), default=0)
    counts = np.zeros(buckets, dtype=np.int64)
    for part in parts:  # one by one: to join an hour's bins first would hold them all twice
        counts[part.index] += part.count
    return _small(Histogram.of_counts(counts))


def percentile(histogram: Histogram, quantile: float) -> int | None:
    """The highest value, in µs, of the bucket in which `quantile` (0 to 1) is reached; None when empty.

    The count to reach is rounded as HdrHistogram does (getValueAtPercentile), so both say the same.
    """
    return percentile_over((histogram,), quantile)


def percentile_over(parts: Sequence[Histogram], quantile: float, *, fewest: int = 1) -> int | None:
    """The percentile of all values of `parts`, without merging them, which takes three times as long.

    None where they hold fewer than `fewest` values.
    """
    if len(parts) == 1:
        index, counts = parts[0].index, parts[0].count
    elif not parts:
        return None
    else:
        index = np.concatenate([part.index for part in parts])
        counts = np.concatenate([part.count for part in parts])
        order = index.argsort(kind="stable")
        index, counts = index[order], counts[order]
    reached = counts.cumsum()
    total = int(reached[-1]) if reached.size else 0
    if total < fewest:
        return None
    target = max(int(100 * quantile * total / 100 + 0.5), 1)
    return _highest_value(int(index[reached.searchsorted(target)]))


def encode_line(tag: HistogramTag, start_s: float, length_s: float, values_us: npt.NDArray[Any]) -> str:
    """The log's line for one bin's values in µs, with its line end; the empty string for no values."""
    return encode_counts_line(tag, start_s, length_s, counts_of(values_us))


def encode_counts_line(tag: HistogramTag, start_s: float, length_s: float, counts: npt.NDArray[Any]) -> str:
    """As `encode_line`, from one count for each bucket (0 upwards; trailing zeros may be missing)."""
    return encode_histogram_line(tag, start_s, length_s, Histogram.of_counts(counts))


def encode_histogram_line(tag: HistogramTag, start_s: float, length_s: float, histogram: Histogram) -> str:
    """As `encode_line`, from a histogram."""
    occupied = histogram.index
    if not occupied.size:
        return ""
    compressed = zlib.compress(_encoded(histogram), zlib.Z_BEST_SPEED)  # 3 % longer, twice as quick
    wrapped = base64.b64encode(struct.pack(">II", get_compression_cookie(), len(compressed)) + compressed)
    highest_ms = _highest_value(int(occupied[-1])) / 1000
    return f"Tag={tag},{max(start_s, 0):.3f},{length_s:.3f},{highest_ms:.3f},{wrapped.decode('ascii')}\n"


def _encoded(histogram: Histogram) -> bytes:
    """The V2 form of a histogram that is not empty: the header (hdrh.codec.PayloadHeader), then the counts.

    By the package's own encoder, without the class that it has around it, whose buffers make joining an
    hour's bins a sixth dearer.
    """
    buckets = int(histogram.index[-1]) + 1
    counts = np.zeros(buckets, dtype=np.uint64)
    counts[histogram.index] = histogram.count
    most_bytes = buckets * (_WORD_BYTES + 1)
    varints = np.empty(most_bytes, dtype=np.uint8)
    length = encode(counts.ctypes.data, buckets, _WORD_BYTES, varints.ctypes.data, most_bytes)
    header = struct.pack(
        ">IIIIQQd",
        get_encoding_cookie(),
        length,
        0,  # where the buckets begin
        SIGNIFICANT_DIGITS,
        LOWEST_LATENCY_US,
        HIGHEST_LATENCY_US,
        1.0,  # from whole numbers to real ones
    )
    return header + varints[:length].tobytes()


class LogLine(NamedTuple):
    """One bin of one tag: times are seconds from the trial's origin."""

    tag: HistogramTag
    start_s: float
    length_s: float
    histogram: Histogram


def read_log(path: Path) -> Iterator[LogLine]:
    """The lines of an hlog file, in its order; raises RunFolderError naming the first that is not one."""
    try:
        with path.open("rb") as lines:
            yield from decode_log(lines, str(path))
    except OSError as error:
        raise RunFolderError(f"{path}: {error.strerror}") from error


def decode_log(lines: Iterable[bytes], where: str) -> Iterator[LogLine]:
    """The histograms of an hlog's lines, each with its line end; as `read_log`, `where` names the log."""
    for number, line in enumerate(lines, start=1):
        if line.startswith((b"#", b'"StartTimestamp"')):
            continue
        yield _decode_line(line, f"{where}: line {number}")


def _decode_line(line: bytes, where: str) -> LogLine:
    if not line.endswith(b"\n"):
        raise RunFolderError(f"{where}: cut off: expected a whole line of a HdrHistogram log")
    try:
        tag, start, length, _, payload = line.decode("ascii").rstrip("\r\n").split(",")
        if not tag.startswith("Tag="):
            raise ValueError("no Tag=")
        parsed = HistogramTag.parse(tag[4:])
        decoded = HdrHistogramEncoder.decode(payload)
        header = decoded.payload
        shape = (header.lowest_trackable_value, header.highest_trackable_value, header.significant_figures)
        if shape != (LOWEST_LATENCY_US, HIGHEST_LATENCY_US, SIGNIFICANT_DIGITS):
            raise ValueError(f"a histogram from {shape[0]} to {shape[1]} at {shape[2]} digits")
        last = int(decoded.init_counts(BUCKETS)["max_nonzero_index"])
        counts = np.frombuffer(decoded.get_counts(), dtype=np.uint64, count=last + 1)
        return LogLine(parsed, float(start), float(length), _small(Histogram.of_counts(counts)))
    except _NOT_A_LINE as error:
        raise RunFolderError(
            f"{where}: {error or type(error).__name__}: expected "
            "Tag=<generation/trial/phase/operation/outcome/measure>,<start s>,<length s>,<max>,<base64>"
        ) from error


def _small(histogram: Histogram) -> Histogram:
    """The same in a quarter of the memory: an hour's bins are kept all at once."""
    highest = int(histogram.count.max()) if histogram.count.size else 0
    fitting = next(kind for kind in (np.uint16, np.uint32, np.uint64) if highest <= np.iinfo(kind).max)
    return Histogram(histogram.index.astype(np.uint16), histogram.count.astype(fitting))


_NOT_A_LINE = (
    ValueError,  # UnicodeDecodeError and a wrong number of fields too
    TypeError,
    IndexError,
    MemoryError,
    RuntimeError,
    binascii.Error,
    zlib.error,
    HdrCookieException,
    HdrLengthException,
)

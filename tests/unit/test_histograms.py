"""bench.histograms agrees with HdrHistogram's own package, value by value and file by file."""

import zlib
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import RunFolderError
from bench.histograms import (
    LOG_HEADER,
    Histogram,
    _decode_line,
    counts_index,
    counts_of,
    encode_counts_line,
    encode_line,
    highest_value,
    lowest_value,
    merge,
    percentile,
    read_log,
)
from bench.records import HIGHEST_LATENCY_US, HistogramTag

TAG = HistogramTag("monolith", 1, "steady", "send", "ok", "response")
values_us = st.integers(min_value=0, max_value=HIGHEST_LATENCY_US)


def theirs(values: list[int]) -> HdrHistogram:
    histogram = HdrHistogram(1, HIGHEST_LATENCY_US, 3)
    for value in values:
        assert histogram.record_value(value)
    return histogram


def uncompressed(payload: str) -> bytes:
    """What is in a payload, whatever the level of its compression: 8 bytes of header, then zlib."""
    return zlib.decompress(b64decode(payload)[8:])


@given(values_us)
def test_the_bucket_of_every_value_is_the_one_hdrhistogram_chooses(value: int) -> None:
    reference = HdrHistogram(1, HIGHEST_LATENCY_US, 3)
    index = counts_index(np.array([value]))
    assert index[0] == reference._counts_index_for(value)
    assert lowest_value(index)[0] == reference.get_lowest_equivalent_value(value)
    assert highest_value(index)[0] == reference.get_highest_equivalent_value(value)


def test_bucket_edges_agree_with_hdrhistogram() -> None:
    edges = sorted({max(0, (1 << bit) + step) for bit in range(32) for step in (-2, -1, 0, 1, 2)})
    reference = HdrHistogram(1, HIGHEST_LATENCY_US, 3)
    assert counts_index(np.array(edges)).tolist() == [
        reference._counts_index_for(min(edge, HIGHEST_LATENCY_US)) for edge in edges
    ]


def test_values_outside_the_range_are_counted_at_its_ends() -> None:
    assert counts_index(np.array([-5, HIGHEST_LATENCY_US * 9])).tolist() == [
        counts_index(np.array([0]))[0],
        counts_index(np.array([HIGHEST_LATENCY_US]))[0],
    ]


@given(st.lists(values_us, min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999, 1.0]))
def test_percentiles_are_those_of_hdrhistogram(values: list[int], quantile: float) -> None:
    ours = percentile(Histogram.of_values(np.array(values)), quantile)
    assert ours == theirs(values).get_value_at_percentile(quantile * 100)


@given(st.lists(st.lists(values_us, max_size=40), max_size=6))
def test_merging_parts_gives_the_histogram_of_the_whole(parts: list[list[int]]) -> None:
    whole = Histogram.of_values(np.array([value for part in parts for value in part], dtype=np.int64))
    merged = merge(Histogram.of_values(np.array(part, dtype=np.int64)) for part in parts)
    assert merged.index.tolist() == whole.index.tolist()
    assert merged.count.tolist() == whole.count.tolist()
    assert merged.total == sum(len(part) for part in parts)


def test_an_empty_histogram_has_no_percentile_and_no_line() -> None:
    empty = merge([])
    assert (empty.total, empty.lowest_us, empty.highest_us, percentile(empty, 0.5)) == (0, None, None, None)
    assert encode_line(TAG, 0, 1, np.array([], dtype=np.int64)) == ""


def test_a_line_is_read_back_by_us_and_by_hdrhistograms_own_reader(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    bins = [
        (start, rng.integers(200, 90_000, 300)) for start in (3.0, 4.0, 0.0)
    ]  # a second trial starts anew
    log = tmp_path / "histograms.hlog"
    log.write_text(LOG_HEADER + "".join(encode_line(TAG, start, 1.0, values) for start, values in bins))

    reader = HistogramLogReader(str(log), HdrHistogram(1, HIGHEST_LATENCY_US, 3))
    lines = list(read_log(log))
    assert len(lines) == 3
    for (start, values), line in zip(bins, lines, strict=True):
        read = reader.get_next_interval_histogram()
        assert read.get_tag() == str(TAG) == str(line.tag)
        assert read.get_start_time_stamp() == start * 1000
        assert (line.start_s, line.length_s, line.histogram.total) == (start, 1.0, 300)
        reference = theirs(values.tolist())
        for quantile in (0.5, 0.99):
            expected = reference.get_value_at_percentile(quantile * 100)
            assert read.get_value_at_percentile(quantile * 100) == expected
            assert percentile(line.histogram, quantile) == expected
    assert reader.get_next_interval_histogram() is None
    reader.close()


@given(st.lists(values_us, min_size=1, max_size=60))
def test_a_line_holds_what_hdrhistogram_itself_would_write(values: list[int]) -> None:
    line = encode_line(TAG, 1, 1, np.array(values))
    payload = line.rstrip("\n").rsplit(",", 1)[1]
    assert uncompressed(payload) == uncompressed(theirs(values).encode().decode())
    read = HdrHistogram.decode(payload)
    assert read.get_total_count() == len(values)
    assert _decode_line(line.encode(), "x").histogram.total == len(values)


def test_counts_may_be_longer_than_what_is_occupied() -> None:
    counts = counts_of(np.array([5, 70_000]))
    padded = np.concatenate([counts, np.zeros(500, dtype=np.int64)])
    assert encode_counts_line(TAG, 1, 1, padded) == encode_counts_line(TAG, 1, 1, counts)


def test_a_bin_from_before_the_origin_is_written_at_zero() -> None:
    assert encode_line(TAG, -2.5, 1, np.array([5])).startswith(f"Tag={TAG},0.000,1.000,")


GOOD = encode_line(TAG, 1, 1, np.array([5, 6, 7]))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (GOOD.rstrip("\n"), "line 6: cut off"),
        (GOOD[:60] + "\n", "line 6"),
        (GOOD.replace("Tag=", ""), "no Tag="),
        (GOOD.replace("response", "regret"), "not a histogram tag"),
        (GOOD.replace("1.000", "soon"), "could not convert"),
        ("\x00\x01\n", "line 6"),
        ("\n", "line 6"),
    ],
)
def test_a_line_that_is_not_one_is_refused_with_its_number(tmp_path: Path, line: str, says: str) -> None:
    log = tmp_path / "histograms.hlog"
    log.write_text(LOG_HEADER + line)
    with pytest.raises(RunFolderError, match=says):
        list(read_log(log))


@given(st.integers(0, len(GOOD) - 2), st.integers(0, 255))
def test_a_damaged_line_is_refused_or_read_and_nothing_else(position: int, byte: int) -> None:
    damaged = bytearray(GOOD.encode())
    damaged[position] = byte
    try:
        _decode_line(bytes(damaged), "x")
    except RunFolderError as error:
        assert str(error).startswith("x: ")  # noqa: PT017 - that it may also be read is the point

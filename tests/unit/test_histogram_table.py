"""A log read by pieces says what it says line by line; the table's groups are histograms' own figures."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import RunFolderError
from bench.histogram_reading import read_table
from bench.histogram_table import HistogramTable
from bench.histograms import LOG_HEADER, Histogram, LogLine, encode_line, merge, percentile, read_log
from bench.records import HistogramTag

TAGS = [
    HistogramTag("monolith", trial, "steady", "send", "ok", measure)
    for trial in (1, 2)
    for measure in ("response", "lag")
]


def log_of(many: int, path: Path) -> Path:
    source = np.random.default_rng(7)
    lines = [
        encode_line(TAGS[at % len(TAGS)], at / 10, 0.1, source.lognormal(9, 3, 1 + at % 60))
        for at in range(many)
    ]
    path.write_text(LOG_HEADER + "".join(lines))
    return path


def everything(tag: HistogramTag) -> bool:
    return True


def same(one: LogLine, other: LogLine) -> bool:
    return (
        one[:3] == other[:3]
        and one.histogram.index.tolist() == other.histogram.index.tolist()
        and one.histogram.count.tolist() == other.histogram.count.tolist()
    )


def test_the_pieces_hold_what_the_lines_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.histogram_reading.PIECE_BYTES", 4_000)
    path = log_of(300, tmp_path / "log.hlog")
    table = read_table(path, everything)
    lines = list(read_log(path))
    assert len(table) == len(lines) == 300
    assert all(map(same, table, lines))


def test_only_the_wanted_tags_are_kept(tmp_path: Path) -> None:
    table = read_table(log_of(20, tmp_path / "log.hlog"), lambda tag: tag.trial == 2)
    assert {line.tag.trial for line in table} == {2}
    assert len(table) == 10


@pytest.mark.parametrize("damage", [b"Tag=a/b\n", b"nothing\n", b"Tag=m/1/s/send/ok/lag,0,1,1,!!!!\n"])
def test_a_bad_line_in_a_later_piece_is_named_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    monkeypatch.setattr("bench.histogram_reading.PIECE_BYTES", 1_000)
    path = log_of(40, tmp_path / "log.hlog")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:30], damage, *lines[30:]]))
    with pytest.raises(RunFolderError, match=r"log\.hlog: line 31: "):
        read_table(path, everything)


def test_a_log_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = log_of(10, tmp_path / "log.hlog")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunFolderError, match="cut off"):
        read_table(path, everything)


@given(st.lists(st.lists(st.integers(1, 10**9), max_size=30), max_size=12), st.integers(1, 4))
def test_merged_and_grouped_figures_are_those_of_the_histograms(values: list[list[int]], groups: int) -> None:
    lines = [
        LogLine(TAGS[at % len(TAGS)], at / 10, 0.1, Histogram.of_values(np.array(one, dtype=np.int64)))
        for at, one in enumerate(values)
    ]
    table = HistogramTable.of(lines)
    for tag, merged in table.merged_by_tag().items():
        whole = merge(line.histogram for line in lines if line.tag == tag)
        assert merged.index.tolist() == whole.index.tolist()
        assert merged.count.tolist() == whole.count.tolist()
    of_line = np.array([at % groups for at in range(len(lines))], dtype=np.int64)
    totals, found = table.percentiles_us(of_line, groups, (0.5, 0.99))
    for group in range(groups):
        whole = merge(line.histogram for at, line in enumerate(lines) if at % groups == group)
        assert totals[group] == whole.total
        for column, quantile in enumerate((0.5, 0.99)):
            expected = percentile(whole, quantile)
            assert (None if np.isnan(found[group, column]) else found[group, column]) == expected

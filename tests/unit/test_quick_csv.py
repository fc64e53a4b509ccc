"""The quick reader gives what the careful one gives, and leaves to it what it might misread."""

import numpy as np
import pandas as pd
import pytest

from bench import quick_csv
from bench.records import TelemetryRow, TimelineRow
from bench.tables import SIGNED_COLUMNS, _frame, _records, columns, to_csv

SOURCE = np.random.default_rng(1)


def timeline() -> bytes:
    rows = [
        TimelineRow(
            "monolith", 1, "steady", -1 + at / 10, 0.1, "send", *SOURCE.integers(0, 50, 10).tolist(),
            *(None if SOURCE.random() < 0.3 else float(SOURCE.lognormal(2, 3)) for _ in range(5)),
        )
        for at in range(2_000)
    ]  # fmt: skip
    return to_csv(TimelineRow, rows).encode()


def telemetry() -> bytes:
    rows = [
        TelemetryRow(
            "sharded", 2, at / 3, "shard-0-primary", "cpu_seconds", float(SOURCE.normal(0, 1e4)), "s"
        )
        for at in range(2_000)
    ]
    return to_csv(TelemetryRow, rows).encode()


FILES = {TimelineRow: timeline(), TelemetryRow: telemetry()}


def quickly(row_class: type, data: bytes) -> pd.DataFrame | None:
    return quick_csv.read(columns(row_class), data, SIGNED_COLUMNS)


@pytest.mark.parametrize("row_class", FILES)
def test_both_readers_give_the_same_frame_to_the_last_bit(row_class: type) -> None:
    data = FILES[row_class]
    quick = quickly(row_class, data)
    assert quick is not None
    pd.testing.assert_frame_equal(
        quick, _frame(columns(row_class), _records(data, "file"), "file"), check_exact=True
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"monolith,1,", b"monolith,-1,"),
        (b"monolith,1,", b"monolith,1.5,"),
        (b"monolith,1,", b"monolith,,"),
        (b"monolith,1,", b'"mono,lith",1,'),
        (b"monolith,1,", b"monolith,1,1,"),
        (b",0.1,send", b",inf,send"),
        (b",0.1,send", b",nan,send"),
        (b",0.1,send", b",x,send"),
        (b",send,", b","),
        (b"\n", b"\r\n"),
        (b"offered", b"asked"),
        (b"monolith", b"mono\0lith"),
        (b"monolith", b"mono\xfflith"),
    ],
)
def test_what_it_might_misread_is_left_to_the_careful_one(old: bytes, new: bytes) -> None:
    for data in (FILES[TimelineRow].replace(old, new), FILES[TimelineRow].replace(old, new, 1)):
        assert quickly(TimelineRow, data) is None


def test_a_file_that_is_cut_off_is_left_to_the_careful_one() -> None:
    whole = FILES[TimelineRow]
    assert quickly(TimelineRow, whole[:-1]) is None
    assert quickly(TimelineRow, whole[: whole.rindex(b",")] + b"\n") is None

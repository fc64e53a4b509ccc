"""The generator's ceiling: found where the truth says it is, kept, and not trusted for another machine."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from bench.calibration import MOST_RATE_PER_S, NARROW, Calibration, Rung, load, save, seek, source_digest
from bench.errors import RunFolderError
from bench.report.calibration import rung_line, show_calibrations

VERSIONS = {"python": "3.11", "generator": "abc"}


def rung(rate_per_s: float, *, lag_p99_ms: float = 1.0, cpu: float = 0.5, foreign: float = 0.0) -> Rung:
    return Rung.judged(rate_per_s, 1.0, lag_p99_ms, cpu, 0.4, foreign)


def calibration() -> Calibration:
    failed = rung(7_500, cpu=0.83)
    return Calibration(
        "xmpp", "f00d", VERSIONS, "2026-03-01T12:30:05+00:00", 7_000.0, 7_500.0, rung(7_000), failed
    )


def scripted(fate: Callable[[float, int], Rung]) -> tuple[list[float], Callable[[float], object]]:
    tried: list[float] = []

    async def measure(rate_per_s: float) -> Rung:
        tried.append(rate_per_s)
        return fate(rate_per_s, tried.count(rate_per_s))

    return tried, measure


@pytest.mark.parametrize("truth_per_s", [9.0, 499.0, 500.0, 6_000.0, 77_000.0])
async def test_a_generator_of_known_ceiling_is_bracketed_closely(truth_per_s: float) -> None:
    tried, measure = scripted(lambda rate, _: rung(rate, cpu=0.5 if rate <= truth_per_s else 0.9))
    held, failed = await seek(measure)  # type: ignore[arg-type]
    assert held is not None
    assert failed is not None
    assert held.rate_per_s <= truth_per_s < failed.rate_per_s <= held.rate_per_s * NARROW * 1.01
    assert len(tried) < 40


async def test_one_hiccup_is_no_ceiling_and_with_foreign_load_nor_are_two() -> None:
    def hiccup(rate: float, time: int) -> Rung:
        foreign = 0.5 if rate == 2_000 else 0.0
        bad = (rate == 1_000 and time == 1) or (rate == 2_000 and time <= 2) or rate > 3_000
        return rung(rate, cpu=0.9 if bad else 0.4, foreign=foreign)

    tried, measure = scripted(hiccup)
    held, failed = await seek(measure)  # type: ignore[arg-type]
    assert held is not None
    assert failed is not None
    assert held.rate_per_s <= 3_000 < failed.rate_per_s
    assert [tried.count(rate) for rate in (500, 1_000, 2_000, 4_000)] == [1, 2, 3, 2]


async def test_what_never_holds_and_what_never_fails_are_said_as_such() -> None:
    _, never = scripted(lambda rate, _: rung(rate, cpu=0.9))
    held, failed = await seek(never)  # type: ignore[arg-type]
    assert held is None
    assert failed is not None
    _, always = scripted(lambda rate, _: rung(rate))
    held, failed = await seek(always)  # type: ignore[arg-type]
    assert held is not None
    assert MOST_RATE_PER_S / 2 < held.rate_per_s <= MOST_RATE_PER_S
    assert failed is None


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Rung.judged(1, 1.0, 7.5, 0.8, None), ""),
        (Rung.judged(1, 1.0, 7.6, 0.8, None), "lag p99 7.6 ms"),
        (Rung.judged(1, 1.0, 9.9, 0.81, None), "generator CPU 81 %"),
        (Rung.judged(1, 0.98, None, None, None), "98.0 % acknowledged in time"),
        (Rung.judged(1, 1.0, 99.0, 0.5, None, 0.3), ""),  # on a busy machine the lag is others'
        (Rung.judged(1, 1.0, 99.0, 0.9, None, 0.3), "generator CPU 90 %"),
    ],
)
def test_the_first_limit_broken_is_the_reason(found: Rung, why: str) -> None:
    assert found.why == why


def test_what_is_kept_comes_back_for_this_machine_and_these_versions_alone(tmp_path: Path) -> None:
    one = calibration()
    assert load(tmp_path, "xmpp", "f00d", VERSIONS) is None
    save(tmp_path, one)
    assert load(tmp_path, "xmpp", "f00d", VERSIONS) == one
    assert load(tmp_path, "http", "f00d", VERSIONS) is None
    assert load(tmp_path, "xmpp", "beef", VERSIONS) is None
    assert load(tmp_path, "xmpp", "f00d", {**VERSIONS, "generator": "def"}) is None


def test_a_file_that_is_none_of_ours_is_refused_in_one_line(tmp_path: Path) -> None:
    path = save(tmp_path, calibration())
    for text in ("", "[]", "{}", path.read_text().replace('"held"', '"hold"')):
        path.write_text(text)
        with pytest.raises(RunFolderError, match="--again") as caught:
            load(tmp_path, "xmpp", "f00d", VERSIONS)
        assert "\n" not in str(caught.value)


def test_the_source_of_the_generator_is_part_of_what_a_ceiling_holds_for(tmp_path: Path) -> None:
    source = tmp_path / "bench" / "load" / "x.py"
    source.parent.mkdir(parents=True)
    source.write_text("a = 1\n")
    before = source_digest(tmp_path)
    source.write_text("a = 2\n")
    assert source_digest(tmp_path) != before


def test_the_table_and_the_lines_fit_into_80_columns() -> None:
    doubtful = replace(
        calibration(),
        client="websocket",
        ceiling_per_s=123_456.0,
        failed=rung(141_000, lag_p99_ms=95.6, foreign=0.4),
    )
    nothing = replace(calibration(), client="http", ceiling_per_s=0.0, held=None)
    console = Console(width=80, record=True)
    console.print(show_calibrations([calibration(), doubtful, nothing]))
    text = console.export_text()
    assert max(cell_len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "74,074" in text
    assert "bench calibrate --again" in text
    for one in (rung(math.pi * 1e5, lag_p99_ms=1e3, cpu=0.99), rung(500)):
        assert cell_len(rung_line("websocket", one)) <= 80

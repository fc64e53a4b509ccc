"""Bins of several load processes come out as if one process had recorded everything."""

import csv
import io

import numpy as np

from bench.load.gathering import Gathering
from bench.load.recorder import SEND, Recorder
from bench.load.settled import SettledBin
from tests.unit.load.stages import stage

S = 1_000_000_000
STAGES = [stage("steady", "steady", 0, 5)]


def gathering(producers: int) -> tuple[Gathering, io.StringIO, io.StringIO, io.StringIO]:
    timeline, touched, hlog = io.StringIO(), io.StringIO(), io.StringIO()
    made = Gathering(
        *("x", 1, STAGES),
        bin_width_s=1.0,
        timeline=timeline,
        touched=touched,
        hlog=hlog,
        producers=producers,
    )
    return made, timeline, touched, hlog


def recorded(every: int, of: int) -> list[SettledBin]:
    """One process's bins of 3,000 sends in three seconds, of which it made every `of`-th, from the `every`-th."""
    bins: list[SettledBin] = []
    recorder = Recorder(lambda more, until: bins.extend(more), bin_width_s=1, timeout_s=1, slo_ms=300)
    recorder.begin(0)
    for n in range(every, 3_000, of):
        intended_ns = n * S // 1_000
        recorder.lay_out((SEND,), (n % 7,), np.array([intended_ns]))
        recorder.answered(recorder.sent(intended_ns), intended_ns + (n % 40 + 1) * 1_000_000, ok=n % 10 != 0)
    recorder.close(5 * S)
    return bins


def test_two_processes_make_the_same_files_as_one() -> None:
    alone, timeline, touched, hlog = gathering(1)
    alone.take(0, recorded(0, 1), 9)
    alone.close()
    both, timeline_of_two, touched_of_two, hlog_of_two = gathering(2)
    for producer in range(2):
        both.take(producer, recorded(producer, 2), 9)
    both.close()
    assert timeline_of_two.getvalue() == timeline.getvalue()
    assert touched_of_two.getvalue() == touched.getvalue()
    assert touched.getvalue().splitlines()[1:] == [f"x,1,{n}.0,1.0,send,7,0-6" for n in range(3)]
    assert hlog_of_two.getvalue() == hlog.getvalue()
    assert len(timeline.getvalue().splitlines()) == 5  # header, three seconds, and the last answers' bin


def test_a_bin_waits_for_every_process_and_not_for_one_that_is_lost() -> None:
    both, timeline, _, _ = gathering(2)
    both.take(0, recorded(0, 2), 2)
    assert len(timeline.getvalue().splitlines()) == 1
    both.take(1, recorded(1, 2), 1)
    assert [row["bin_start_s"] for row in csv.DictReader(io.StringIO(timeline.getvalue()))] == ["0.0"]
    both.lose(1)
    assert [row["bin_start_s"] for row in csv.DictReader(io.StringIO(timeline.getvalue()))] == ["0.0", "1.0"]

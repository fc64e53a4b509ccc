import io
from pathlib import Path

import pytest

from bench.histograms import merge, percentile, read_log
from bench.load.driver import _read_timeline
from bench.load.recorder import LOGIN, SEND, Recorder
from bench.plan import PlannedStage
from bench.records import TimelineRow

S = 1_000_000_000
MS = 1_000_000
STAGES = [PlannedStage("warm", "warmup", 0, 1, 9, 9), PlannedStage("steady", "steady", 1, 3, 9, 9)]


class Tape:
    def __init__(self, folder: Path) -> None:
        self.timeline, self.hlog, self.folder = io.StringIO(), io.StringIO(), folder
        self.recorder = Recorder(
            "monolith",
            1,
            STAGES,
            bin_width_s=1.0,
            timeout_s=2.0,
            slo_ms=300,
            timeline=self.timeline,
            hlog=self.hlog,
        )
        self.recorder.begin(0)

    def rows(self, operation: str = SEND) -> dict[float, TimelineRow]:
        path = self.folder / "timeline.csv"
        path.write_text(self.timeline.getvalue())
        return {row.bin_start_s: row for row in _read_timeline(path) if row.operation == operation}

    def percentiles_us(self, measure: str, outcome: str = "ok") -> list[int]:
        path = self.folder / "h.hlog"
        path.write_text(self.hlog.getvalue())
        lines = [ln for ln in read_log(path) if (ln.tag.measure, ln.tag.outcome) == (measure, outcome)]
        whole = merge(line.histogram for line in lines)
        return [percentile(whole, q) or 0 for q in (0.5, 1.0)]


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path)


def test_a_stall_shows_in_response_time_and_not_in_service_time(tape: Tape) -> None:
    for n in range(100):  # intended every 10 ms, but all sent together at 1.0 s, each answered 1 ms later
        tape.recorder.sent(n, n * 10 * MS, S)
        tape.recorder.answered(n, S + MS, ok=True)
    tape.recorder.close(5 * S)
    assert tape.percentiles_us("service") == pytest.approx([1000, 1000], rel=0.001)
    assert tape.percentiles_us("response") == pytest.approx([501_000, 1_001_000], rel=0.002)
    assert tape.percentiles_us("lag") == pytest.approx([500_000, 1_000_000], rel=0.002)


def test_an_operation_counts_where_it_was_meant_to_start_and_an_answer_where_it_came(tape: Tape) -> None:
    tape.recorder.sent(0, int(0.9 * S), int(0.9 * S))
    tape.recorder.answered(0, int(1.1 * S), ok=True)
    tape.recorder.delivered(int(0.9 * S), int(2.2 * S))
    tape.recorder.close(5 * S)
    rows = tape.rows()
    assert [rows[t].offered for t in (0.0, 1.0, 2.0)] == [1, 0, 0]
    assert [rows[t].ok for t in (0.0, 1.0, 2.0)] == [1, 0, 0]
    assert [rows[t].acknowledged_in_bin for t in (0.0, 1.0, 2.0)] == [0, 1, 0]
    assert [rows[t].delivered_in_bin for t in (0.0, 1.0, 2.0)] == [0, 0, 1]
    assert [rows[t].backlog for t in (0.0, 1.0, 2.0)] == [1, 0, 0]
    assert [rows[t].phase for t in (0.0, 1.0, 2.0)] == ["warm", "steady", "steady"]


def test_on_time_means_acknowledged_within_the_slo_counted_from_the_intended_start(tape: Tape) -> None:
    for n, (sent_ms, done_ms) in enumerate([(0, 299), (200, 301), (0, 300)]):
        tape.recorder.sent(n, 0, sent_ms * MS)
        tape.recorder.answered(n, done_ms * MS, ok=True)
    tape.recorder.close(5 * S)
    assert (tape.rows()[0.0].ok, tape.rows()[0.0].on_time) == (3, 2)


def test_outcomes_are_kept_apart_and_always_add_up(tape: Tape) -> None:
    for n in range(4):
        tape.recorder.sent(n, 0, 0)
    tape.recorder.answered(0, MS, ok=True)
    tape.recorder.answered(1, 500 * MS, ok=False)
    tape.recorder.shed(0)
    tape.recorder.settle(3 * S + 1)  # 2 and 3 time out
    assert not tape.recorder.in_flight
    assert tape.recorder.unanswered == 2
    assert tape.recorder.answered(2, 4 * S, ok=True)  # too late: stays unknown, but no longer waited for
    assert not tape.recorder.answered(2, 4 * S, ok=True)  # a resend's second answer counts for nothing
    tape.recorder.close(6 * S)
    row = tape.rows()[0.0]
    assert (row.offered, row.sent, row.shed, row.ok, row.failed, row.unknown) == (5, 4, 1, 1, 1, 2)
    assert row.offered == row.shed + row.ok + row.failed + row.unknown
    assert tape.rows()[4.0].acknowledged_in_bin == 1
    assert tape.rows()[4.0].backlog == 1
    assert tape.percentiles_us("response", "failed") == pytest.approx([500_000] * 2, rel=0.001)
    assert tape.percentiles_us("response", "ok") == pytest.approx([1000] * 2, rel=0.001)


def test_bins_are_written_once_nothing_in_them_can_change(tape: Tape) -> None:
    tape.recorder.sent(0, 0, 0)
    tape.recorder.answered(0, MS, ok=True)
    tape.recorder.settle(2 * S)
    assert tape.rows() == {}
    tape.recorder.settle(3 * S + 1)
    assert list(tape.rows()) == [0.0]


def test_a_percentile_needs_ten_samples_beyond_it(tape: Tape) -> None:
    for n in range(199):
        tape.recorder.sent(n, 0, 0)
        tape.recorder.answered(n, (n + 1) * MS, ok=True)
    tape.recorder.close(5 * S)
    row = tape.rows()[0.0]
    assert row.response_p50_ms == 100.0
    assert row.response_p95_ms is None
    assert row.response_p99_ms is None
    assert row.lag_p99_ms is None


def test_logins_before_the_origin_stand_at_negative_times(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.recorder._origin_ns = None
    tape.recorder.login(8 * S, 8 * S + 50 * MS, ok=True)
    tape.recorder.login(8 * S, 8 * S + 60 * MS, ok=False)
    tape.recorder.begin(10 * S)
    tape.recorder.close(12 * S)
    row = tape.rows(LOGIN)[-2.0]
    assert (row.phase, row.offered, row.ok, row.failed, row.on_time) == ("login", 2, 1, 1, 1)


def test_a_negative_delta_is_counted_and_not_dropped(tape: Tape) -> None:
    tape.recorder.sent(0, 2 * MS, 1 * MS)
    tape.recorder.answered(0, 3 * MS, ok=True)
    tape.recorder.close(5 * S)
    assert tape.recorder.negative == 1
    assert tape.percentiles_us("lag")[0] == 1


def test_each_second_is_given_out_once(tape: Tape) -> None:
    tape.recorder.sent(0, 0, 0)
    tape.recorder.answered(0, 7 * MS, ok=True)
    second = tape.recorder.take_second(SEND)
    assert (second.answered, second.failed, list(second.response_us)) == (1, 0, [7000])
    assert tape.recorder.take_second(SEND).answered == 0

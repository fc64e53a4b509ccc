import io
import random
from pathlib import Path

import numpy as np
import pytest

from bench.histograms import merge, percentile, read_log
from bench.load.driver import _whole_rows
from bench.load.gathering import Gathering
from bench.load.recorder import LOGIN, SEND, SYNC, Recorder
from bench.load.settled import SettledBin
from bench.records import OPERATIONS, TimelineRow
from tests.unit.load.stages import stage

S = 1_000_000_000
MS = 1_000_000
STAGES = [stage("warm", "warmup", 0, 1), stage("steady", "steady", 1, 3)]


class Tape:
    """A recorder whose bins are gathered; what is read back is read from the files' text."""

    def __init__(self, folder: Path, *, origin_ns: int | None = 0) -> None:
        self.timeline, self.touched, self.hlog = io.StringIO(), io.StringIO(), io.StringIO()
        self.folder = folder
        self.gathering = Gathering(
            *("monolith", 1, STAGES),
            bin_width_s=1.0,
            timeline=self.timeline,
            touched=self.touched,
            hlog=self.hlog,
        )
        self.recorder = Recorder(
            lambda bins, until: self.gathering.take(0, bins, until),
            bin_width_s=1.0,
            timeout_s=2.0,
            slo_ms=300,
        )
        if origin_ns is not None:
            self.recorder.begin(origin_ns)

    def send(self, intended_ns: int, sent_ns: int, operation: int = SEND, *, person: int = 0) -> int:
        """One row laid out and sent at once."""
        self.recorder.lay_out((operation,), (person,), np.array([intended_ns]))
        return self.recorder.sent(sent_ns)

    def settle(self, now_ns: int) -> None:
        for _ in self.recorder.settle(now_ns):
            pass

    def close(self, now_ns: int) -> None:
        self.recorder.close(now_ns)
        self.gathering.close()

    def rows(self, operation: int = SEND) -> dict[float, TimelineRow]:
        path = self.folder / "timeline.csv"
        path.write_text(self.timeline.getvalue())
        return {
            row.bin_start_s: row
            for row in _whole_rows(TimelineRow, path)
            if row.operation == OPERATIONS[operation]
        }

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
        tape.recorder.answered(tape.send(n * 10 * MS, S), S + MS, ok=True)
    tape.close(5 * S)
    assert tape.percentiles_us("service") == pytest.approx([1000, 1000], rel=0.001)
    assert tape.percentiles_us("response") == pytest.approx([501_000, 1_001_000], rel=0.002)
    assert tape.percentiles_us("lag") == pytest.approx([500_000, 1_000_000], rel=0.002)


def test_an_operation_counts_where_it_was_meant_to_start_and_an_answer_where_it_came(tape: Tape) -> None:
    tape.recorder.answered(tape.send(int(0.9 * S), int(0.9 * S)), int(1.1 * S), ok=True)
    tape.recorder.delivered(SEND, int(0.9 * S), int(2.2 * S))
    tape.close(5 * S)
    rows = tape.rows()
    assert [rows[t].offered for t in (0.0, 1.0, 2.0)] == [1, 0, 0]
    assert [rows[t].ok for t in (0.0, 1.0, 2.0)] == [1, 0, 0]
    assert [rows[t].acknowledged_in_bin for t in (0.0, 1.0, 2.0)] == [0, 1, 0]
    assert [rows[t].delivered_in_bin for t in (0.0, 1.0, 2.0)] == [0, 0, 1]
    assert [rows[t].backlog for t in (0.0, 1.0, 2.0)] == [1, 0, 0]
    assert [rows[t].phase for t in (0.0, 1.0, 2.0)] == ["warm", "steady", "steady"]


def test_on_time_means_acknowledged_within_the_slo_counted_from_the_intended_start(tape: Tape) -> None:
    for sent_ms, done_ms in [(0, 299), (200, 301), (0, 300)]:
        tape.recorder.answered(tape.send(0, sent_ms * MS), done_ms * MS, ok=True)
    tape.close(5 * S)
    assert (tape.rows()[0.0].ok, tape.rows()[0.0].on_time) == (3, 2)


def test_outcomes_are_kept_apart_and_always_add_up(tape: Tape) -> None:
    first = [tape.send(0, 0) for _ in range(4)]
    tape.recorder.answered(first[0], MS, ok=True)
    tape.recorder.answered(first[1], 500 * MS, ok=False)
    tape.recorder.lay_out((SEND,), (0,), np.array([0]))
    tape.recorder.shed()
    tape.settle(3 * S + 1)  # two time out
    assert not tape.recorder.in_flight
    assert tape.recorder.unanswered == 2
    tape.recorder.answered(first[2], 4 * S, ok=True)  # too late: stays unknown, but no longer waited for
    assert tape.recorder.unanswered == 1
    tape.close(6 * S)
    row = tape.rows()[0.0]
    assert (row.offered, row.sent, row.shed, row.ok, row.failed, row.unknown) == (5, 4, 1, 1, 1, 2)
    assert row.offered == row.shed + row.ok + row.failed + row.unknown
    assert tape.rows()[4.0].acknowledged_in_bin == 1
    assert tape.rows()[4.0].backlog == 1
    assert tape.percentiles_us("response", "failed") == pytest.approx([500_000] * 2, rel=0.001)
    assert tape.percentiles_us("response", "ok") == pytest.approx([1000] * 2, rel=0.001)


def test_bins_are_written_once_nothing_in_them_can_change_and_their_rows_are_let_go(tape: Tape) -> None:
    tape.recorder.answered(tape.send(0, 0), MS, ok=True)
    tape.settle(2 * S)
    assert tape.rows() == {}
    tape.settle(3 * S + 1)
    assert list(tape.rows()) == [0.0]
    assert len(tape.recorder._sent) == 0


def test_a_percentile_needs_ten_samples_beyond_it(tape: Tape) -> None:
    for n in range(199):
        tape.recorder.answered(tape.send(0, 0), (n + 1) * MS, ok=True)
    tape.close(5 * S)
    row = tape.rows()[0.0]
    assert row.response_p50_ms == pytest.approx(100.0, rel=0.001)
    assert row.response_p95_ms is None
    assert row.response_p99_ms is None
    assert row.lag_p99_ms is None


def test_logins_before_the_origin_stand_at_negative_times(tmp_path: Path) -> None:
    tape = Tape(tmp_path, origin_ns=None)
    tape.recorder.login(8 * S, 8 * S + 50 * MS, ok=True)
    tape.recorder.login(8 * S, 8 * S + 60 * MS, ok=False)
    tape.recorder.begin(10 * S)
    tape.close(12 * S)
    row = tape.rows(LOGIN)[-2.0]
    assert (row.phase, row.offered, row.ok, row.failed, row.on_time) == ("login", 2, 1, 1, 1)


def test_whoever_did_not_get_what_they_asked_for_in_time_is_touched_in_the_bin_of_the_asking(
    tape: Tape,
) -> None:
    on_time, late, refused, _silent = (tape.send(int(0.9 * S), S, person=person) for person in (9, 1, 2, 3))
    tape.recorder.answered(on_time, int(1.2 * S), ok=True)
    tape.recorder.answered(late, int(1.21 * S), ok=True)
    tape.recorder.answered(refused, S, ok=False)
    tape.recorder.lay_out((SEND,), (4,), np.array([int(0.95 * S)]))
    tape.recorder.shed()
    tape.recorder.disconnected(7, int(2.5 * S))
    tape.close(6 * S)
    rows = tape.touched.getvalue().splitlines()[1:]
    assert rows == ["monolith,1,0.0,1.0,send,4,1-4", "monolith,1,2.0,1.0,login,1,7"]


def test_a_connection_lost_before_the_origin_touches_nobody(tmp_path: Path) -> None:
    tape = Tape(tmp_path, origin_ns=None)
    tape.recorder.disconnected(7, S)
    tape.recorder.begin(2 * S)
    tape.recorder.disconnected(7, S)
    tape.close(5 * S)
    assert tape.touched.getvalue().count("\n") == 1


def test_a_negative_delta_is_counted_and_not_dropped(tape: Tape) -> None:
    tape.recorder.answered(tape.send(2 * MS, 1 * MS), 3 * MS, ok=True)
    tape.close(5 * S)
    assert tape.recorder.negative == 1
    assert tape.percentiles_us("lag")[0] == 1


def test_each_second_is_given_out_once(tape: Tape) -> None:
    tape.recorder.answered(tape.send(0, 0), 7 * MS, ok=True)
    tape.settle(S)
    second = tape.recorder.take_second(SEND)
    assert (second.answered, second.failed, list(second.response_us)) == (1, 0, [7000])
    assert tape.recorder.take_second(SEND).answered == 0


def test_rows_that_were_laid_out_and_never_reached_count_for_nothing(tape: Tape) -> None:
    tape.recorder.lay_out([SEND] * 10, [0] * 10, np.arange(10) * MS)
    tape.recorder.answered(tape.recorder.sent(0), MS, ok=True)
    tape.close(5 * S)
    assert tape.rows()[0.0].offered == 1


def test_operations_are_kept_apart_and_only_messages_are_totalled(tape: Tape) -> None:
    tape.recorder.answered(tape.send(0, 0, SYNC), 5 * MS, ok=True)
    tape.recorder.answered(tape.send(0, 0, SEND), 9 * MS, ok=True)
    tape.settle(S)
    assert (tape.recorder.totals().offered, tape.recorder.totals().acknowledged) == (1, 1)
    tape.close(5 * S)
    assert tape.rows(SYNC)[0.0].ok == tape.rows(SEND)[0.0].ok == 1


def test_whenever_it_settles_it_counts_the_same(tmp_path: Path) -> None:
    """Against a plain count of the same random history, settled often, seldom and not at all."""
    source = random.Random(7)
    history = []
    for n in range(9_000):
        intended_ns = n * S // 3_000
        sent_ns = intended_ns + source.randrange(3 * MS)
        fate = source.choices(("ok", "failed", "silent", "shed"), (80, 10, 5, 5))[0]
        history.append((intended_ns, sent_ns, fate, sent_ns + source.randrange(1_500 * MS)))
    texts = []
    for pause_ns in (S // 7, S, 100 * S):
        tape = Tape(tmp_path)
        answers: list[tuple[int, int, bool]] = []
        settled_ns = 0
        for intended_ns, sent_ns, fate, done_ns in history:
            for answer in sorted(answer for answer in answers if answer[0] <= sent_ns):
                answers.remove(answer)
                tape.recorder.answered(answer[1], answer[0], answer[2])
            if sent_ns - settled_ns > pause_ns:
                settled_ns = sent_ns
                tape.settle(sent_ns)
            if fate == "shed":
                tape.recorder.lay_out((SEND,), (0,), np.array([intended_ns]))
                tape.recorder.shed()
                continue
            sequence = tape.send(intended_ns, sent_ns)
            if fate != "silent":
                answers.append((done_ns, sequence, fate == "ok"))
        for done_ns, sequence, ok in sorted(answers):
            tape.recorder.answered(sequence, done_ns, ok)
        tape.close(9 * S)
        texts.append((tape.timeline.getvalue(), tape.percentiles_us("response"), tape.percentiles_us("lag")))
    assert texts[0] == texts[1] == texts[2]
    rows = tape.rows().values()
    for name, fate in (("ok", "ok"), ("failed", "failed"), ("unknown", "silent"), ("shed", "shed")):
        assert sum(getattr(row, name) for row in rows) == sum(one[2] == fate for one in history)


def test_a_bin_survives_the_way_to_another_process(tape: Tape) -> None:
    given: list[SettledBin] = []
    recorder = Recorder(lambda bins, until: given.extend(bins), bin_width_s=1, timeout_s=2, slo_ms=300)
    recorder.begin(0)
    recorder.lay_out([SEND] * 3, [0] * 3, np.arange(3) * MS)
    for n in range(3):
        recorder.answered(recorder.sent(n * MS), (n + 5) * MS, ok=n != 1)
    recorder.close(4 * S)
    (one,) = given
    back = SettledBin.from_lists(one.to_lists())
    assert (back.index, back.operation, back.counts) == (one.index, one.operation, one.counts)
    assert back.latencies.keys() == one.latencies.keys()
    for key, histogram in one.latencies.items():
        assert np.array_equal(back.latencies[key].index, histogram.index)
        assert np.array_equal(back.latencies[key].count, histogram.count)

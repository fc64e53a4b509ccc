"""What the benchmarks stand on: their figures and goals, the scripted server's truth, the made-up hour."""

import csv
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest

from bench.load.settled import SettledBin
from tests.benchmarks import accuracy, hour, memory, nginx, throughput
from tests.benchmarks.__main__ import main
from tests.benchmarks.scripted import ANSWER, Script
from tests.benchmarks.tables import at_least, at_most, failures, figure, write_csv
from tests.benchmarks.throughput import Window

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


def test_a_figure_is_the_median_of_its_rounds_with_their_spread() -> None:
    one = figure("part", "tool", "rate", [3.0, 1.0, 2.0], "1/s", at_least(2))
    assert (one.value, one.lowest, one.highest, one.goal, one.verdict) == (2.0, 1.0, 3.0, ">= 2", "pass")


def test_a_figure_without_rounds_is_missing_and_meets_no_goal() -> None:
    one = figure("part", "tool", "rate", [], "1/s", at_most(2))
    assert one.value is None
    assert failures([one]) == [one]


def test_a_figure_without_a_goal_has_no_verdict() -> None:
    assert figure("part", "tool", "rate", [1.0], "1/s").verdict == ""


def test_the_file_has_a_row_a_figure_and_leaves_empty_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "figures.csv"
    write_csv(path, [figure("part", "a", "rate", [1.5], "1/s"), figure("part", "b", "rate", [], "1/s")])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["subject"], row["value"], row["lowest"]) for row in rows] == [
        ("a", "1.5", "1.5"),
        ("b", "", ""),
    ]


FULL_CORE = Window(per_s=10_000, cpu_us=99, busy=0.99, server_busy=0.5, others_busy=0.0, peak_bytes=1)


def verdicts(windows: Mapping[str, Window]) -> dict[str, str]:
    found = throughput.figures({name: [one] for name, one in windows.items()})
    return {one.metric: one.verdict for one in found if one.subject == "k6" and one.goal}


def test_two_generators_with_full_cores_are_judged_by_their_rates() -> None:
    slow = replace(FULL_CORE, per_s=2_000, cpu_us=495)
    assert verdicts({"threegen": FULL_CORE, "k6": slow}) == {"ours/this, rate": "pass"}


def test_a_generator_that_waited_for_the_server_is_judged_by_its_cost() -> None:
    waited = replace(FULL_CORE, per_s=9_000, cpu_us=50, busy=0.45)
    assert verdicts({"threegen": FULL_CORE, "k6": waited}) == {"this/ours, cost": "fail"}


def test_nginxs_count_is_read_from_its_page() -> None:
    page = "Active connections: 2 \nserver accepts handled requests\n 5 5 123 \nReading: 0 Writing: 1 Waiting: 1 \n"
    assert nginx.counted(page) == 123


@pytest.fixture
def serve() -> Iterator[Callable[[Script], int]]:
    started: list[tuple[Script, threading.Thread]] = []

    def start(script: Script) -> int:
        thread = threading.Thread(target=script.serve)
        thread.start()
        started.append((script, thread))
        return script.port

    yield start
    for script, thread in started:
        script.stop()
        thread.join(10)


def ask(connection: socket.socket) -> float:
    """Seconds until one answer is whole."""
    began = time.monotonic()
    connection.sendall(GET)
    left = len(ANSWER)
    while left:
        got = connection.recv(left)
        assert got, "the server closed"
        left -= len(got)
    return time.monotonic() - began


def test_the_scripted_server_gives_the_delays_it_draws_and_logs_what_it_gave(
    serve: Callable[[Script], int],
) -> None:
    script = Script(median_ms=2.0, sigma=0.5, seed=7, stall=None)
    with socket.create_connection(("127.0.0.1", serve(script))) as connection:
        seen_s = [ask(connection) for _ in range(50)]
    given_ns = script.given_ns
    drawn_ns = 2e6 * np.random.default_rng(7).lognormal(0.0, 0.5, 1 << 18)[:50]
    assert len(given_ns) == 50
    assert np.all(given_ns >= drawn_ns.astype(np.int64))  # never early
    assert np.all(np.array(seen_s) * 1e9 >= given_ns * 0.999)  # and nobody sees less than was given


def test_the_scripted_server_stalls_once_and_whoever_comes_then_waits(
    serve: Callable[[Script], int],
) -> None:
    script = Script(median_ms=0.01, sigma=0.0, seed=1, stall=(0.0, 0.4))
    with socket.create_connection(("127.0.0.1", serve(script))) as connection:
        seen_s = [ask(connection) for _ in range(20)]
    assert max(seen_s) >= 0.39
    assert min(seen_s) < 0.39


def test_truth_is_told_only_where_ten_samples_lie_beyond() -> None:
    assert list(accuracy.truth(np.arange(1, 1_001) * 1_000_000)) == [0.5, 0.99]
    assert accuracy.truth(np.arange(1, 1_001) * 1_000_000)[0.5] == pytest.approx(500.5)


def test_growth_is_the_median_slope_and_one_jump_is_not_growth() -> None:
    flat = [(float(t), 100.0 + (50.0 if t == 5 else 0.0)) for t in range(10)]
    rising = [(float(t), 100.0 + 2.0 * t) for t in range(10)]
    assert memory.slope(flat) == 0
    assert memory.slope(rising) == pytest.approx(2.0)


def test_the_made_up_hour_is_what_workers_send() -> None:
    messages = list(hour.make_up(2))
    assert [message[0] for message in messages] == [0, 1, 2, 3, 0, 1, 2, 3]
    bins = [SettledBin.from_lists(raw) for _, raws, _ in messages for raw in raws]
    offered = sum(one.counts.offered for one in bins)
    assert offered == pytest.approx(2 * hour.PER_S, rel=0.05)
    for one in bins:
        assert {histogram.total for histogram in one.latencies.values()} == {one.counts.offered}


def test_a_made_up_stretch_is_merged_kept_and_analysed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 20
    monkeypatch.setattr(hour, "HOUR_S", seconds)
    messages = tmp_path / "messages"
    messages.write_bytes(b"".join(map(msgpack.packb, hour.make_up(seconds))))
    monkeypatch.setattr("sys.argv", ["hour", str(messages), str(tmp_path)])
    hour.main()
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["tps"] == pytest.approx(hour.PER_S, rel=0.05)


def test_an_unknown_part_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["speed"])
    assert end.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "speed" in last
    assert "throughput" in last

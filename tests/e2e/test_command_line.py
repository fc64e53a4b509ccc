"""The `bench` command's words, errors and exit codes."""

import re
import signal
import subprocess
from pathlib import Path

import pytest

from bench.cli import COMMANDS
from tests.e2e.conftest import Bench


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself_with_an_example(bench: Bench, command: str) -> None:
    done = bench(command, "--help")
    assert done.returncode == 0
    assert f"bench {command}" in done.stdout.partition("Example:")[2]


def test_the_help_names_every_command(bench: Bench) -> None:
    text = bench("--help").stdout
    assert all(re.search(rf"^  {command} ", text, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize("command", ["run", "plan", "capacity"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty; expected a profile"),
        (b"\x00\xff\xfe\x01binary", "not UTF-8 text"),
        (b"a: [1, 2\nb: 3\n", "not YAML"),
        (b"name: x\npopulation: {clients: 10}\nlaod: {}\n", ":3: laod: unknown key; did you mean load?"),
    ],
)
def test_a_bad_profile_is_one_line_and_exit_2(
    bench: Bench, tmp_path: Path, command: str, content: bytes, expected: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    done = bench(command, str(path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"bench: {path}")
    assert expected in done.stderr
    assert not bench.results.exists()


def test_a_directory_and_a_missing_profile_are_one_line_and_exit_2(bench: Bench) -> None:
    for path, expected in (("profiles", "is a directory"), ("profiles/none.yaml", "No such file")):
        done = bench("run", path)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert expected in done.stderr


def test_a_run_that_is_not_there_is_one_line_and_exit_2(bench: Bench) -> None:
    for words in (("report", "none"), ("report", "latest"), ("compare", "none", "latest")):
        done = bench(*words)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), words


def test_the_plan_shows_load_people_faults_and_time(bench: Bench) -> None:
    done = bench("plan", "profiles/quick.yaml")
    assert done.returncode == 0
    for expected in ("offered load", "connections", "arrivals", "shard-0-primary", "nats-1", "Estimated:"):
        assert expected in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_the_doctor_finds_this_machine_fit_for_runs_and_tests(bench: Bench) -> None:
    done = bench("doctor", "--for", "tests")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mariadbd" in done.stdout


def test_the_list_names_profiles_generations_and_says_where_runs_would_be(bench: Bench) -> None:
    done = bench("list")
    assert done.returncode == 0
    assert "profiles/quick.yaml" in done.stdout
    assert "shard-1-replica" in done.stdout
    assert "no runs in" in done.stdout


@pytest.mark.parametrize("generation", ["monolith", "sharded", "microservices"])
def test_up_keeps_a_generation_running_until_it_is_interrupted(bench: Bench, generation: str) -> None:
    running = bench.start("up", generation, "--clients", "4")
    bench.wait_said("Ctrl-C stops it", running)
    assert "127.0.0.1:" in bench.said()
    assert bench.processes()
    running.send_signal(signal.SIGINT)
    assert running.wait(15) == 0
    assert not (bench.results / ".work").exists()
    assert "Traceback" not in bench.said()


def test_a_failure_to_write_to_a_closed_pipe_is_no_traceback(bench: Bench) -> None:
    command = " ".join(bench.command("list")) + " | true"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=bench.environment(), check=False
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--trial", "5"), "--trial: '5': expected a duration"),
        (("--trial", "5s", "--total", "2s"), "--total: 2s is less than one trial, 5s"),
        (("--highest", "fast"), "--highest: 'fast': expected a rate"),
        (("--highest", "1/s"), "--highest: 1/s is not above the lowest"),
    ],
)
def test_a_search_that_cannot_be_is_one_line_and_exit_2(
    bench: Bench, words: tuple[str, ...], expected: str
) -> None:
    done = bench("capacity", "profiles/capacity.yaml", *words)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert expected in done.stderr
    assert not bench.results.exists()


def test_more_people_than_files_can_be_open_are_refused_before_anything_starts(
    bench: Bench, tmp_path: Path
) -> None:
    path = tmp_path / "crowd.yaml"
    path.write_text(Path("profiles/quick.yaml").read_text().replace("clients: 60", "clients: 60000"))
    command = f"ulimit -n 4096 && exec {' '.join(bench.command('run', str(path)))}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=bench.environment(), check=False
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "population.clients: 60,000 people" in done.stderr
    assert "ulimit -Hn" in done.stderr
    assert not bench.results.exists()

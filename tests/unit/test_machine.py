import shutil
from pathlib import Path

import pytest

from bench import doctor, machine, programs
from bench.errors import MachineError
from bench.lock import host_lock


def test_the_first_core_is_the_systems_and_the_last_the_generators() -> None:
    cores = machine.divide_cores(frozenset({0, 1, 2, 3}))
    assert cores.sut == frozenset({0})
    assert cores.generator == frozenset({3})
    alone = machine.divide_cores(frozenset({5}))
    assert (alone.sut, alone.generator) == (None, None)


def test_the_host_has_a_fingerprint_that_does_not_change_by_itself() -> None:
    assert machine.host() == machine.host()
    assert len(machine.host().fingerprint) == 16


def test_versions_name_what_may_change_a_figure() -> None:
    found = machine.versions(Path.cwd())
    assert {"python", "threegen", "locust", "mariadbd", "nats-server"} <= found.keys()
    assert all(found.values())


def test_the_file_system_of_memory_is_known_for_what_it_is() -> None:
    assert machine.file_system(Path("/dev/shm")) == "tmpfs"
    assert machine.file_system(Path("/proc/self")) == "proc"


def test_a_second_run_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with host_lock(path), pytest.raises(MachineError, match="another bench run holds"), host_lock(path):
        pass
    with host_lock(path):
        pass


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no program is found."""
    monkeypatch.setattr(programs, "find", lambda name: None)


@pytest.mark.usefixtures("_bare")
def test_a_missing_program_is_refused_with_the_line_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: "/usr/bin/apt-get")
    with pytest.raises(
        MachineError, match="mariadbd: not found; install it with: sudo apt-get install .*core"
    ):
        programs.require("mariadbd")
    with pytest.raises(MachineError, match="nats-server: not found; install it with: .*requirements.txt"):
        programs.require("nats-server")


@pytest.mark.usefixtures("_bare")
def test_without_apt_the_doctor_says_what_to_install_and_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(MachineError, match="missing here: mariadbd.*Fedora: sudo dnf install mariadb-server"):
        doctor.install("runs", lambda text: None)


@pytest.mark.usefixtures("_bare")
def test_without_rights_the_doctor_gives_the_exact_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_rights", lambda: None)
    with pytest.raises(
        MachineError, match="sudo apt-get install --no-install-recommends mariadb-server-core$"
    ):
        doctor.install("runs", lambda text: None)


def test_the_doctor_installs_nothing_where_nothing_is_missing() -> None:
    said: list[str] = []
    doctor.install("runs", said.append)
    assert said == []


def test_results_in_memory_are_called_out() -> None:
    finding = next(f for f in doctor.examine(Path("/dev/shm/results"), "runs") if f.name == "results")
    assert finding.level == "missing"
    assert "tmpfs" in finding.found

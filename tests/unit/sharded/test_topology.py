"""What the local layout says where this machine lacks something."""

from pathlib import Path

import pytest

from bench import programs
from bench.deployment.local import sharded
from bench.deployment.local.topology import Site
from bench.errors import MachineError


def test_a_machine_without_mariadb_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(programs, "find", lambda _: None)
    with pytest.raises(MachineError, match="mariadbd: not found; install it with: "):
        sharded.topology(Site(folder=tmp_path, people={"count": 2, "password": "x"}))


def test_a_server_without_its_system_tables_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"mysql_system_tables\.sql"):
        sharded.system_tables(tmp_path / "sbin" / "mariadbd")

"""Runs, searches and sweeps say to the published table what is theirs to say."""

import json
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest

from bench.analysis.published import beside_published
from bench.claims import measured_in
from bench.manifest import Kind
from bench.records import CapacityTrialRow, RecoveryFitRow
from bench.results import RunFolder
from tests.unit.analysis.synthetic import PUBLISHED, with_manifest
from tests.unit.analysis.test_capacity import SEARCH
from tests.unit.saved import NOW, analysed, small


def folder_of(root: Path, kind: Kind, down: str = "") -> RunFolder:
    given = with_manifest(small(), kind=kind)
    folder = RunFolder.create(root, kind, NOW + timedelta(days=1))
    folder.write_manifest(given.manifest)
    folder.write_plan(json.dumps({**given.plan, "search": asdict(replace(SEARCH, down=down))}))
    return folder


def tried(generation: str, trial: int, rate_per_s: float, failed_goals: int) -> CapacityTrialRow:
    return CapacityTrialRow(
        generation,
        trial,
        "search",
        rate_per_s,
        12.0,
        None,
        1000,
        1.0,
        False,
        0,
        4.0,
        9.0,
        failed_goals,
        False,
        "",
    )


def search(root: Path, down: str = "") -> RunFolder:
    folder = folder_of(root, "capacity", down)
    rows = [
        tried(name, n, rate * factor, failed)
        for name, rate in (("monolith", 1000.0), ("sharded", 6000.0))
        for n, factor, failed in ((1, 0.98, 0), (2, 1.02, 4))
    ]
    folder.write_capacity_trials(rows)
    return folder


def test_capacities_test_the_published_throughput(tmp_path: Path) -> None:
    cells = beside_published(measured_in([search(tmp_path)]), PUBLISHED)
    tps = next(cell for cell in cells if (cell.generation, cell.figure) == ("sharded", "tps"))
    assert (tps.ratio, tps.measured) == ("consistent", 5880.0)
    assert tps.ratio_low == pytest.approx(5880 / 1020)


def test_a_run_and_a_search_are_joined(tmp_path: Path) -> None:
    (monolith, sharded) = measured_in([analysed(tmp_path, small(2)), search(tmp_path)])
    assert monolith.figures["tps"] == 980.0
    assert monolith.figures["response_p50_ms"] is not None
    assert sharded.figures["response_p50_ms"] is None


def test_a_sweep_says_at_which_volume_the_published_recovery_would_be_reached(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "recovery")
    row = RecoveryFitRow(
        "monolith", "data_bytes", "time_to_recover_s", 20, 0, 1e9, 11.0, 9.0, 13.0, 1.2, 43_200.0, 3.9e12, 3.3e12,
        4.8e12, "projected", "",
    )  # fmt: skip
    folder.write_sweep(data=[], fits=[row, replace(row, against="users_online", reached_at=5.0)])
    cells = beside_published(measured_in([folder]), PUBLISHED)
    recovery = next(cell for cell in cells if cell.figure == "time_to_recover_s")
    assert recovery.absolute == "projected"
    assert recovery.absolute_reason == (
        "it would be reached at 3,900 GB of data (3,300 to 4,800 at 95 %): a line through 20 recoveries, 11 s a GB "
        "(machine time)"
    )

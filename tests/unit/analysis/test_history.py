"""Changes over runs are found where they were written down, and nowhere else."""

from dataclasses import replace

import numpy as np
import pandas as pd

from bench.analysis.history import change_points, history
from bench.analysis.subject import Recorded
from bench.evidence import Evidence
from bench.manifest import Trial
from bench.records import SummaryRow
from bench.report.history import history_rows
from bench.tables import frame
from tests.unit.saved import small

GIVEN: Evidence = small()


def run(day: int, cpu_us: float, git: str = "aaaa", seed: int = 0) -> Recorded:
    """A run of three trials whose CPU per transaction lies around a figure."""
    source = np.random.default_rng(day + seed)
    rows = [
        SummaryRow(
            "monolith", n, "steady", "", "cpu_us_per_transaction", cpu_us * source.lognormal(0, 0.02), "us", 9
        )
        for n in (1, 2, 3)
    ]
    manifest = replace(
        GIVEN.manifest,
        created_utc=f"2026-03-{day:02}T12:00:00+00:00",
        versions={"git": git},
        trials=tuple(Trial("monolith", n, "complete", 0) for n in (1, 2, 3)),
    )
    summary: pd.DataFrame = frame(SummaryRow, rows)
    return Recorded(f"run-{day:02}", manifest, GIVEN.plan, summary, None, None)


def test_a_change_is_found_at_its_run_with_the_version_that_stands_there() -> None:
    runs = [run(day, 400 if day < 8 else 480, "aaaa" if day < 8 else "bbbb") for day in range(1, 15)]
    (series,) = history(reversed(runs))
    (change,) = series.changes
    assert (change.at, change.word, change.versions) == ("run-08", "worse", (("git", "aaaa", "bbbb"),))
    assert 1.15 < change.ratio < 1.25
    rows = list(history_rows([series]))
    assert [row.run for row in rows if row.change] == ["run-08"]
    assert rows[7].changed_versions == "git aaaa → bbbb"


def test_equal_runs_have_no_change_and_neither_has_one_odd_run() -> None:
    for seed in range(0, 1000, 100):
        (series,) = history([run(day, 400, seed=seed) for day in range(1, 21)])
        assert series.changes == ()
    (odd,) = history([run(day, 800 if day == 9 else 400) for day in range(1, 21)])
    assert odd.changes == ()


def test_another_host_or_plan_is_another_series_and_more_trials_are_not() -> None:
    one, two = run(1, 400), run(2, 400)
    assert two.manifest is not None
    host = replace(two.manifest.host, fingerprint="beef")
    elsewhere = replace(two, manifest=replace(two.manifest, host=host))
    assert len(history([one, two])) == 1
    assert len(history([one, elsewhere])) == 2
    assert len(history([one, replace(two, plan={**GIVEN.plan, "seed": 9})])) == 2
    assert len(history([one, replace(two, plan={**GIVEN.plan, "trials": [], "name": "x"})])) == 1


def test_too_few_points_have_no_change() -> None:
    assert change_points([0.0, 0.0, 9.0]) == []
    assert change_points([0.0, 0.0, 9.0, 9.0]) == [2]

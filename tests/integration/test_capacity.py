"""A search for capacity on the real monolith, as short as can be: what it keeps, and that it all agrees."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.analysis.capacity import Search, answers
from bench.conductor.searching import search_capacity, search_of
from bench.planning import make_plan
from bench.profile import Capacity, Profile
from bench.records import SCHEMA_VERSION, CapacityTrialRow
from bench.report.capacity import show_capacity, trial_line
from bench.report.progress import SearchProgress

PROJECT = Path(__file__).resolve().parents[2]
PROFILE: dict[str, Any] = {
    "name": "tiny",
    "generations": ["monolith"],
    "population": {"clients": 10, "login_rate": "200/s"},
    "load": {
        "timeout": "3s",
        "stages": [{"name": "steady", "kind": "steady", "duration": "1s", "rate": "9/s"}],
    },
    "drain": {"quiet": "300ms", "limit": "10s"},
}


async def test_a_search_keeps_every_trial_and_its_bounds_follow_from_them(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    plan = make_plan(Profile.model_validate(PROFILE))
    capacity = Capacity.model_validate(
        {
            "lowest": "100/s",
            "highest": "400/s",
            "warmup": "500ms",
            "trial": "2s",
            "total": "2s",
            "width": "30%",
        }
    )
    told: list[CapacityTrialRow] = []
    search = search_of(capacity, 0.9)
    with SearchProgress(Console()) as watcher:
        folder = await search_capacity(
            plan, search, tmp_path, PROJECT, watcher, lambda row, _: told.append(row), {"xmpp": 5_000.0}
        )
    manifest, rows = folder.manifest(), folder.capacity_trials()
    assert (manifest.kind, manifest.ended, manifest.reached) == ("capacity", "complete", "1 of 1 generations")
    assert Search.of(folder.plan()) == search
    assert [(trial.generation, trial.trial) for trial in manifest.trials] == [
        (r.generation, r.trial) for r in rows
    ]
    assert [trial.status == "void" for trial in manifest.trials] == [row.void for row in rows]
    assert [row.trial for row in rows] == [row.trial for row in told]
    assert rows[0].purpose == "climb"
    assert rows[0].rate_per_s == 100
    assert max(row.rate_per_s for row in rows) == 400
    assert all(row.lost == 0 for row in rows)

    timeline = folder.timeline().query("operation == 'send' and phase == 'steady'")
    offered = timeline.groupby("trial")["offered"].sum().to_dict()
    assert offered == {row.trial: row.offered for row in rows}
    audit = folder.audit().query("phase == 'all'")
    assert audit["phantom"].sum() == 0, "a trial was told of the messages of an earlier one"
    for row in rows:
        assert row.offered > 0.7 * row.rate_per_s * row.duration_s

    found = answers(search, "monolith", rows, ceiling_per_s=5_000.0)
    assert [one.goal for one in found] == [*search.names, "critical"]
    for one in found:
        if one.lower_per_s is not None and one.upper_per_s is not None:
            assert one.lower_per_s < one.upper_per_s
    lowers = [one.lower_per_s or 0.0 for one in found[:-1]]
    assert lowers == sorted(lowers), "a wider goal is met wherever a tighter one is"
    if any(row.purpose == "latency" for row in rows):
        shares = [row.share_of_capacity for row in rows if row.purpose == "latency"]
        assert sorted(set(map(float, filter(None, shares)))) == [0.3, 0.5, 0.7, 0.85]
    assert json.loads((folder.path / "manifest.json").read_text())["schema_version"] == SCHEMA_VERSION
    folder.write_capacity(found)
    assert folder.manifest().status == "analysed"

    console = Console(width=80, record=True)
    console.print(show_capacity(manifest, search, found, rows))
    for row in rows:
        console.print(trial_line(search, row, {}))
    text = console.export_text()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "p99<=150ms" in text
    assert not (tmp_path / ".work").exists()


async def test_a_degraded_search_runs_without_the_node_and_says_so(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("bench.conductor.searching.SETTLE_S", 0.5)
    monkeypatch.setattr("bench.conductor.searching.SHARES_OF_CAPACITY", ())
    plan = make_plan(Profile.model_validate({**PROFILE, "generations": ["microservices"]}))
    search = Search((800.0,), 0.5, 20.0, 21.0, 0.5, 1.0, 1.0, 1.0, 0.5, down="message-2")
    with SearchProgress(Console()) as watcher:
        folder = await search_capacity(plan, search, tmp_path, PROJECT, watcher, lambda row, _: None, {})
    rows = folder.capacity_trials()
    found = answers(search, "microservices", rows, ceiling_per_s=None)
    assert {one.down for one in found} == {"message-2"}
    subjects = set(folder.telemetry()["subject"])
    assert "message-1" in subjects
    assert "message-2" not in subjects, "it ran during a trial"
    console = Console(width=80, record=True)
    console.print(show_capacity(folder.manifest(), search, found, rows))
    text = console.export_text()
    assert "microservices\n  message-2 down" in "\n".join(line.rstrip() for line in text.splitlines())
    assert "Degraded capacity, with a node down throughout: message-2 of microservices." in text

"""A sweep on the real monolith, as short as can be: what it keeps, and that the audit holds over the history."""

from pathlib import Path
from typing import Any

from rich.console import Console

from bench.analysis.analyse import analyse
from bench.analysis.sweep import fits, points, summed
from bench.conductor.run import run
from bench.profile import Profile
from bench.report.progress import RunProgress
from bench.report.sweep import audit_words, show_sweep
from bench.results import read_published
from bench.sweep import make_sweep

PROJECT = Path(__file__).resolve().parents[2]
PROFILE: dict[str, Any] = {
    "name": "tiny",
    "generations": ["monolith"],
    "population": {"clients": 10, "login_rate": "200/s"},
    "load": {
        "timeout": "8s",
        "stages": [
            {"name": "steady", "kind": "steady", "duration": "2s", "rate": "100/s"},
            {"name": "struck", "kind": "steady", "duration": "4s", "rate": "100/s"},
        ],
    },
    "slo": {"response": "8s", "share": "1%"},  # a machine that is merely busy makes no trial void
    "faults": [{"kind": "kill", "target": "core", "at": "2100ms"}],
    "drain": {"quiet": "300ms", "limit": "10s"},
    "history": {"messages": "2k"},
}


async def test_a_sweep_strikes_each_volume_and_counts_nothing_of_the_history(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    sweep = make_sweep(Profile.model_validate(PROFILE), (1, 10), (1,))
    with RunProgress(Console()) as watcher:
        folder = await run(sweep.plan, tmp_path, PROJECT, watcher, sweep=sweep)
    manifest, evidence, published = folder.manifest(), folder.evidence(), read_published(PROJECT / "results")
    assert (manifest.kind, manifest.ended) == ("recovery", "complete")
    assert not (tmp_path / ".work").exists()

    audit = evidence.audit.query("phase == 'all'")
    assert audit["acknowledged"].min() > 200
    assert (audit["lost"].sum(), audit["phantom"].sum(), audit["corrupt"].sum()) == (0, 0, 0)

    analysis = analyse(evidence, published)
    rows = points(evidence, analysis.recovery)
    assert sorted(row.messages for row in rows) == [2_000, 20_000]
    for row in rows:
        assert row.data_bytes is not None
        assert row.data_bytes > 100 * row.messages
        assert row.replay_s is not None, "the server told of its replay"
        assert row.users_online == 10
    lines = fits(rows, published)
    folder.write_sweep(data=rows, fits=lines)

    console = Console(width=80, record=True)
    audits = {headline.generation: audit_words(headline.losses) for headline in analysis.headlines}
    console.print(show_sweep(manifest, summed(rows), lines, audits))
    text = console.export_text()
    assert "20,000" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80

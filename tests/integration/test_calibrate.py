"""The generator against the target that does nothing, for real: what is found is kept and holds together."""

from pathlib import Path
from typing import Any

from rich.console import Console

from bench.calibration import CPU_LIMIT, LAG_LIMIT_MS, NARROW, Rung
from bench.conductor import calibrating
from bench.report.progress import SearchProgress

PROJECT = Path(__file__).resolve().parents[2]


async def test_a_calibration_is_found_kept_and_found_again(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    tried: list[Rung] = []
    with SearchProgress(Console()) as watcher:
        found = await calibrating.calibrate(
            "xmpp",
            tmp_path,
            PROJECT,
            watcher,
            lambda _, rung: tried.append(rung),
            offer_s=1.0,
            first_per_s=4_000.0,
        )
    assert calibrating.known(tmp_path, PROJECT, "xmpp") == found
    assert calibrating.known(tmp_path, PROJECT, "http") is None
    assert found.held in tried
    assert found.held is not None
    assert found.ceiling_per_s == found.held.rate_per_s
    assert found.held.achieved_ratio >= 0.99
    assert found.held.lag_p99_ms is not None
    assert found.held.lag_p99_ms <= LAG_LIMIT_MS or found.held.disturbed
    assert found.failed in tried
    assert found.failed is not None
    assert found.failed.rate_per_s <= found.ceiling_per_s * NARROW * 1.01
    assert all((rung.generator_cpu_ratio or 0) <= CPU_LIMIT for rung in tried if rung.held)
    assert not (tmp_path / ".work").exists()

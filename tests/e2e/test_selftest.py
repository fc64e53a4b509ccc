"""The harness proves itself, once; and fails where a target does not do what its truth says."""

import json

from tests.e2e.conftest import Bench


def test_every_truth_is_got_back(bench: Bench) -> None:
    done = bench("selftest", timeout_s=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "25 of 25 checks passed" in done.stdout
    assert "FAILED" not in done.stdout
    assert done.stdout.count("expected") == done.stdout.count(" got ") == 25
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert bench.wait_gone(5) == {}
    assert not (bench.results / ".work").exists()
    kept = sorted(path.parent.name for path in bench.results.glob("selftest/*/manifest.json"))
    assert len(kept) == 9
    assert json.loads((bench.results / "selftest" / kept[0] / "manifest.json").read_text())["trials"]

"""The whole river: profile, three generations, kill, result; then the same again from the folder alone."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from tests.e2e.conftest import Bench

GENERATIONS = ["monolith", "sharded", "microservices"]


@pytest.fixture(scope="module")
def river(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, str]:
    """One run of all three generations, shared by the tests below: its bench and what it printed."""
    bench = Bench(tmp_path_factory.mktemp("river"))
    done = bench("run", "tests/e2e/river.yaml", timeout_s=400)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert bench.wait_gone(5) == {}
    return bench, done.stdout


@pytest.fixture(scope="module")
def folder(river: tuple[Bench, str]) -> Path:
    (found,) = (path.parent for path in river[0].results.glob("*/manifest.json"))
    return found


def table(folder: Path, name: str) -> Any:
    """As any user's notebook would read it, without void trials; pandas' types are too wide to be of help here."""
    rows: Any = pd.read_csv(folder / name)
    void = {(t["generation"], t["trial"]) for t in trials(folder) if t["status"] == "void"}
    return rows[[key not in void for key in zip(rows["generation"], rows["trial"], strict=True)]]


def trials(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_text())["trials"]
    return found


def test_the_run_folder_is_whole(folder: Path) -> None:
    expected = {
        *("manifest.json", "plan.json", "summary.csv", "timeline.csv", "histograms.hlog", "faults.csv"),
        *("recovery.csv", "telemetry.csv", "audit.csv", "audit_findings.csv", "trials.csv"),
        *("recovery_phases.csv", "touched.csv", "logs"),
    }
    assert {path.name for path in folder.iterdir()} == expected
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["status"], manifest["ended"]) == ("analysed", "complete")
    kept = [t for t in manifest["trials"] if t["status"] != "void"]  # a noisy machine makes some void
    assert [(t["generation"], t["status"], t["verdict"]) for t in kept] == [
        (g, "complete", "sut_bound") for g in GENERATIONS
    ]
    assert {"python", "locust", "mariadbd", "nats-server"} <= manifest["versions"].keys()


def test_every_acknowledged_message_was_delivered_through_the_kill(folder: Path) -> None:
    audit = table(folder, "audit.csv").query("phase == 'all'").set_index("generation")
    assert list(audit.index) == GENERATIONS
    assert (audit["attempted"] > 6000).all()
    assert (audit["lost"] == 0).all(), audit["lost"]
    assert (audit["phantom"] == 0).all()
    assert (audit["corrupt"] == 0).all()
    assert audit["drained"].all(), audit["detail"]
    assert (audit["verdict"] == "complete").all()
    assert (
        audit["delivered"] == audit["attempted"] - audit["refused"] - (audit["unknown"] - audit["rescued"])
    ).all()


def test_the_core_node_of_each_generation_was_killed_and_its_going_noticed(folder: Path) -> None:
    injected = table(folder, "faults.csv").query("step == 'inject'").set_index("generation")
    assert injected["node"].to_dict() == {
        "monolith": "server",
        "sharded": "shard-0-primary",
        "microservices": "nats-1",
    }
    assert injected["completed_s"].notna().all()
    assert ((injected["completed_s"] >= 12) & (injected["completed_s"] < 13)).all()
    recovery = table(folder, "recovery.csv").set_index("generation")
    assert (recovery["outcome"] != "unknown").all()
    # The monolith has nobody to notice its death but the operator; the others say so themselves.
    assert recovery.loc["sharded", "detected_s"] > recovery.loc["sharded", "injected_s"]
    assert recovery.loc["microservices", "detected_s"] >= recovery.loc["microservices", "injected_s"]


def test_each_system_tells_its_own_steps_and_a_kill_touches_those_who_were_connected(folder: Path) -> None:
    phases = table(folder, "recovery_phases.csv").groupby("generation")["phase"].agg(set).to_dict()
    assert phases["monolith"] == {"restarted", "replayed"}
    assert {"detected", "decided", "replayed", "promoted", "restarted", "redundant"} <= phases["sharded"]
    assert {"detected", "decided", "restarted", "promoted", "redundant"} <= phases["microservices"]
    recovery = table(folder, "recovery.csv").set_index("generation")
    assert recovery.loc["monolith", "touched_ratio"] == 1.0
    assert (recovery["touched_clients"] > 0).all()
    assert (recovery["human_s"] == 0).all()


def test_nothing_that_was_offered_is_missing_from_the_timeline(folder: Path) -> None:
    sends = table(folder, "timeline.csv").query("operation == 'send'")
    assert (sends["offered"] == sends[["shed", "ok", "failed", "unknown"]].sum(axis=1)).all()
    offered = sends.groupby("generation")["offered"].sum()
    assert offered.nunique() == 1, "the generations were not offered the same load"
    audit = table(folder, "audit.csv").query("phase == 'all'").set_index("generation")
    shed = sends.groupby("generation")["shed"].sum()
    assert (offered - shed).to_dict() == audit["attempted"].to_dict()


def test_histograms_timeline_audit_and_summary_agree(folder: Path) -> None:
    reader = HistogramLogReader(str(folder / "histograms.hlog"), HdrHistogram(1, 3_600_000_000, 3))
    counted: dict[tuple[str, str], int] = {}
    void = {(t["generation"], t["trial"]) for t in trials(folder) if t["status"] == "void"}
    while (histogram := reader.get_next_interval_histogram()) is not None:
        generation, trial, _, operation, outcome, measure = histogram.get_tag().split("/")
        if (operation, outcome) == ("send", "ok") and (generation, int(trial)) not in void:
            key = generation, measure
            counted[key] = counted.get(key, 0) + histogram.get_total_count()
    reader.close()
    sends = table(folder, "timeline.csv").query("operation == 'send'").groupby("generation")
    audit = table(folder, "audit.csv").query("phase == 'all'").set_index("generation")
    for generation in GENERATIONS:
        assert counted[generation, "response"] == sends["ok"].sum()[generation]
        assert counted[generation, "delivery"] == audit.loc[generation, "delivered"]
        assert sends["acknowledged_in_bin"].sum()[generation] == audit.loc[generation, "acknowledged"]
    summary = table(folder, "summary.csv").query("metric == 'tps' and phase == 'steady'")
    steady = table(folder, "timeline.csv").query("operation == 'send' and phase == 'steady'")
    tps = steady.groupby("generation")["acknowledged_in_bin"].sum() / 8
    assert summary.set_index("generation")["value"].to_dict() == pytest.approx(tps.to_dict(), rel=0.01)


def test_telemetry_knows_every_node_and_the_generator(folder: Path) -> None:
    telemetry = table(folder, "telemetry.csv").query("metric == 'cpu_seconds'")
    subjects = telemetry.groupby("generation")["subject"].agg(set)
    assert {"server", "generator"} <= subjects["monolith"]
    assert {"api-1", "shard-0-primary", "shard-1-replica", "failover"} <= subjects["sharded"]
    assert {"nats-1", "gateway-2", "sequence", "supervisor"} <= subjects["microservices"]


def test_the_closing_table_fits_and_names_every_generation_and_the_folder(
    river: tuple[Bench, str], folder: Path
) -> None:
    printed = river[1]
    ending = printed[printed.index("TPS") :]
    for expected in [*GENERATIONS, "published", "× monolith", "300,000", str(folder.name)]:
        assert expected in ending
    assert max(len(line) for line in ending.splitlines() if str(folder) not in line) <= 80


def test_the_same_figures_come_from_a_copy_of_the_folder(
    river: tuple[Bench, str], folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copied"
    shutil.copytree(folder, copy)
    for name in ("summary.csv", "recovery.csv", "recovery_phases.csv", "trials.csv"):
        (copy / name).unlink()
    done = river[0]("report", str(copy))
    assert done.returncode == 0, done.stderr
    for name in ("summary.csv", "recovery.csv", "recovery_phases.csv", "trials.csv"):
        assert (copy / name).read_text() == (folder / name).read_text()
    shown, _, page = done.stdout.rpartition("\npage: ")
    assert shown.replace(str(copy), "") in river[1].replace(str(folder), "")
    assert Path(page.strip()) == copy / "report.html"


def test_a_run_compares_with_itself_as_equal_and_only_descriptively(
    river: tuple[Bench, str], folder: Path
) -> None:
    done = river[0]("compare", folder.name, "latest")
    assert done.returncode == 5, done.stderr  # one trial a side
    assert "descriptive" in done.stdout
    assert "×1.00" in done.stdout
    assert not any(word in done.stdout for word in ("better", "worse"))


def test_the_notebook_lines_in_the_documents_run_on_the_folder(folder: Path) -> None:
    (shown,) = re.findall(
        r"^```python\n(.*?)^```", Path("docs/results.md").read_text(), re.MULTILINE | re.DOTALL
    )
    *lines, last = shown.replace("results/RUN", str(folder)).strip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)
    found = eval(last, names)
    assert list(found["generation"]) == GENERATIONS

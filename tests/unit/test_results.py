"""Run folders: what is written is read back, crashes cost whole trials only, unsound files are refused."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from bench import results
from bench.errors import RunFolderError
from bench.histograms import encode_line
from bench.manifest import Host, Manifest, Phase, Trial
from bench.records import (
    SCHEMA_VERSION,
    AuditFindingRow,
    AuditRow,
    FaultRow,
    HistogramTag,
    PhaseRow,
    RecoveryRow,
    SummaryRow,
    TelemetryRow,
    TimelineRow,
    TouchedRow,
    TrialRow,
)
from bench.results import RunFolder, find, list_runs, read_published
from bench.tables import columns, read_rows, to_csv

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)
HOST = Host("f00d", "A CPU", 2, 8_000_000_000, "6.1", "Debian 12")
MANIFEST = Manifest("r", NOW.isoformat(), "quick", "abc", HOST, {"python": "3.11.2"})


def trial(number: int = 1, generation: str = "monolith") -> Trial:
    phases = (Phase("warmup", 0.0, 6.0), Phase("steady", 6.0, 20.0))
    return Trial(generation, number, "complete", 1_000_000_000, phases, sut_cores=(1,), generator_cores=(0,))


def timeline_row(number: int = 1, bin_start_s: float = 6.0) -> TimelineRow:
    return TimelineRow(
        "monolith", number, "steady", bin_start_s, 1.0, "send", 150, 149, 1, 147, 1, 1, 146, 148, 150, 3,
        2.5, 4.75, None, 3.125, 0.1,
    )  # fmt: skip


FAULT = FaultRow("monolith", 1, 1, "kill", "server", "inject", 21.0, 21.0004, 21.0031, "")
UNCONFIRMED = replace(FAULT, step="heal", completed_s=None, detail="no\npid, so \u2028 odd")
TELEMETRY = TelemetryRow("monolith", 1, -0.5, "server", "cpu_seconds", 0.25, "s")
AUDIT = AuditRow(
    "monolith", 1, "all", 2000, 1990, 3, 7, 1995, 0, 0, 5, 2, 1, 0, 9, True, "complete", "", 1, 1, 3, 2, 10.05, "rule"
)  # fmt: skip
FINDING = AuditFindingRow(
    "monolith", 1, "duplicated", "1f.0.2.0.5.3e8.77", "u1", "u2", "steady", 0.001, "sent once by its client"
)
RECOVERY = RecoveryRow(
    "monolith", 1, 1, "kill", "server", "not recovered", 21.0, 21.5, None, None, None, None, None, None,
    0.0, None, 23.0, 0.7, 22.5, 0, 3375.0, 60, 1.0, 4.5, "watched to the end",
)  # fmt: skip
PHASE = PhaseRow("monolith", 1, 1, "replayed", 21.4, 0.4, "server", "server")
TOUCHED = TouchedRow("monolith", 1, 21.0, 1.0, "send", 5, "0-3 7")
TRIAL = TrialRow(
    "monolith", 2, "void", "noisy", "steady: the hypervisor took 12 % of all cores", 1,
    "no_steady_state", 7.5, "the backlog grows by 3 a second", ""
)  # fmt: skip
SUMMARY = SummaryRow("monolith", 1, "steady", "send", "response_p99", None, "ms", 400)


def line(number: int = 1, generation: str = "monolith") -> str:
    tag = HistogramTag(generation, number, "steady", "send", "ok", "response")
    return encode_line(tag, 6.0, 1.0, np.array([2500, 4750]))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder.create(tmp_path, "quick", NOW)
    made.write_manifest(MANIFEST)
    made.write_plan('{"name": "quick"}')
    return made


@pytest.fixture
def measured(folder: RunFolder) -> RunFolder:
    folder.add_trial(
        trial(),
        timeline=[timeline_row()],
        faults=[FAULT, UNCONFIRMED],
        telemetry=[TELEMETRY],
        audit=[AUDIT],
        touched=[TOUCHED],
        findings=[FINDING],
        hlog_text=line(),
    )
    return folder


def test_a_folder_is_named_after_moment_and_profile_and_a_clash_gets_a_suffix(tmp_path: Path) -> None:
    names = [RunFolder.create(tmp_path, "quick", NOW).path.name for _ in range(3)]
    assert names == ["20260301-123005-quick", "20260301-123005-quick-2", "20260301-123005-quick-3"]


def test_the_manifest_comes_back_as_it_was_written(folder: RunFolder) -> None:
    manifest = replace(MANIFEST, ended="interrupted", reached="trial 1 of 3", error="^C").with_trial(trial())
    folder.write_manifest(manifest)
    assert folder.manifest() == manifest


def test_a_manifest_of_schema_version_1_is_still_read(folder: RunFolder) -> None:
    folder.write_manifest(MANIFEST.with_trial(trial()))
    path = folder.path / "manifest.json"
    old = json.loads(path.read_text())
    old["schema_version"] = 1
    for name in ("verdict", "verdict_reason", "retry_of"):
        del old["trials"][0][name]
    path.write_text(json.dumps(old))
    assert folder.manifest().trials == (trial(),)


def test_the_audit_of_schema_version_2_is_still_read_and_what_it_did_not_say_is_missing(
    measured: RunFolder,
) -> None:
    manifest = measured.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 3', '"schema_version": 2'))
    (measured.path / "audit_findings.csv").unlink()
    with pytest.raises(RunFolderError, match="column 'duplicated_by_resend' is not known"):
        measured.audit()
    path = measured.path / "audit.csv"
    path.write_text("".join(",".join(line.split(",")[:18]) + "\n" for line in path.read_text().splitlines()))
    evidence = measured.evidence()
    assert evidence.findings is None
    assert evidence.audit["duplicated"].tolist() == [2]
    assert evidence.audit[["duplicated_by_resend", "largest_displacement", "quiet_s"]].isna().all(axis=None)
    manifest.write_text(manifest.read_text().replace('"schema_version": 2', '"schema_version": 3'))
    with pytest.raises(RunFolderError, match="column 'duplicated_by_resend' is missing"):
        measured.audit()


def test_what_is_added_is_what_is_read(measured: RunFolder) -> None:
    evidence = measured.evidence()
    assert evidence.manifest.trials == (trial(),)
    assert evidence.plan == {"name": "quick"}
    row = evidence.timeline.iloc[0]
    assert (row["offered"], row["response_p95_ms"], np.isnan(row["response_p99_ms"])) == (150, 4.75, True)
    assert evidence.timeline["offered"].dtype == np.int64
    assert evidence.faults["detail"].tolist() == ["", "no pid, so   odd"]
    assert np.isnan(evidence.faults["completed_s"][1])
    assert evidence.telemetry["t_s"].tolist() == [-0.5]
    assert evidence.audit["drained"].tolist() == [True]
    assert evidence.touched is not None
    assert evidence.touched["people"].tolist() == ["0-3 7"]
    (histogram,) = evidence.histograms
    assert (histogram.start_s, histogram.histogram.total) == (6.0, 2)


@pytest.mark.parametrize(
    "row", [timeline_row(), FAULT, TELEMETRY, AUDIT, TOUCHED, FINDING, RECOVERY, PHASE, SUMMARY, TRIAL]
)
def test_rows_are_read_back_as_the_values_they_were(row: object) -> None:
    assert read_rows(type(row), to_csv(type(row), [row]).encode(), "x.csv") == [row]


def test_the_files_are_the_golden_ones(measured: RunFolder) -> None:
    measured.write_analysis(summary=[SUMMARY], recovery=[RECOVERY], phases=[PHASE], trials=[TRIAL])
    for name in [*results.MEASURED, *results.ANALYSED]:
        assert (measured.path / name).read_text() == (GOLDEN / name).read_text(), name
    assert measured.manifest().status == "analysed"
    assert np.isnan(measured.summary()["value"][0])
    assert measured.recovery()["relapses"].tolist() == [0]
    assert sorted(path.name for path in measured.path.iterdir() if path.name.startswith(".")) == []


def test_a_run_that_has_measured_nothing_yet_reads_as_empty_tables(folder: RunFolder) -> None:
    evidence = folder.evidence()
    assert [len(evidence.timeline), len(evidence.faults), len(evidence.histograms)] == [0, 0, 0]
    assert evidence.timeline["offered"].dtype == np.int64


def test_what_a_crash_left_of_a_trial_is_not_read_and_goes_with_the_next(measured: RunFolder) -> None:
    torn = to_csv(TimelineRow, [timeline_row(2)], header=False)
    with (measured.path / "timeline.csv").open("a") as out:
        out.write(torn)
    with (measured.path / "histograms.hlog").open("a") as out:
        out.write(line(2))
    assert measured.timeline()["trial"].tolist() == [1]
    assert [item.tag.trial for item in measured.histograms()] == [1]

    measured.add_trial(trial(3), timeline=[timeline_row(3)], hlog_text=line(3))
    assert torn not in (measured.path / "timeline.csv").read_text()
    assert measured.timeline()["trial"].tolist() == [1, 3]
    assert [item.tag.trial for item in measured.histograms()] == [1, 3]


def test_a_write_that_breaks_leaves_the_old_file_and_nothing_else(
    measured: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in measured.path.iterdir()}

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.results.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        measured.add_trial(trial(2), timeline=[timeline_row(2)])
    assert {path.name: path.read_bytes() for path in measured.path.iterdir()} == before


def test_a_trial_is_added_once_and_with_its_own_rows_only(measured: RunFolder) -> None:
    with pytest.raises(ValueError, match="already"):
        measured.add_trial(trial())
    with pytest.raises(ValueError, match="another trial"):
        measured.add_trial(trial(2), timeline=[timeline_row(1)])


def test_events_are_read_from_the_stubs_own_lines_on_the_trials_clock(measured: RunFolder) -> None:
    logs = measured.logs("monolith", 1)
    logs.mkdir(parents=True)
    (logs / "server.log").write_bytes(
        b'2026-03-01 [Note] InnoDB: something {"t_ns": 1}\n'
        b'{"t_ns": 3500000000, "node": "server", "event": "detected", "of": "x"}\n'
        b'{"t_ns": 2000000000, "node": "server", "event": "started"}\n'
        b'{"t_ns": 99, "node": "ser'
    )
    found = [(event.t_s, event.event, dict(event.fields)) for event in measured.events()]
    assert found == [(1.0, "started", {}), (2.5, "detected", {"of": "x"})]


HEADER = ",".join(column.name for column in columns(TimelineRow))
ROW = to_csv(TimelineRow, [timeline_row()], header=False).strip()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "line 1: the file is empty"),
        (f"{HEADER}\n{ROW}".encode(), "line 2: cut off"),
        (f"{HEADER}\n{ROW}\n{ROW[:30]}\n".encode(), "line 3: 6 cells: expected 21"),
        (f"{HEADER}\n\n".encode(), "line 2: 0 cells"),
        (f"{HEADER}\n{ROW}\n".encode().replace(b"steady", b"st\xffady"), "line 2: byte 0xff is not UTF-8"),
        (f"{HEADER}\n{ROW}\n".encode("utf-16-le"), "binary"),
        (b"\x89PNG\r\n\x1a\n", "line 1: byte 0x89 is not UTF-8"),
        (f"{HEADER}\n{ROW.replace('150', '-150')}\n".encode(), "line 2: column 'offered': .*not negative, got '-150'"),
        (f"{HEADER}\n{ROW}\n{ROW.replace('150', 'nan')}\n".encode(), "line 3: column 'offered'"),
        (f"{HEADER}\n{ROW.replace('150', '150.0')}\n".encode(), "column 'offered': expected a whole number"),
        (f"{HEADER}\n{ROW.replace(',6.0,', ',,')}\n".encode(), "column 'bin_start_s': expected a number, got nothing"),
        (f"{HEADER}\n{ROW.replace('2.5', 'NaN')}\n".encode(), "column 'response_p50_ms': .*got 'NaN'"),
        (f"{HEADER}\n{ROW.replace('2.5', 'inf')}\n".encode(), "column 'response_p50_ms'"),
        (f"{HEADER}\n{ROW.replace('150', '9' * 30)}\n".encode(), "column 'offered'"),
        (f'{HEADER}\n{ROW}\n"{ROW}\n'.encode(), "line 3"),
        (f"{HEADER},extra\n{ROW},1\n".encode(), "line 1: column 'extra' is not known"),
        (f"{HEADER.replace('on_time', 'in_time')}\n{ROW}\n".encode(), "line 1: column 'on_time' is missing"),
    ],
)  # fmt: skip
def test_an_unsound_table_is_refused_in_one_line(measured: RunFolder, content: bytes, says: str) -> None:
    (measured.path / "timeline.csv").write_bytes(content)
    with pytest.raises(RunFolderError, match=says) as caught:
        measured.evidence()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(measured.path / "timeline.csv"))


def test_a_word_that_does_not_belong_is_refused(measured: RunFolder) -> None:
    audit = measured.path / "audit.csv"
    audit.write_text(audit.read_text().replace("complete", "fine"))
    with pytest.raises(RunFolderError, match="column 'verdict': expected one of complete, unknown, violated"):
        measured.audit()
    audit.write_text(audit.read_text().replace("true", "yes"))
    with pytest.raises(RunFolderError, match="column 'drained': expected true or false, got 'yes'"):
        measured.audit()


def test_a_missing_file_is_named(measured: RunFolder) -> None:
    (measured.path / "faults.csv").unlink()
    with pytest.raises(RunFolderError, match=r"faults\.csv: No such file"):
        measured.evidence()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[: len(text) // 2], r"manifest\.json: not JSON"),
        (lambda text: "\xff\x00", r"manifest\.json: not JSON"),
        (lambda text: "[]", "schema_version: expected an integer"),
        (
            lambda text: text.replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 99'),
            "newer threegen",
        ),
        (lambda text: text.replace('"ended": "running"', '"ended": "maybe"'), "ended: Input should be"),
        (lambda text: text.replace('"cores": 2', '"cores": "two"'), "host.cores: Input should be"),
        (lambda text: text.replace('"run":', '"walk":'), "run: "),
    ],
)
def test_an_unsound_manifest_is_refused_in_one_line(folder: RunFolder, change, says: str) -> None:  # type: ignore[no-untyped-def]
    path = folder.path / "manifest.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(RunFolderError, match=says) as caught:
        folder.manifest()
    assert "\n" not in str(caught.value)


def test_a_plan_that_is_no_object_is_refused(folder: RunFolder) -> None:
    folder.write_plan("[1]")
    with pytest.raises(RunFolderError, match=r"plan\.json: expected a JSON object, got list"):
        folder.plan()


def test_runs_are_found_by_path_name_prefix_and_latest(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    runs = []
    for day, name in ((1, "quick"), (2, "quick"), (3, "steady")):
        runs.append(RunFolder.create(tmp_path, name, NOW.replace(day=day)))
        runs[-1].write_manifest(MANIFEST)
    assert list_runs(tmp_path) == runs
    assert find(tmp_path, "latest") == runs[2]
    assert find(tmp_path, "20260302-123005-quick") == runs[1]
    assert find(tmp_path, "20260302") == runs[1]
    assert find(tmp_path, str(runs[0].path)).path == runs[0].path
    for text, says in [("202603", "3 runs begin so"), ("nothing", "no such run"), ("", "run folder")]:
        with pytest.raises(RunFolderError, match=says):
            find(tmp_path, text)
    with pytest.raises(RunFolderError, match="no run in it yet"):
        find(tmp_path / "empty", "latest")
    with pytest.raises(RunFolderError, match=r"no manifest\.json"):
        RunFolder.open(tmp_path / "reference")


def test_the_published_table_is_read_with_its_units() -> None:
    rows = read_published(Path(__file__).parents[2] / "results")
    assert [
        (row.generation, row.throughput_tps, row.response_time_ms, row.recovery_time_s) for row in rows
    ] == [
        ("monolith", 50_000, 800, 43_200),
        ("sharded", 300_000, 300, 1_800),
        ("microservices", 1_000_000, 150, 300),
    ]


def test_the_manifest_is_readable_json_with_the_schema_first(folder: RunFolder) -> None:
    text = (folder.path / "manifest.json").read_text()
    assert list(json.loads(text))[:3] == ["schema_version", "run", "created_utc"]

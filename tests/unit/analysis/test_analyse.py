"""The whole analysis: medians over trials that count, marks on what does not, the same from the folder."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from bench.analysis.analyse import Headline, analyse
from bench.errors import RunFolderError
from bench.evidence import Evidence
from bench.histograms import encode_counts_line
from bench.manifest import Manifest
from bench.records import AuditRow, FaultRow, TelemetryRow, TimelineRow, TouchedRow
from bench.results import RunFolder
from bench.tables import frame, read_rows, to_csv
from tests.unit.analysis.synthetic import PUBLISHED, Outage, Scripted, evidence, with_manifest

INJECTED_S = 21.0


def killed(length_s: float, trial: int = 1, generation: str = "monolith", **more: object) -> Scripted:
    outages = [Outage(INJECTED_S, INJECTED_S + length_s)]
    return Scripted(generation, trial, outages=outages, injected_s=[INJECTED_S], seed=trial, **more)  # type: ignore[arg-type]


def headline(given: Evidence) -> Headline:
    return analyse(given).headlines[0]


def test_figures_are_medians_over_the_trials() -> None:
    trials = [killed(2, 1), killed(9, 2), killed(4, 3)]
    found = headline(evidence(*trials))
    assert (found.trials, found.complete, found.carried) == (3, True, True)
    assert found.time_to_recover_s == pytest.approx(4, abs=0.6)
    assert found.tps == pytest.approx(400, rel=0.05)
    assert found.losses is not None
    assert found.losses.rate_bound == pytest.approx(3 / found.losses.acknowledged)


def test_generations_are_in_the_plans_order_and_compared_with_its_first() -> None:
    given = evidence(killed(4, 1, "sharded", mean_response_ms=8), killed(2, 1, "monolith"))
    found = analyse(
        replace(given, plan={**given.plan, "generations": ["monolith", "sharded", "noop"]}), PUBLISHED
    )
    assert [h.generation for h in found.headlines] == ["monolith", "sharded"]
    cell = found.cell("sharded", "response_p50_ms")
    assert cell is not None
    assert cell.measured_ratio == pytest.approx(2, rel=0.1)


def test_a_trial_that_did_not_recover_is_a_lower_bound_and_not_left_out() -> None:
    found = headline(evidence(killed(2, 1), killed(1000, 2), killed(1000, 3)))
    assert found.recovery_censored
    assert found.time_to_recover_s == pytest.approx(39, abs=0.1)
    found = headline(evidence(killed(2, 1), killed(3, 2), killed(1000, 3)))
    assert not found.recovery_censored
    assert found.time_to_recover_s == pytest.approx(3, abs=0.6)


def test_the_headline_recovery_is_of_every_injection_of_the_first_fault_that_is_no_control() -> None:
    trial = Scripted(
        injected_s=[21.0, 32.0, 45.0], kinds=["none", "kill", "kill"],
        outages=[Outage(32.0, 33.0), Outage(45.0, 48.0)],
    )  # fmt: skip
    found = analyse(evidence(trial))
    assert found.headlines[0].time_to_recover_s == pytest.approx(2, abs=0.3)
    assert [(one.kind, one.injections) for one in found.incidents] == [("kill", 2), ("none", 1)]
    assert found.incidents[0].within_floor == ()


def test_void_trials_are_named_and_never_believed() -> None:
    found = analyse(evidence(killed(2, 1), killed(20, 2, status="void")))
    assert found.headlines[0].trials == 1
    assert found.headlines[0].time_to_recover_s == pytest.approx(2, abs=0.6)
    assert [(trial.trial, trial.status) for trial in found.flawed] == [(2, "void")]
    assert [incident.trials for incident in found.incidents] == [1]
    only_void = analyse(evidence(killed(2, 1, status="void")))
    assert (only_void.headlines[0].tps, only_void.headlines[0].complete) == (None, False)


def test_an_interrupted_trial_counts_only_where_there_is_no_whole_one() -> None:
    found = headline(evidence(killed(2, 1, status="interrupted")))
    assert (found.trials, found.complete) == (1, False)
    assert found.tps is not None
    assert headline(
        evidence(killed(2, 1, status="interrupted"), killed(6, 2))
    ).time_to_recover_s == pytest.approx(6, abs=0.6)


def test_losses_of_all_trials_add_up_and_have_no_bound() -> None:
    found = headline(evidence(killed(2, 1, lost=2), killed(2, 2)))
    assert found.losses is not None
    assert (found.losses.lost, found.losses.verdict, found.losses.rate_bound) == (2, "violated", None)


def test_an_audit_that_is_unknown_gives_no_bound() -> None:
    given = evidence(killed(2, 1))
    audit = given.audit.assign(verdict="unknown", detail="3 addressees were offline")
    found = headline(replace(given, audit=audit))
    assert found.losses is not None
    assert (found.losses.verdict, found.losses.rate_bound) == ("unknown", None)
    assert found.losses.detail == "3 addressees were offline"


def test_a_run_that_measured_nothing_yet_can_be_analysed() -> None:
    given = evidence(killed(2, 1))
    empty = replace(
        with_manifest(given, trials=(), ended="interrupted", reached="starting monolith"),
        timeline=frame(TimelineRow, []), faults=frame(FaultRow, []), telemetry=frame(TelemetryRow, []),
        audit=frame(AuditRow, []), histograms=(), events=(),
    )  # fmt: skip
    found = analyse(empty, PUBLISHED)
    assert (found.headlines, found.summary, found.recovery) == ((), (), ())


def test_a_trial_without_any_rows_has_a_line_and_no_figures() -> None:
    given = evidence(killed(2, 1))
    bare = replace(
        given,
        timeline=frame(TimelineRow, []),
        audit=frame(AuditRow, []),
        histograms=(),
        faults=frame(FaultRow, []),
    )
    found = headline(bare)
    assert (found.tps, found.response_p50_ms, found.losses, found.time_to_recover_s) == (None,) * 4


def test_a_plan_without_stages_is_refused() -> None:
    given = evidence(killed(2, 1))
    with pytest.raises(RunFolderError, match=r"plan\.json: stages"):
        analyse(replace(given, plan={"slo": {"response_ms": 300, "share": 0.99}}))
    with pytest.raises(RunFolderError, match=r"plan\.json: slo"):
        analyse(replace(given, plan={**given.plan, "slo": {}}))


def test_the_folder_alone_gives_the_same_numbers(tmp_path: Path) -> None:
    given = evidence(killed(2, 1), killed(4, 1, "sharded", events=[(21.5, "detected")]))
    folder = RunFolder.create(tmp_path, "quick", datetime(2026, 3, 1, tzinfo=UTC))
    write(folder, given)
    first = analyse(given, PUBLISHED)
    again = analyse(folder.evidence(), PUBLISHED)
    assert again.summary == first.summary
    assert again.headlines == first.headlines
    assert again.cells == first.cells
    assert [replace(row, detected_s=None) for row in again.recovery] == [
        replace(row, detected_s=None) for row in first.recovery
    ]
    folder.write_analysis(
        summary=first.summary, recovery=first.recovery, phases=first.phases, trials=first.trials
    )
    assert folder.manifest().status == "analysed"
    assert len(folder.recovery()) == 2


def write(folder: RunFolder, given: Evidence) -> None:
    """Keep the evidence as the conductor would, trial by trial; its events are left out."""
    manifest: Manifest = replace(given.manifest, trials=())
    folder.write_manifest(manifest)
    folder.write_plan(json.dumps(dict(given.plan)))
    for trial in given.manifest.trials:
        lines = []
        for line in given.histograms:
            if (line.tag.generation, line.tag.trial) == (trial.generation, trial.trial):
                counts = np.zeros(int(line.histogram.index[-1]) + 1, dtype=np.int64)
                counts[line.histogram.index] = line.histogram.count
                lines.append(encode_counts_line(line.tag, line.start_s, line.length_s, counts))

        def of_trial(row_class: type, name: str) -> list:  # type: ignore[type-arg]
            table = getattr(given, name)
            mine = table[(table["generation"] == trial.generation) & (table["trial"] == trial.trial)]  # noqa: B023
            rows = [
                row_class(*row)
                for row in mine.astype(object).where(mine.notna(), None).itertuples(index=False, name=None)
            ]
            return read_rows(row_class, to_csv(row_class, rows).encode(), name)

        folder.add_trial(
            trial,
            timeline=of_trial(TimelineRow, "timeline"),
            faults=of_trial(FaultRow, "faults"),
            telemetry=of_trial(TelemetryRow, "telemetry"),
            audit=of_trial(AuditRow, "audit"),
            touched=of_trial(TouchedRow, "touched"),
            hlog_text="".join(lines),
        )


def test_a_void_trial_is_listed_and_is_in_no_figure() -> None:
    given = evidence(killed(2, 1), killed(9, 2, status="void"))
    found = analyse(given)
    assert {row.trial for row in found.summary} == {row.trial for row in found.recovery} == {1}
    assert [(row.trial, row.status) for row in found.trials] == [(1, "complete"), (2, "void")]
    assert [trial.trial for trial in found.flawed] == [2]

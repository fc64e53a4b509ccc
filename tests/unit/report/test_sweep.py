"""What `bench recovery` prints, line for line."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench.analysis.audit import Losses
from bench.analysis.sweep import Swept
from bench.manifest import Host, Manifest
from bench.records import RecoveryFitRow
from bench.report.sweep import audit_words, show_sweep, size

GOLDEN = Path(__file__).parents[1] / "golden" / "sweep.txt"
MANIFEST = Manifest(
    run="20260301-123005-recovery",
    created_utc="2026-03-01T12:30:05+00:00",
    profile="recovery",
    plan_digest="0",
    host=Host("f00d", "A CPU", 2, 8_000_000_000, "6.1", "Debian 12"),
    versions={},
    ended="interrupted",
    reached="7 of 8 trials, then sharded trial 4, under load",
    kind="recovery",
)
SWEPT = Swept("monolith", "kill", "server", 100_000, 43_200_000, 100, 5, 2.31, False, 2.1, 2.9, False, 0.95)
FIT = RecoveryFitRow(
    generation="monolith",
    against="data_bytes",
    figure="time_to_recover_s",
    points=20,
    censored=1,
    per=1e9,
    slope_s=22.1,
    slope_lower_s=19.8,
    slope_upper_s=24.9,
    at_zero_s=1.4,
    published_recovery_s=43_200.0,
    reached_at=1.95e12,
    reached_at_lower=1.73e12,
    reached_at_upper=2.18e12,
    verdict="projected",
    note="1 of 20 had not recovered and stand where their watch ended",
)
LOSSES = Losses(40_000, 40_000, 0, 0, 3, 0, 0, 1, "complete", "", 0.0001)


def test_the_whole_of_it_is_this() -> None:
    swept = [
        SWEPT,
        replace(
            SWEPT, messages=800_000, data_bytes=345_600_000, median_s=9.4, most_s=31.02, most_censored=True
        ),
        replace(SWEPT, users_online=400, median_s=None, least_s=None, most_s=None, faults=0, replay_s=None),
        replace(
            SWEPT,
            generation="sharded",
            node="shard-0-primary",
            data_bytes=1_234_000_000,
            median_s=30.5,
            median_censored=True,
        ),
    ]
    few = "too few for an interval: points 3, sizes 3, different times 3"
    unseen = replace(FIT, against="users_online", verdict="no dependence seen", note="")
    fits = [
        FIT,
        replace(FIT, figure="replay_s", verdict="not projected", note=""),
        replace(unseen, slope_s=0.02, slope_lower_s=-0.3, slope_upper_s=0.4),
        replace(FIT, generation="sharded", slope_s=None, at_zero_s=None, verdict="not projected", note=few),
    ]
    audits = {"monolith": audit_words(LOSSES), "sharded": audit_words(None)}
    console = Console(width=80, record=True, color_system=None)
    console.print(show_sweep(MANIFEST, swept, fits, audits, Path("results/20260301-123005-recovery")))
    text = "".join(line.rstrip() + "\n" for line in console.export_text().splitlines())
    assert max(map(len, text.splitlines())) <= 80
    assert text == GOLDEN.read_text()


def test_a_sweep_without_a_fault_says_how_far_it_came() -> None:
    console = Console(width=80, record=True, color_system=None)
    console.print(show_sweep(MANIFEST, [], [], {}))
    text = console.export_text()
    assert "Interrupted: 7 of 8 trials" in text
    assert "No fault was measured." in text


def test_sizes_are_read_by_people() -> None:
    assert size("data_bytes", 43_200_000) == "43.2 MB"
    assert size("data_bytes", 1.95e12) == "1.95 TB"
    assert size("users_online", 12_400) == "12,400 people"
    assert size("users_online", 3.1e6) == "3.10 million people"
    assert size("data_bytes", None) == "–"


def test_what_an_audit_found_is_said() -> None:
    assert audit_words(replace(LOSSES, lost=2)) == "of 40,000 acknowledged messages 2 lost, 3 duplicated"
    assert (
        audit_words(replace(LOSSES, verdict="unknown", detail="not drained")) == "audit unknown: not drained"
    )

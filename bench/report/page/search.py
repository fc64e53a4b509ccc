"""A search for capacity as a page: the answers, response time against load, and every trial."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.analysis.capacity import Search
from bench.manifest import Manifest
from bench.records import CapacityRow, CapacityTrialRow
from bench.report.capacity import notes
from bench.report.figures.figure import Figure
from bench.report.format import MISSING, number
from bench.report.page.document import laid_out
from bench.report.page.tables import Grid, Line


def search_document(
    manifest: Manifest,
    plan: Mapping[str, Any],
    answers: Sequence[CapacityRow],
    trials: Sequence[CapacityTrialRow],
    figure: Figure | None,
    script: str,
) -> str:
    """The page. `figure` is response time against load; `script` as in document.py."""
    search = Search.of(plan)
    return laid_out(
        "search.html",
        manifest,
        plan,
        [figure] if figure is not None else [],
        script,
        answers=_answers(answers),
        notes=notes(search, answers, trials),
        figure=figure,
        tried=_tried(trials),
        settings=_settings(search),
    )


def _answers(answers: Sequence[CapacityRow]) -> Grid:
    return Grid(
        ("", "goal", "met at", "not met at", "trials", "believed"),
        tuple(
            Line(
                row.generation + (f", {row.down} down" if row.down else ""),
                (
                    row.goal,
                    number(row.lower_per_s),
                    number(row.upper_per_s),
                    str(row.trials),
                    row.believed,
                ),
            )
            for row in answers
        ),
    )


def _tried(trials: Sequence[CapacityTrialRow]) -> Grid:
    return Grid(
        ("", "for", "1/s", "achieved", "p50, ms", "p99, ms", "what came of it"),
        tuple(
            Line(
                f"{row.generation} {row.trial}",
                (
                    row.purpose,
                    number(row.rate_per_s),
                    f"{row.achieved_ratio * 100:.1f} %",
                    MISSING if row.void else number(row.response_p50_ms),
                    MISSING if row.void else number(row.response_p99_ms),
                    _outcome(row),
                ),
            )
            for row in trials
        ),
    )


def _outcome(row: CapacityTrialRow) -> str:
    if row.void:
        return f"void: {row.why}"
    if row.failed_goals == 0:
        return "all goals met"
    return f"{row.failed_goals} goals missed" + (f": {row.why}" if row.why else "")


def _settings(search: Search) -> Grid:
    said = (
        ("goals", ", ".join(search.names)),
        ("share that must be on time", f"{search.share * 100:g} %"),
        ("rates", f"{number(search.lowest_per_s)} to {number(search.highest_per_s)} 1/s"),
        ("a trial", f"{search.trial_s:g} s after {search.warmup_s:g} s of warm-up"),
        ("each rate in all", f"{search.total_s:g} s"),
        ("bounds at the end", f"within {search.width * 100:g} % of each other"),
        ("down throughout", search.down or "nothing"),
    )
    return Grid(("", ""), tuple(Line(name, (value,)) for name, value in said))

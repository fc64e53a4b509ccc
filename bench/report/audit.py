"""What a run's audits found: counts by generation, and the first few messages of each kind by name."""

from collections.abc import Sequence

from rich.console import RenderableType

from bench.analysis.analyse import Analysis
from bench.analysis.audit import Blamed, Losses
from bench.records import FINDING_KINDS
from bench.report.format import bound, count
from bench.report.prose import item, section

MOST_NAMED = 3
"""Messages of each kind that are named."""


def audit_section(analysis: Analysis) -> list[RenderableType]:
    """A line a generation, with its bound where nothing was lost, and the first few findings beneath."""
    lines: list[RenderableType] = []
    for headline in analysis.headlines:
        if headline.losses is not None:
            lines.append(item(f"{headline.generation}: {_audit(headline.losses)}"))
            lines += _named([f for f in analysis.findings if f.generation == headline.generation])
    return [section("Acknowledged messages, over all phases"), *lines] if lines else []


def _audit(losses: Losses) -> str:
    text = f"{count(losses.lost)} of {count(losses.acknowledged)} lost"
    if losses.rate_bound is not None:
        text += f": rate ≤ {bound(losses.rate_bound)} at 95 %"
    for name in ("phantom", "corrupt", "duplicated", "reordered", "rescued"):
        number_of = getattr(losses, name)
        if number_of:
            text += f", {count(number_of)} {name}{_more(losses, name)}"
    if losses.verdict == "unknown":
        text += "; unknown, as not all was accounted for"
        text += f" ({losses.detail})" if losses.detail else ""
    return text


def _more(losses: Losses, name: str) -> str:
    """How duplicates divide, and how far the reordered were out of place."""
    if name == "duplicated" and losses.duplicated_by_resend is not None:
        again, server = losses.duplicated_by_resend, losses.duplicated_by_server or 0
        return f" ({count(again)} sent again by their clients, {count(server)} by the server)"
    if name == "reordered" and losses.largest_displacement:
        many = losses.largest_displacement
        return f" (by {count(many)} place{'s' if many > 1 else ''} at most)"
    return ""


def _named(findings: Sequence[Blamed]) -> list[RenderableType]:
    """The first few messages of each kind that the audit found fault with."""
    lines: list[RenderableType] = []
    for kind in FINDING_KINDS:
        own = [finding for finding in findings if finding.finding == kind]
        lines += [item(f"{kind}: {_finding(finding)}", indent="    ") for finding in own[:MOST_NAMED]]
        if len(own) > MOST_NAMED:
            more = f"{kind}: {count(len(own) - MOST_NAMED)} more in audit_findings.csv"
            lines.append(item(more, indent="    "))
    return lines


def _finding(finding: Blamed) -> str:
    where = f"{finding.phase} phase" if finding.phase else "attempted by nobody"
    if finding.intended_s is not None:
        where += f" at {finding.intended_s:.2f} s"
    people = f"{finding.sender or 'nobody'} → {finding.target}"
    said = [finding.message_id, people, f"trial {finding.trial}", where, finding.blame, finding.detail]
    return ", ".join(part for part in said if part)

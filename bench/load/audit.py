"""The rows in which an audit ends, its verdict, and the naming of what it found.

Pure: a ledger (ledger.py) counts, the counts of several load processes are added up, and this says what
they come to.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from bench.load.drain import Drained
from bench.records import FINDING_KINDS, AuditFindingRow, AuditRow

FIRST_NAMED = 3
"""Of each kind, in a row's detail."""


class Audit(NamedTuple):
    """What the audit comes to: a row a phase and one of all, and those found fault with, by name."""

    rows: Sequence[AuditRow]
    findings: Sequence[AuditFindingRow]


_SUMMED = (
    *("attempted", "acknowledged", "refused", "unknown", "delivered", "lost", "rescued", "duplicated"),
    *("reordered", "corrupt", "duplicated_by_resend", "duplicated_by_server"),
)


def ordered(findings: Iterable[AuditFindingRow]) -> Sequence[AuditFindingRow]:
    """Gravest kind first, then by intended start; phantoms, which have none, as they stand."""
    return sorted(findings, key=lambda row: (FINDING_KINDS.index(row.finding), row.intended_s or 0.0))


def summed(
    rows: Sequence[AuditRow],
    generation: str,
    trial: int,
    drained: Drained,
    findings: Sequence[AuditFindingRow],
    *,
    phase: str = "all",
    phantom: int | None = None,
    resent: int | None = None,
) -> AuditRow:
    """These rows as one; phantoms and resends, that no single phase knows, are theirs where not given."""
    counts = {name: sum(getattr(row, name) for row in rows) for name in _SUMMED}
    displacement = max((row.largest_displacement or 0 for row in rows), default=0)
    return judged(
        generation,
        trial,
        phase,
        counts,
        displacement,
        drained,
        findings,
        phantom=sum(row.phantom for row in rows) if phantom is None else phantom,
        resent=sum(row.resent for row in rows) if resent is None else resent,
    )


def judged(
    generation: str,
    trial: int,
    phase: str,
    counts: Mapping[str, int],
    displacement: int,
    drained: Drained,
    findings: Sequence[AuditFindingRow],
    *,
    phantom: int = 0,
    resent: int = 0,
) -> AuditRow:
    """One row with its verdict, from its counts by column and the findings of all phases."""
    here = [row for row in findings if phase in ("all", row.phase)]
    return AuditRow(
        generation=generation,
        trial=trial,
        phase=phase,
        phantom=phantom,
        resent=resent,
        drained=drained.done,
        verdict=_verdict(counts["lost"], phantom, counts["corrupt"], drained.done),
        detail="; ".join(part for part in (drained.detail, _naming(here)) if part),
        largest_displacement=displacement,
        collected=drained.collected,
        quiet_s=drained.quiet_s,
        quiet_by=drained.quiet_by,
        **counts,
    )


def _naming(findings: Sequence[AuditFindingRow]) -> str:
    """The first few of each kind by id, as in `lost 1f.0.2.0.5.3e8.77; duplicated …`."""
    said = []
    for kind in FINDING_KINDS:
        named = list(dict.fromkeys(row.message_id for row in findings if row.finding == kind))
        if named:
            more = ", …" if len(named) > FIRST_NAMED else ""
            said.append(f"{kind} {', '.join(named[:FIRST_NAMED])}{more}")
    return "; ".join(said)


def _verdict(
    lost: int, phantom: int, corrupt: int, drained: bool
) -> Literal["complete", "violated", "unknown"]:
    violated = phantom > 0 or corrupt > 0 or (lost > 0 and drained)
    return "violated" if violated else "complete" if drained else "unknown"

"""What the audit says of trials together, whether their figures may stand on it, and what faults it blames.

A verdict is about messages, and gates figures: a system that loses messages has no capacity and is better
than no other. A trial whose audit is unknown proves nothing either way.

A message is blamed on the fault that was active at its intended start, the latest where several were; else on
one that struck within the timeout after it, while it may have been under way; else on the last before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.manifest import Trial


@dataclass(frozen=True, slots=True)
class Losses:
    """The audits of one generation's trials, added up. `verdict` is the worst of them.

    `rate_bound` is the highest rate of loss that zero losses in `acknowledged` leave possible at 95 %
    (3/n, the rule of three); None where there are losses, or nothing was acknowledged. How duplicates divide
    and the largest displacement are None in runs of schema version 1 and 2.
    """

    acknowledged: int
    delivered: int
    lost: int
    phantom: int
    duplicated: int
    reordered: int
    corrupt: int
    rescued: int
    verdict: str
    detail: str
    rate_bound: float | None
    duplicated_by_resend: int | None = None
    duplicated_by_server: int | None = None
    largest_displacement: int | None = None


def losses(audit: pd.DataFrame, trials: Sequence[Trial]) -> Losses | None:
    """The `all` rows of these trials' audits added up; None where there is none."""
    keys = {(trial.generation, trial.trial) for trial in trials}
    rows = audit[audit["phase"] == "all"]
    rows = rows[[key in keys for key in zip(rows["generation"], rows["trial"], strict=True)]]
    if rows.empty:
        return None
    verdicts = set(rows["verdict"])
    worst = next(v for v in ("violated", "unknown", "complete") if v in verdicts)
    details = rows.loc[rows["verdict"] == worst, "detail"]
    acknowledged, lost = int(rows["acknowledged"].sum()), int(rows["lost"].sum())
    return Losses(
        acknowledged=acknowledged,
        delivered=int(rows["delivered"].sum()),
        lost=lost,
        phantom=int(rows["phantom"].sum()),
        duplicated=int(rows["duplicated"].sum()),
        reordered=int(rows["reordered"].sum()),
        corrupt=int(rows["corrupt"].sum()),
        rescued=int(rows["rescued"].sum()),
        verdict=worst,
        detail=next((str(text) for text in details if text), ""),
        rate_bound=min(3 / acknowledged, 1.0) if acknowledged and not lost and worst != "unknown" else None,
        duplicated_by_resend=_added(rows["duplicated_by_resend"]),
        duplicated_by_server=_added(rows["duplicated_by_server"]),
        largest_displacement=_highest(rows["largest_displacement"]),
    )


def _added(column: pd.Series) -> int | None:
    return None if column.isna().any() else int(column.sum())


def _highest(column: pd.Series) -> int | None:
    return None if column.isna().any() else int(column.max())


def gate(found: Losses | None) -> str:
    """Why nothing good may be concluded from trials with these audits, in a few words; empty where it may."""
    if found is None:
        return "no audit"
    return objection(found.verdict, found.lost, found.phantom, found.corrupt, found.detail)


def objection(verdict: str, lost: int, phantom: int, corrupt: int, detail: str) -> str:
    """What an audit with this verdict and these counts speaks against, in a few words; empty for nothing."""
    if verdict == "unknown":
        return f"audit unknown: {detail or 'not all was accounted for'}"
    if verdict != "violated":
        return ""
    counts = ((lost, "acknowledged messages lost"), (phantom, "phantom"), (corrupt, "corrupt"))
    return ", ".join(f"{count:,} {word}" for count, word in counts if count)


@dataclass(frozen=True, slots=True)
class Blamed:
    """A message that the audit found fault with, as audit_findings.csv names it, and its blame in words.

    `blame` is empty where no fault was near, else `during kill server (fault 1)` and the like.
    """

    generation: str
    trial: int
    finding: str
    message_id: str
    sender: str
    target: str
    phase: str
    intended_s: float | None
    detail: str
    blame: str


@dataclass(frozen=True, slots=True)
class Struck:
    """One fault that took hold; `healed_s` is None where nobody had to heal it, or did."""

    fault: int
    name: str
    injected_s: float
    healed_s: float | None


def blamed(
    findings: pd.DataFrame | None, faults: pd.DataFrame, trials: Sequence[Trial], timeout_s: float
) -> tuple[Blamed, ...]:
    """The findings of these trials with their blame, in the order of the file."""
    if findings is None:
        return ()
    keys = {(trial.generation, trial.trial) for trial in trials}
    struck = _struck(faults)
    made = []
    for row in findings.itertuples(index=False):
        key = (str(row.generation), int(row.trial))  # type: ignore[arg-type]
        if key not in keys:
            continue
        intended_s = None if pd.isna(row.intended_s) else float(row.intended_s)  # type: ignore[arg-type]
        words = (str(row.finding), str(row.message_id), str(row.sender), str(row.target), str(row.phase))
        blame = "" if intended_s is None else blame_of(intended_s, struck.get(key, ()), timeout_s)
        made.append(Blamed(*key, *words, intended_s, str(row.detail), blame))
    return tuple(made)


def blame_of(intended_s: float, faults: Sequence[Struck], timeout_s: float) -> str:
    """The fault that a message of this intended start is blamed on, in words; empty for none."""
    before = [fault for fault in faults if fault.injected_s <= intended_s]
    active = [fault for fault in before if fault.healed_s is not None and intended_s < fault.healed_s]
    if active:
        last = max(active, key=lambda fault: fault.injected_s)
        return f"during {last.name} (fault {last.fault})"
    soon = [fault for fault in faults if intended_s < fault.injected_s <= intended_s + timeout_s]
    if soon:
        first = min(soon, key=lambda fault: fault.injected_s)
        return f"{first.injected_s - intended_s:.2f} s before {first.name} (fault {first.fault})"
    if before:
        last = max(before, key=lambda fault: fault.injected_s)
        return f"{intended_s - last.injected_s:.2f} s after {last.name} (fault {last.fault})"
    return ""


def _struck(faults: pd.DataFrame) -> dict[tuple[str, int], list[Struck]]:
    """By trial, the faults that were injected, confirmed or not; a control that does nothing is none."""
    heals: dict[tuple[Any, ...], Any] = {
        (row.generation, row.trial, row.fault): row.completed_s
        for row in faults[faults["step"] == "heal"].itertuples(index=False)
    }
    found: dict[tuple[str, int], list[Struck]] = {}
    injected = faults[(faults["step"] == "inject") & (faults["kind"] != "none")]
    for row in injected.itertuples(index=False):
        healed_s = heals.get((row.generation, row.trial, row.fault))
        struck = Struck(
            int(row.fault),  # type: ignore[arg-type]
            f"{row.kind} {row.node}".strip(),
            float(row.invoked_s),  # type: ignore[arg-type]
            None if healed_s is None or pd.isna(healed_s) else float(healed_s),
        )
        found.setdefault((str(row.generation), int(row.trial)), []).append(struck)  # type: ignore[arg-type]
    return found

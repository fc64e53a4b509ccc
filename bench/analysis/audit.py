"""What the audit says of trials together, and whether their figures may stand on it.

A verdict is about messages, and gates figures: a system that loses messages has no capacity and is better
than no other. A trial whose audit is unknown proves nothing either way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.manifest import Trial


@dataclass(frozen=True, slots=True)
class Losses:
    """The audits of one generation's trials, added up. `verdict` is the worst of them.

    `rate_bound` is the highest rate of loss that zero losses in `acknowledged` leave possible at 95 %
    (3/n, the rule of three); None where there are losses, or nothing was acknowledged.
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
    )


def gate(found: Losses | None) -> str:
    """Why nothing good may be concluded from trials with these audits, in a few words; empty where it may."""
    if found is None:
        return "no audit"
    if found.lost and found.verdict == "violated":
        return f"{found.lost:,} acknowledged messages lost"
    if found.verdict == "violated":
        return f"audit violated: {found.phantom:,} phantom, {found.corrupt:,} corrupt messages"
    if found.verdict == "unknown":
        return f"audit unknown: {found.detail or 'not all was accounted for'}"
    return ""

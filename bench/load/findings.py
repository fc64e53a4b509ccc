"""What a ledger found fault with, message by message, so that each can be named."""

from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple

from bench.load.message_id import MessageId, parties
from bench.records import FINDING_KINDS, AuditFindingRow, FindingKind

MOST_NAMED = 10_000
"""Findings of each kind that are kept and named; the ledger counts all."""


class Finding(NamedTuple):
    """A message found fault with; `sequence` is -1 where it is nobody's."""

    kind: FindingKind
    message_id: str
    sequence: int
    sender: str
    target: str
    detail: str


class Findings:
    """Those of one load process; there are `people` persons in all."""

    def __init__(self, people: int) -> None:
        self._people = people
        self._kept: dict[FindingKind, list[Finding]] = {kind: [] for kind in FINDING_KINDS}
        self.phantoms = 0

    def phantom(self, text: str, sender: str, addressee: int, detail: str) -> None:
        """Something reached person `addressee` that nobody had sent them."""
        self.phantoms += 1
        self._keep(Finding("phantom", text[:80], -1, sender, f"u{addressee}", detail))

    def note(self, kind: FindingKind, text: str, sequence: int, addressee: int, detail: str = "") -> None:
        """One of our own messages did not reach person `addressee` as it should have."""
        if len(self._kept[kind]) < MOST_NAMED:
            sender, target = parties_of(text, self._people)
            if target != f"u{addressee}":
                detail = f"at u{addressee}" + (f", {detail}" if detail else "")
            self._keep(Finding(kind, text, sequence, sender, target, detail))

    def rows(
        self,
        generation: str,
        trial: int,
        lost: Iterable[Finding],
        phase_of: Callable[[int], str],
        sent_again: Container[int],
    ) -> Iterator[AuditFindingRow]:
        """Those that were noted, and the lost, in no order.

        `phase_of` a sequence; `sent_again` are the sequences that their clients sent more than once.
        """
        for found in (*lost, *(one for kept in self._kept.values() for one in kept)):
            parsed = MessageId.parse(found.message_id) if found.sequence >= 0 else None
            detail = found.detail
            if found.kind == "duplicated":
                by = f"sent {'again' if found.sequence in sent_again else 'once'} by its client"
                detail = f"{detail}, {by}" if detail else by
            yield AuditFindingRow(
                generation=generation,
                trial=trial,
                finding=found.kind,
                message_id=found.message_id,
                sender=found.sender,
                target=found.target,
                phase="" if parsed is None else phase_of(found.sequence),
                intended_s=None if parsed is None else parsed.intended_us / 1e6,
                detail=detail,
            )

    def _keep(self, found: Finding) -> None:
        kept = self._kept[found.kind]
        if len(kept) < MOST_NAMED:
            kept.append(found)


def parties_of(text: str, people: int) -> tuple[str, str]:
    """Sender and target of one of our own messages, by its id."""
    parsed = MessageId.parse(text)
    assert parsed is not None
    return parties(parsed.conversation, people)

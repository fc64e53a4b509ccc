"""The producer's side of the audit: what was attempted, how it was answered, and what arrived.

One byte of flags a message, indexed by the message's sequence: exact, with no window, whatever the
length of the run. Everything is judged from the arriving id and body alone.
"""

from bisect import bisect_right

import numpy as np

from bench.load.message_id import MessageId, conversation, crc_of
from bench.records import AuditRow

ACKNOWLEDGED, REFUSED, DELIVERED, DUPLICATED, REORDERED, CORRUPT = (1 << bit for bit in range(6))


class Ledger:
    """The journal of one load process in one trial. `people` is how many persons there are."""

    def __init__(self, run: int, producer: int, people: int) -> None:
        self._run = run
        self._producer = producer
        self._people = people
        self._flags = bytearray()
        self._phases: list[str] = []
        self._phase_starts: list[int] = []
        self._latest: dict[int, int] = {}
        self._extra_deliveries: list[int] = []
        self.phantoms = 0

    @property
    def attempted(self) -> int:
        """How many messages were attempted; the next one's sequence."""
        return len(self._flags)

    def attempt(self, phase: str, sender: int, addressee: int, intended_us: int, crc: int) -> MessageId:
        """Journal a message before it is sent, and give it its id. Phases must come in order."""
        sequence = len(self._flags)
        if not self._phases or self._phases[-1] != phase:
            self._phases.append(phase)
            self._phase_starts.append(sequence)
        self._flags.append(0)
        talk = conversation(sender, addressee, self._people)
        return MessageId(self._run, self._producer, talk, sequence, intended_us, crc)

    def acknowledge(self, sequence: int) -> None:
        """The server took responsibility for it."""
        self._flags[sequence] |= ACKNOWLEDGED

    def refuse(self, sequence: int) -> None:
        """The server said no to it."""
        self._flags[sequence] |= REFUSED

    def deliver(self, text: str, sender: str, addressee: int, body: str) -> MessageId | None:
        """Journal an arrival at person `addressee`; the id where it was this message's first, else None."""
        parsed = MessageId.parse(text)
        if (
            parsed is None
            or parsed.run != self._run
            or parsed.producer != self._producer
            or not 0 <= parsed.sequence < len(self._flags)
            or parsed.conversation % self._people != addressee
            or sender != f"u{parsed.conversation // self._people}"
        ):
            self.phantoms += 1
            return None
        flags = self._flags[parsed.sequence]
        if flags & DELIVERED:
            self._flags[parsed.sequence] = flags | DUPLICATED
            self._extra_deliveries.append(parsed.sequence)
            return None
        flags |= DELIVERED
        if crc_of(body) != parsed.crc:
            flags |= CORRUPT
        if self._latest.get(parsed.conversation, -1) > parsed.sequence:
            flags |= REORDERED
        else:
            self._latest[parsed.conversation] = parsed.sequence
        self._flags[parsed.sequence] = flags
        return parsed

    def audit(
        self, generation: str, trial: int, *, resent: int, drained: bool, detail: str
    ) -> list[AuditRow]:
        """A row a phase, in order, then phase `all`, which alone knows phantoms and resends."""
        flags = np.frombuffer(bytes(self._flags), dtype=np.uint8)
        ends = [*self._phase_starts[1:], len(flags)][: len(self._phases)]
        extra = np.zeros(len(self._phases), dtype=int)
        for sequence in self._extra_deliveries:
            extra[bisect_right(self._phase_starts, sequence) - 1] += 1
        rows = [
            self._row(generation, trial, phase, flags[start:end], int(again), 0, 0, drained, detail)
            for phase, start, end, again in zip(self._phases, self._phase_starts, ends, extra, strict=True)
        ]
        whole = self._row(
            generation, trial, "all", flags, int(extra.sum()), self.phantoms, resent, drained, detail
        )
        return [*rows, whole]

    @staticmethod
    def _row(
        generation: str,
        trial: int,
        phase: str,
        flags: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]",
        duplicated: int,
        phantom: int,
        resent: int,
        drained: bool,
        detail: str,
    ) -> AuditRow:
        def count(mask: int, wanted: int) -> int:
            return int(np.count_nonzero((flags & mask) == wanted))

        lost = count(ACKNOWLEDGED | DELIVERED, ACKNOWLEDGED)
        corrupt = count(CORRUPT, CORRUPT)
        violated = phantom > 0 or corrupt > 0 or (lost > 0 and drained)
        return AuditRow(
            generation=generation,
            trial=trial,
            phase=phase,
            attempted=len(flags),
            acknowledged=count(ACKNOWLEDGED, ACKNOWLEDGED),
            refused=count(ACKNOWLEDGED | REFUSED, REFUSED),
            unknown=count(ACKNOWLEDGED | REFUSED, 0),
            delivered=count(DELIVERED, DELIVERED),
            lost=lost,
            phantom=phantom,
            rescued=count(ACKNOWLEDGED | DELIVERED, DELIVERED),
            duplicated=duplicated,
            reordered=count(REORDERED, REORDERED),
            corrupt=corrupt,
            resent=resent,
            drained=drained,
            verdict="violated" if violated else "complete" if drained else "unknown",
            detail=detail,
        )


def sequence_of(text: str) -> int:
    """The sequence in an id that this process made itself."""
    return int(text.split(".", 4)[3], 16)

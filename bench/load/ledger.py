"""The producer's side of the audit: what was attempted, how it was answered, and whom it reached.

One byte of flags a message, indexed by its sequence: exact, with no window. Messages whose story has
ended well, acknowledged and with everybody they were for, are let go in blocks and remembered as
counts, so memory stays flat; one that comes again after that is still known to be a duplicate. Everything
is judged from the arriving id and body alone.

With several load processes a message may arrive at another one than its producer's. That one keeps it
in `elsewhere`, and it is handed on to its producer's ledger, which alone decides.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.load.message_id import MessageId, conversation, crc_of, group_conversation
from bench.records import AuditRow

ATTEMPTED, ACKNOWLEDGED, REFUSED, DELIVERED, DUPLICATED, REORDERED, CORRUPT = (1 << bit for bit in range(7))
ENDED_WELL = ATTEMPTED | ACKNOWLEDGED | DELIVERED
BLOCK = 4_096


class Arrival(NamedTuple):
    """A message of another producer that reached person `addressee` here."""

    producer: int
    conversation: int
    sequence: int
    addressee: int
    corrupt: bool


class Ledger:
    """The journal of one load process, number `producer` of `producers`, in one trial.

    `people` is how many persons there are in all, `groups` the sorted members of each group.
    """

    def __init__(
        self,
        run: int,
        people: int,
        groups: Sequence[Sequence[int]] = (),
        *,
        producer: int = 0,
        producers: int = 1,
    ) -> None:
        self._producer = producer
        self._producers = producers
        self._run = run
        self._people = people
        self._groups = groups
        self._first_group = people * people
        self._prefix = f"{run:x}.{producer:x}."
        self._blocks: list[bytearray | None] = []
        self._closed = 0
        self._next = 0
        self._phases: list[str] = []
        self._phase_starts: list[int] = []
        self._ended_well: dict[str, int] = {}
        self._latest: dict[int, int] = {}
        self._latest_in_group: dict[int, array[int]] = {}
        self._reached: dict[int, bytearray] = {}
        self._extra_deliveries: list[int] = []
        self.elsewhere: list[Arrival] = []
        self.phantoms = 0

    def enter(self, phase: str) -> None:
        """The messages attempted from now on are of `phase`; phases come in order."""
        self._phases.append(phase)
        self._phase_starts.append(self._next)

    def attempt(
        self, sequence: int, sender: int, target: int, intended_us: int, crc: int, group: bool
    ) -> str:
        """Journal a message before it is sent; its id. Sequences must rise, some may be left out.

        `target` is the addressee, or the group, of which the sender is a member.
        """
        self._next = sequence + 1
        number = sequence >> 12
        while number >= len(self._blocks):
            self._blocks.append(bytearray(BLOCK))
        block = self._blocks[number]
        assert block is not None
        block[sequence & 4095] = ATTEMPTED
        if group:
            talk = group_conversation(sender, target, self._people)
        else:
            talk = conversation(sender, target, self._people)
        # A third quicker than an f-string, and there is one of these for every message.
        return "%s%x.%x.%x.%x" % (self._prefix, talk, sequence, intended_us, crc)  # noqa: UP031

    def acknowledge(self, sequence: int) -> None:
        """The server took responsibility for it."""
        block = self._blocks[sequence >> 12]  # `_mark`, spelt out: there is one of these for every message
        if block is not None:
            block[sequence & 4095] |= ACKNOWLEDGED

    def refuse(self, sequence: int) -> None:
        """The server said no to it."""
        self._mark(sequence, REFUSED)

    def deliver(self, text: str, sender: str, addressee: int, body: str, group: str) -> int | None:
        """Journal an arrival at person `addressee`: its intended start in µs if it was the first, or None.

        The first at this person; of another producer's messages each counts as a first.
        """
        parsed = MessageId.parse(text)
        if parsed is None or not self._is_for(parsed, sender, addressee, group):
            self.phantoms += 1
            return None
        corrupt = crc_of(body) != parsed.crc
        if parsed.producer != self._producer:
            self.elsewhere.append(
                Arrival(parsed.producer, parsed.conversation, parsed.sequence, addressee, corrupt)
            )
            return parsed.intended_us
        first = self.arrived(parsed.conversation, parsed.sequence, addressee, corrupt=corrupt)
        return parsed.intended_us if first else None

    def arrived(self, talk: int, sequence: int, addressee: int, *, corrupt: bool) -> bool:
        """Journal an arrival of an own message, here or elsewhere; whether it was the addressee's first."""
        if not 0 <= sequence < self._next:
            self.phantoms += 1
            return False
        block = self._blocks[sequence >> 12]
        if block is None:  # ended well, long ago
            self._extra_deliveries.append(sequence)
            return False
        place = sequence & 4095
        flags = block[place]
        if not flags & ATTEMPTED:
            self.phantoms += 1
            return False
        if talk >= self._first_group:
            return self._arrived_in_group(block, place, talk, sequence, addressee, corrupt=corrupt)
        if flags & DELIVERED:
            block[place] = flags | DUPLICATED
            self._extra_deliveries.append(sequence)
            return False
        if self._latest.get(talk, -1) > sequence:
            flags |= REORDERED
        else:
            self._latest[talk] = sequence
        block[place] = flags | DELIVERED | (CORRUPT if corrupt else 0)
        return True

    def tidy(self) -> None:
        """Let go of whole blocks in which every message has ended well."""
        for number in range(self._closed, (self._next >> 12)):
            block = self._blocks[number]
            if block is None:
                continue
            flags = np.frombuffer(block, dtype=np.uint8)
            if not np.all((flags == ENDED_WELL) | (flags == 0)):
                continue
            start = number * BLOCK
            for phase, low, high in self._spans(start, start + BLOCK):
                ended = int(np.count_nonzero(flags[low - start : high - start]))
                self._ended_well[phase] = self._ended_well.get(phase, 0) + ended
            self._blocks[number] = None
        while self._closed < len(self._blocks) and self._blocks[self._closed] is None:
            self._closed += 1

    def audit(
        self, generation: str, trial: int, *, resent: int, drained: bool, detail: str
    ) -> list[AuditRow]:
        """A row a phase, in order, then phase `all`, which alone knows phantoms and resends."""
        self._extra_deliveries.sort()
        rows = []
        for phase, start, end in self._spans(0, self._next):
            again = bisect_left(self._extra_deliveries, end) - bisect_left(self._extra_deliveries, start)
            rows.append(
                self._row(generation, trial, phase, start, end, again, drained=drained, detail=detail)
            )
        return [*rows, summed(rows, generation, trial, self.phantoms, resent, drained=drained, detail=detail)]

    def _is_for(self, parsed: MessageId, sender: str, addressee: int, group: str) -> bool:
        """Whether a message of this run with this id may come to this person from there."""
        if parsed.run != self._run or not 0 <= parsed.producer < self._producers:
            return False
        if parsed.conversation < self._first_group:
            number, expected = divmod(parsed.conversation, self._people)
            return not group and expected == addressee and sender == f"u{number}"
        at, number = divmod(parsed.conversation - self._first_group, self._people)
        if at >= len(self._groups) or group != f"g{at}" or sender != f"u{number}" or addressee == number:
            return False
        members = self._groups[at]
        place = bisect_left(members, addressee)
        return place < len(members) and members[place] == addressee

    def _arrived_in_group(
        self, block: bytearray, place: int, talk: int, sequence: int, addressee: int, *, corrupt: bool
    ) -> bool:
        members = self._groups[(talk - self._first_group) // self._people]
        member = bisect_left(members, addressee)
        flags = block[place]
        reached = self._reached.get(sequence)
        if reached is None and not flags & DELIVERED:
            reached = self._reached[sequence] = bytearray(len(members))
        if reached is None or reached[member]:
            block[place] = flags | DUPLICATED
            self._extra_deliveries.append(sequence)
            return False
        reached[member] = 1
        latest = self._latest_in_group.get(talk)
        if latest is None:
            latest = self._latest_in_group[talk] = array("q", [-1]) * len(members)
        if latest[member] > sequence:
            flags |= REORDERED
        else:
            latest[member] = sequence
        if sum(reached) == len(members) - 1:  # all but the sender
            flags |= DELIVERED
            del self._reached[sequence]
        block[place] = flags | (CORRUPT if corrupt else 0)
        return True

    def _mark(self, sequence: int, flag: int) -> None:
        block = self._blocks[sequence >> 12]
        if block is not None:
            block[sequence & 4095] |= flag

    def _spans(self, start: int, end: int) -> list[tuple[str, int, int]]:
        """The stretches of `start` to `end` by phase, with those that are empty left out."""
        ends = [*self._phase_starts, self._next][1:]
        spans = zip(self._phases, self._phase_starts, ends, strict=True)
        cut = [(phase, max(low, start), min(high, end)) for phase, low, high in spans]
        return [span for span in cut if span[1] < span[2]]

    def _flags(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        """The flags of the messages that have not been let go."""
        parts = []
        for number in range(start // BLOCK, (end + BLOCK - 1) // BLOCK):
            block = self._blocks[number] if number < len(self._blocks) else None
            if block is not None:
                low, high = max(start - number * BLOCK, 0), min(end - number * BLOCK, BLOCK)
                parts.append(np.frombuffer(bytes(block[low:high]), dtype=np.uint8))
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint8)

    def _row(
        self,
        generation: str,
        trial: int,
        phase: str,
        start: int,
        end: int,
        duplicated: int,
        *,
        drained: bool,
        detail: str,
    ) -> AuditRow:
        flags = self._flags(start, end)
        well = self._ended_well.get(phase, 0)

        def count(mask: int, wanted: int) -> int:
            return int(np.count_nonzero((flags & mask) == wanted))

        lost = count(ACKNOWLEDGED | DELIVERED, ACKNOWLEDGED)
        corrupt = count(CORRUPT, CORRUPT)
        return AuditRow(
            generation=generation,
            trial=trial,
            phase=phase,
            attempted=count(ATTEMPTED, ATTEMPTED) + well,
            acknowledged=count(ACKNOWLEDGED, ACKNOWLEDGED) + well,
            refused=count(ACKNOWLEDGED | REFUSED, REFUSED),
            unknown=count(ATTEMPTED | ACKNOWLEDGED | REFUSED, ATTEMPTED),
            delivered=count(DELIVERED, DELIVERED) + well,
            lost=lost,
            phantom=0,
            rescued=count(ACKNOWLEDGED | DELIVERED, DELIVERED),
            duplicated=duplicated,
            reordered=count(REORDERED, REORDERED),
            corrupt=corrupt,
            resent=0,
            drained=drained,
            verdict=_verdict(lost, 0, corrupt, drained),
            detail=detail,
        )


_SUMMED = (
    *("attempted", "acknowledged", "refused", "unknown", "delivered", "lost", "rescued", "duplicated"),
    *("reordered", "corrupt"),
)


def summed(
    rows: Sequence[AuditRow],
    generation: str,
    trial: int,
    phantom: int,
    resent: int,
    *,
    phase: str = "all",
    drained: bool,
    detail: str,
) -> AuditRow:
    """These rows as one, with the phantoms and resends that no single phase knows."""
    sums = {name: sum(getattr(row, name) for row in rows) for name in _SUMMED}
    return AuditRow(
        generation=generation,
        trial=trial,
        phase=phase,
        phantom=phantom,
        resent=resent,
        drained=drained,
        verdict=_verdict(sums["lost"], phantom, sums["corrupt"], drained),
        detail=detail,
        **sums,
    )


def _verdict(
    lost: int, phantom: int, corrupt: int, drained: bool
) -> Literal["complete", "violated", "unknown"]:
    violated = phantom > 0 or corrupt > 0 or (lost > 0 and drained)
    return "violated" if violated else "complete" if drained else "unknown"

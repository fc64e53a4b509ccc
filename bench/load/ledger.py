"""The producer's side of the audit: what was attempted, how it was answered, and whom it reached.

One byte of flags a message, indexed by its sequence: exact, with no window. Messages whose story has
ended well, acknowledged and with everybody they were for, are let go in blocks and remembered as
counts, so memory stays flat; one that comes again after that is still known to be a duplicate. Everything
is judged from the arriving id and body alone. Ids are kept until a message has ended well, so that one which
does not can be named.

With several load processes a message may arrive at another one than its producer's. That one keeps it
in `elsewhere`, and it is handed on to its producer's ledger, which alone decides.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.load.audit import FIRST_NAMED, Audit, judged, ordered, summed
from bench.load.drain import Drained
from bench.load.findings import MOST_NAMED, Finding, Findings, parties_of
from bench.load.message_id import MessageId, conversation, crc_of, group_conversation
from bench.records import AuditFindingRow, AuditRow

ATTEMPTED, ACKNOWLEDGED, REFUSED, DELIVERED, DUPLICATED, REORDERED, CORRUPT = (1 << bit for bit in range(7))
ENDED_WELL = ATTEMPTED | ACKNOWLEDGED | DELIVERED
BLOCK = 4_096
FEW_OPEN = 256
"""Of a whole block, from which on the ids of those that have ended well are let go."""
YOUNG_BLOCKS = 16
"""So many of the latest keep their ids however many are open; of an older one FEW_OPEN at the most."""
BLOCKS_AT_ONCE = 4
"""So many are tidied at once: a twentieth of a millisecond's work, or one where their messages end well."""


class Arrival(NamedTuple):
    """A message of another producer that reached person `addressee` here."""

    producer: int
    message_id: str
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
        delivers: bool = True,
    ) -> None:
        """`delivers` is False where messages come to nobody: then an acknowledged one has ended well."""
        self._delivers = delivers
        self._ended = ENDED_WELL if delivers else ENDED_WELL & ~DELIVERED
        self._producer = producer
        self._producers = producers
        self._run = run
        self._people = people
        self._groups = groups
        self._first_group = people * people
        self._prefix = f"{run:x}.{producer:x}."
        self._blocks: list[bytearray | None] = []
        self._names: list[list[str] | dict[int, str]] = []
        # How many messages of each conversation were attempted, and the latest that came. Of two people by
        # the one and then by the other: a third of what one table by both would take, and there are hundreds
        # of thousands.
        self._attempted: defaultdict[int, dict[int, int]] = defaultdict(dict)
        self._attempted_in_group: dict[int, int] = {}
        self._latest: defaultdict[int, dict[int, int]] = defaultdict(dict)
        self._numbers: dict[int, int] = {}
        self._sent_again: set[int] = set()
        self._findings = Findings(people)
        self._displacements: dict[str, int] = {}
        self._closed = 0
        self._next = 0
        self._phases: list[str] = []
        self._phase_starts: list[int] = []
        self._ended_well: dict[str, int] = {}
        self._latest_in_group: dict[int, array[int]] = {}
        self._reached: dict[int, bytearray] = {}
        self._extra_deliveries: list[int] = []
        self.elsewhere: list[Arrival] = []

    def enter(self, phase: str) -> None:
        """The messages attempted from now on are of `phase`; phases come in order."""
        self._phases.append(phase)
        self._phase_starts.append(self._next)

    def attempt(
        self, sequence: int, sender: int, target: int, intended_us: int, crc: int, group: bool
    ) -> str:
        """Journal a message before it is sent; its id. Sequences must rise, some may be left out.

        `target` is the addressee, or the group, of which the sender is a member. Where messages come to
        nobody no id comes back to be judged by: it says the sequence alone, and no conversation is counted.
        """
        self._next = sequence + 1
        number = sequence >> 12
        while number >= len(self._blocks):
            self._blocks.append(bytearray(BLOCK))
            self._names.append([""] * BLOCK if self._delivers else {})
        block = self._blocks[number]
        assert block is not None
        block[sequence & 4095] = ATTEMPTED
        if not self._delivers:
            return f"{self._prefix}{sequence:x}"
        if group:
            talk = group_conversation(sender, target, self._people)
            place = self._attempted_in_group.get(talk, 0)
            self._attempted_in_group[talk] = place + 1
        else:
            talk = conversation(sender, target, self._people)
            attempted = self._attempted[sender]
            place = attempted.get(target, 0)
            attempted[target if place else self._numbers.setdefault(target, target)] = place + 1
        # A third quicker than an f-string, and there is one of these for every message.
        text = "%s%x.%x.%x.%x.%x" % (self._prefix, talk, place, sequence, intended_us, crc)  # noqa: UP031
        self._names[number][sequence & 4095] = text
        return text

    def acknowledge(self, sequence: int) -> None:
        """The server took responsibility for it."""
        block = self._blocks[sequence >> 12]  # `_mark`, spelt out: there is one of these for every message
        if block is not None:
            block[sequence & 4095] |= ACKNOWLEDGED

    def sent_again(self, sequence: int) -> None:
        """The client sent it once more, not knowing what had become of it."""
        self._sent_again.add(sequence)

    def refuse(self, sequence: int) -> None:
        """The server said no to it."""
        self._mark(sequence, REFUSED)

    def deliver(self, text: str, sender: str, addressee: int, body: str, group: str) -> int | None:
        """Journal an arrival at person `addressee`: its intended start in µs if it was the first, or None.

        The first at this person; of another producer's messages each counts as a first.
        """
        parsed = MessageId.parse(text)
        if parsed is None or not self._is_for(parsed, sender, addressee, group):
            self._findings.phantom(
                text, sender, addressee, "of no run of ours" if parsed is None else "not for them"
            )
            return None
        corrupt = crc_of(body) != parsed.crc
        if parsed.producer != self._producer:
            self.elsewhere.append(Arrival(parsed.producer, text, addressee, corrupt))
            return parsed.intended_us
        return parsed.intended_us if self._arrived(parsed, text, addressee, corrupt=corrupt) else None

    def arrived(self, text: str, addressee: int, *, corrupt: bool) -> bool:
        """Journal an arrival elsewhere of an own message; whether it was the addressee's first."""
        parsed = MessageId.parse(text)
        assert parsed is not None  # who passes it on has read it
        return self._arrived(parsed, text, addressee, corrupt=corrupt)

    def _arrived(self, parsed: MessageId, text: str, addressee: int, *, corrupt: bool) -> bool:
        talk, sequence = parsed.conversation, parsed.sequence
        if not 0 <= sequence < self._next:
            self._findings.phantom(text, "", addressee, "never attempted")
            return False
        block = self._blocks[sequence >> 12]
        if block is None:  # ended well, long ago
            self._again(text, sequence, addressee)
            return False
        at = sequence & 4095
        flags = block[at]
        if not flags & ATTEMPTED or text != self._name(sequence, text):
            self._findings.phantom(text, "", addressee, "never attempted")
            return False
        if corrupt:
            self._findings.note("corrupt", text, sequence, addressee)
        if talk >= self._first_group:
            return self._arrived_in_group(block, at, parsed, text, addressee, corrupt=corrupt)
        if flags & DELIVERED:
            block[at] = flags | DUPLICATED | (CORRUPT if corrupt else 0)
            self._again(text, sequence, addressee)
            return False
        sender, latest = talk // self._people, self._latest[addressee]
        behind = latest.get(sender, -1) - parsed.place
        if behind > 0:
            flags |= REORDERED
            self._out_of_place(text, sequence, addressee, behind)
        else:
            latest[self._numbers.setdefault(sender, sender)] = parsed.place
        block[at] = flags | DELIVERED | (CORRUPT if corrupt else 0)
        return True

    def tidy(self) -> Iterator[None]:
        """Let go of whole blocks in which every message has ended well.

        A generator: between its pieces of work others may run. Exhaust it before calling it again.
        """
        for seen, number in enumerate(range(self._closed, self._next >> 12), start=1):
            if (block := self._blocks[number]) is not None:
                self._tidy_block(number, block)
            if seen % BLOCKS_AT_ONCE == 0:
                yield
        while self._closed < len(self._blocks) and self._blocks[self._closed] is None:
            self._closed += 1

    def _tidy_block(self, number: int, block: bytearray) -> None:
        flags = np.frombuffer(block, dtype=np.uint8)
        open_at = np.flatnonzero((flags != self._ended) & (flags != 0))
        if len(open_at):
            self._let_names_go(number, open_at)
            return
        start = number * BLOCK
        for phase, low, high in self._spans(start, start + BLOCK):
            ended = int(np.count_nonzero(flags[low - start : high - start]))
            self._ended_well[phase] = self._ended_well.get(phase, 0) + ended
        self._blocks[number] = None
        self._names[number] = {}

    def audit(self, generation: str, trial: int, *, resent: int, drained: Drained) -> Audit:
        """A row a phase, in order, then phase `all`, which alone knows phantoms and resends; and findings."""
        found = self._findings.rows(generation, trial, self._lost(), self._phase_of, self._sent_again)
        findings = ordered(found)
        self._extra_deliveries.sort()
        rows = [
            self._row(generation, trial, phase, start, end, drained, findings)
            for phase, start, end in self._spans(0, self._next)
        ]
        phantom = self._findings.phantoms
        whole = summed(rows, generation, trial, drained, findings, phantom=phantom, resent=resent)
        return Audit([*rows, whole], findings)

    def _again(self, text: str, sequence: int, addressee: int) -> None:
        self._extra_deliveries.append(sequence)
        self._findings.note("duplicated", text, sequence, addressee)

    def _out_of_place(self, text: str, sequence: int, addressee: int, behind: int) -> None:
        phase = self._phase_of(sequence)
        self._displacements[phase] = max(self._displacements.get(phase, 0), behind)
        detail = f"{behind} of the conversation had gone ahead"
        self._findings.note("reordered", text, sequence, addressee, detail)

    def _phase_of(self, sequence: int) -> str:
        return self._phases[max(bisect_right(self._phase_starts, sequence) - 1, 0)]

    def _name(self, sequence: int, default: str) -> str:
        """The id that this message was attempted under, or `default` where it is no longer kept."""
        names = self._names[sequence >> 12]
        return names[sequence & 4095] if isinstance(names, list) else names.get(sequence & 4095, default)

    def _let_names_go(self, number: int, open_at: npt.NDArray[np.int64]) -> None:
        """Keep the ids of the open ones alone. Some of those had ended well, and came again since."""
        names = self._names[number]
        if isinstance(names, dict):
            if len(names) > len(open_at):
                self._names[number] = {at: names[at] for at in open_at.tolist() if at in names}
        elif len(open_at) <= FEW_OPEN or number < (self._next >> 12) - YOUNG_BLOCKS:
            self._names[number] = {at: names[at] for at in open_at[:FEW_OPEN].tolist()}

    def _lost(self) -> Iterator[Finding]:
        left = MOST_NAMED if self._delivers else 0
        for number, block in enumerate(self._blocks):
            if block is None:
                continue
            flags = np.frombuffer(bytes(block), dtype=np.uint8)
            lost_at = np.flatnonzero((flags & (ACKNOWLEDGED | DELIVERED)) == ACKNOWLEDGED)[:left].tolist()
            left -= len(lost_at)
            for at in lost_at:
                sequence = number * BLOCK + at
                text = self._name(sequence, "")
                if not text:  # one of too many in an old block: counted, and not named
                    continue
                sender, target = parties_of(text, self._people)
                detail = self._unreached(sequence, sender, target)
                yield Finding("lost", text, sequence, sender, target, detail)

    def _unreached(self, sequence: int, sender: str, target: str) -> str:
        """Whom a lost message to a group did not reach."""
        if not target.startswith("g"):
            return ""
        members = self._groups[int(target[1:])]
        reached = self._reached.get(sequence, bytearray(len(members)))
        missing = [f"u{member}" for member, there in zip(members, reached, strict=True) if not there]
        missing = [name for name in missing if name != sender]
        named = ", ".join(missing[:FIRST_NAMED]) + (" …" if len(missing) > FIRST_NAMED else "")
        return f"did not reach {len(missing)} of {len(members) - 1}: {named}"

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
        self, block: bytearray, at: int, parsed: MessageId, text: str, addressee: int, *, corrupt: bool
    ) -> bool:
        talk, sequence = parsed.conversation, parsed.sequence
        members = self._groups[(talk - self._first_group) // self._people]
        member = bisect_left(members, addressee)
        flags = block[at] | (CORRUPT if corrupt else 0)
        reached = self._reached.get(sequence)
        if reached is None and not flags & DELIVERED:
            reached = self._reached[sequence] = bytearray(len(members))
        if reached is None or reached[member]:
            block[at] = flags | DUPLICATED
            self._again(text, sequence, addressee)
            return False
        reached[member] = 1
        latest = self._latest_in_group.get(talk)
        if latest is None:
            latest = self._latest_in_group[talk] = array("q", [-1]) * len(members)
        behind = latest[member] - parsed.place
        if behind > 0:
            flags |= REORDERED
            self._out_of_place(text, sequence, addressee, behind)
        else:
            latest[member] = parsed.place
        if sum(reached) == len(members) - 1:  # all but the sender
            flags |= DELIVERED
            del self._reached[sequence]
        block[at] = flags
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
        drained: Drained,
        findings: Sequence[AuditFindingRow],
    ) -> AuditRow:
        flags = self._flags(start, end)
        well = self._ended_well.get(phase, 0)
        again = self._extra_deliveries[
            bisect_left(self._extra_deliveries, start) : bisect_left(self._extra_deliveries, end)
        ]
        by_resend = sum(sequence in self._sent_again for sequence in again)

        def count(mask: int, wanted: int) -> int:
            return int(np.count_nonzero((flags & mask) == wanted))

        counts = {
            "attempted": count(ATTEMPTED, ATTEMPTED) + well,
            "acknowledged": count(ACKNOWLEDGED, ACKNOWLEDGED) + well,
            "refused": count(ACKNOWLEDGED | REFUSED, REFUSED),
            "unknown": count(ATTEMPTED | ACKNOWLEDGED | REFUSED, ATTEMPTED),
            "delivered": count(DELIVERED, DELIVERED) + well * self._delivers,
            "lost": count(ACKNOWLEDGED | DELIVERED, ACKNOWLEDGED) * self._delivers,
            "rescued": count(ACKNOWLEDGED | DELIVERED, DELIVERED),
            "duplicated": len(again),
            "reordered": count(REORDERED, REORDERED),
            "corrupt": count(CORRUPT, CORRUPT),
            "duplicated_by_resend": by_resend,
            "duplicated_by_server": len(again) - by_resend,
        }
        return judged(generation, trial, phase, counts, self._displacements.get(phase, 0), drained, findings)

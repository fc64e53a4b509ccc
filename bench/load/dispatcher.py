"""Asks what is due when it is due, whatever the system under test does.

Open loop: an absolute schedule. When late, it asks at once; it never skips a slot and never moves the
schedule. Beyond the bound on what is in flight an arrival is shed, and counted.

Closed loop: each person thinks, asks, waits for the answer, thinks again. What is intended then is the
end of the thinking, so the system's own delays thin the load: it is offered as an option, and labelled.
"""

import heapq
import time
from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bench.load.clients import Request
from bench.load.clients.arrivals import HOLD_S, MOST
from bench.load.clients.client import Client
from bench.load.ledger import Ledger
from bench.load.population import Body, Draws
from bench.load.recorder import GROUP_SEND, LOGIN, MESSAGES, PRESENCE, Recorder
from bench.plan import PlannedStage
from bench.records import OPERATIONS

BURST = 32
"""How many overdue requests go out before what has arrived gets a turn."""
SLACK_NS = 100_000
"""What is due within so little after a departure leaves together.

At 25,000 a second it saves about a third of the CPU time, and it shows in the lag, which is recorded as it
is. Below some thousand a second hardly anything is due so soon.
"""
HOLD_NS = round(HOLD_S * 1e9)
_THOUGHT = -1
"""In place of a sequence: this entry is the end of somebody's thinking, not of their patience."""
_NEVER = 1 << 62
SHOWN = ("available", "away", "dnd")
"""What a person shows, by the number that a draw of a presence has for a target."""


class Dispatcher:
    """Asks for the people `first`, `first` + 1, … of one load process, whose clients are `clients`.

    Whoever offers yields the moments, CLOCK_MONOTONIC in ns, until which there is nothing to do, and is to be
    gone on with then (alarm.py); a moment that is past lets what has arrived have its turn.
    """

    def __init__(
        self,
        clients: Sequence[Client],
        first: int,
        bodies: Sequence[Body],
        stages: Sequence[PlannedStage],
        recorder: Recorder,
        ledger: Ledger,
        *,
        max_in_flight: int,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        look: Callable[[], int] = lambda: 0,
        no_later_than: Callable[[int], object] = lambda _: None,
    ) -> None:
        """`look` has what has come in read while nothing is due, of MOST connections, and says of how many.

        `no_later_than` is told, in a closed loop, of a moment that may be before the one last yielded.
        """
        self._clients = clients
        self._first = first
        self._bodies = bodies
        self._recorder = recorder
        self._ledger = ledger
        self._max_in_flight = max_in_flight
        self._clock_ns = clock_ns
        self._look = look
        self._no_later_than = no_later_than
        self._ends_ns = [(round(stage.end_s * 1e9), stage.name) for stage in stages]
        self._phase = -1
        self._phase_end_ns = 0
        self._due: list[tuple[int, int, int]] = []
        self._waiting: dict[int, int] = {}
        self._think_s: Callable[[], float] = lambda: 0.0

    def offer(self, schedule: Iterator[npt.NDArray[np.int64]], draws: Iterator[Draws]) -> Iterator[int]:
        """Ask for everything in `schedule` (ns from the recorder's origin, rising); ends after the last."""
        recorder, clock_ns = self._recorder, self._clock_ns
        origin_ns, most, ask = recorder.origin_ns, self._max_in_flight, self._ask
        drawn = _Drawn(draws)
        in_a_row = 0
        for chunk in schedule:
            operations, senders, targets, bodies = drawn.take(len(chunk))
            recorder.lay_out(operations, senders, chunk)
            rows = zip(chunk.tolist(), operations, senders, targets, bodies, strict=True)
            for offset_ns, operation, sender, target, body in rows:
                due_ns, now_ns = origin_ns + offset_ns, clock_ns()
                if due_ns > now_ns or in_a_row >= BURST:
                    in_a_row = yield from self._rest(due_ns, now_ns, in_a_row)
                    now_ns = clock_ns()
                in_a_row += 1
                if recorder.in_flight >= most:
                    recorder.shed()
                else:
                    ask(offset_ns, now_ns, operation, sender, target, body)

    def _rest(self, due_ns: int, now_ns: int, in_a_row: int) -> Generator[int, None, int]:
        """Look, and let others run, until what is due next is; how many have left in a row by then."""
        go_on_ns = max(due_ns, now_ns + SLACK_NS) if due_ns > now_ns else now_ns
        while True:
            more = self._look() >= MOST
            now_ns = self._clock_ns()
            if now_ns >= go_on_ns and in_a_row < BURST:
                return in_a_row
            yield now_ns if more else min(go_on_ns, now_ns + HOLD_NS)
            in_a_row = 0
            if self._clock_ns() >= due_ns:
                return 0

    def offer_closed(
        self,
        end_s: float,
        timeout_s: float,
        think_s: Callable[[], float],
        draw_of: Callable[[int], tuple[int, int, int]],
    ) -> Iterator[int]:
        """Let everybody think and ask by turns until `end_s` from the origin; `answered` must be told.

        `draw_of(sender)` is (operation, target, body). Who has had no answer within the timeout goes on.
        """
        origin_ns = self._recorder.origin_ns
        end_ns, timeout_ns = origin_ns + round(end_s * 1e9), round(timeout_s * 1e9)
        people = range(self._first, self._first + len(self._clients))
        due = self._due = [(origin_ns + round(think_s() * 1e9), person, _THOUGHT) for person in people]
        heapq.heapify(due)
        self._think_s = think_s
        while True:
            t_ns, person, sequence = due[0] if due else (end_ns, -1, _THOUGHT)
            if min(t_ns, self._clock_ns()) >= end_ns:
                break
            if t_ns > self._clock_ns():
                yield min(t_ns, end_ns)
                continue  # an answer may have brought something that is due earlier
            heapq.heappop(due)
            if sequence == _THOUGHT:
                self._waiting[person] = self._recorder.next_sequence
                heapq.heappush(due, (t_ns + timeout_ns, person, self._waiting[person]))
                operation, target, body = draw_of(person)
                self._recorder.lay_out((operation,), (person,), np.array([t_ns - origin_ns]))
                self._ask(t_ns - origin_ns, self._clock_ns(), operation, person, target, body)
            elif self._waiting.get(person) == sequence:
                self.answered(person, sequence)
        self._waiting.clear()

    def answered(self, person: int, sequence: int) -> None:
        """In a closed loop: person `person` has their answer, and thinks."""
        if self._waiting.get(person) == sequence:
            del self._waiting[person]
            t_ns = self._clock_ns() + round(self._think_s() * 1e9)
            heapq.heappush(self._due, (t_ns, person, _THOUGHT))
            self._no_later_than(t_ns)

    def _ask(self, offset_ns: int, now_ns: int, operation: int, sender: int, target: int, body: int) -> None:
        if offset_ns >= self._phase_end_ns:
            self._enter(offset_ns)
        sequence = self._recorder.sent(now_ns)
        client = self._clients[sender - self._first]
        if operation in MESSAGES:
            text, crc = self._bodies[body]
            group = operation == GROUP_SEND
            message_id = self._ledger.attempt(sequence, sender, target, offset_ns // 1000, crc, group)
            to = f"g{target}" if group else f"u{target}"
            client.send(Request(OPERATIONS[operation], message_id, to, text, sequence))
        elif operation == LOGIN:
            client.leave_and_return(Request("login", f"login-{sequence:x}", "", "", sequence))
        else:
            to = SHOWN[target] if operation == PRESENCE else ""
            name = OPERATIONS[operation]
            client.send(Request(name, f"{name}-{sequence:x}", to, "", sequence))

    def _enter(self, offset_ns: int) -> None:
        """Begin the phase that this moment is in, in the audit."""
        while offset_ns >= self._phase_end_ns:
            self._phase += 1
            last = self._phase + 1 >= len(self._ends_ns)
            self._phase_end_ns = _NEVER if last else self._ends_ns[self._phase][0]
        self._ledger.enter(self._ends_ns[self._phase][1])


class _Drawn:
    """Draws taken in any number, where they come in chunks of their own."""

    def __init__(self, draws: Iterator[Draws]) -> None:
        self._draws = draws
        self._rest: Sequence[Sequence[int]] = ([], [], [], [])

    def take(self, many: int) -> Sequence[Sequence[int]]:
        """The next `many`: operations, senders, targets, bodies."""
        while len(self._rest[0]) < many:
            more = next(self._draws)
            self._rest = [[*rest, *new] for rest, new in zip(self._rest, more, strict=True)]
        taken = [rest[:many] for rest in self._rest]
        self._rest = [rest[many:] for rest in self._rest]
        return taken

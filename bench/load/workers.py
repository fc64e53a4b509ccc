"""The crew of a trial with workers: a Locust master that leads the processes which make the load.

Locust distributes the people; what it does not know of, plans, bins, audits and clocks, goes as custom
messages of its protocol (seats.py). Bins of all workers come to the one `Gathering`.
"""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import locust.runners
from gevent.event import Event
from locust.runners import MasterRunner

from bench.load import seats
from bench.load.audit import Audit, ordered, summed
from bench.load.clock_offset import clock_name
from bench.load.drain import Drained
from bench.load.gathering import Gathering
from bench.load.settled import SettledBin
from bench.load.trial import Assignment, State
from bench.plan import Plan
from bench.records import AuditFindingRow, AuditRow

AUDIT_LIMIT_S = 20.0
DROP_LIMIT_S = 5.0
POLL_S = 0.005
locust.runners.HEARTBEAT_INTERVAL = 1


@dataclass(slots=True)
class _Seat:
    """One worker: where it is, how its clock is, how far it is."""

    number: int
    client: str
    host: str
    same_clock: bool
    offset_ns: int = 0
    plus_minus_ns: int = 0
    ready: bool = False
    lost: bool = False
    state: State = dataclasses.field(default_factory=State)
    audit: Audit | None = None
    dropped: int | None = None


class Workers:
    """The workers of a Locust master, one trial after another: `lead` begins each."""

    def __init__(self, runner: MasterRunner) -> None:
        self._runner = runner
        self._present: dict[str, dict[str, Any]] = {}
        self._seats: dict[str, _Seat] = {}
        self._count = 0
        self._begun_ns = 0
        self._audited = Event()
        self.lost_workers: list[str] = []
        for name, told in (
            (seats.HELLO, self._hello),
            (seats.CLOCK, self._clock),
            (seats.SEATED, self._seated),
            (seats.STATE, self._state),
            (seats.DROPPED, self._dropped),
            (seats.AUDIT, self._audit),
        ):
            self._runner.register_message(name, told)
        runner.environment.events.worker_report.add_listener(self._report)  # type: ignore[no-untyped-call]

    def lead(self, plan: Plan, assignment: Assignment, gathering: Gathering, count: int) -> None:
        """Begin a trial with the first `count` workers that are, or will be, here."""
        self._plan = plan
        self._assignment = assignment
        self._gathering = gathering
        self._count = count
        self._seats = {}
        self._begun_ns = 0
        self.lost_workers = []
        for client in [client for client in self._present if client in self._runner.clients]:
            self._seat(client)

    @property
    def port(self) -> int:
        """Where the workers are to come."""
        return int(self._runner.server.port)

    @property
    def clocks(self) -> Sequence[str]:
        """A sentence for each worker whose clock is not this process's."""
        return [
            f"worker {seat.number + 1} ({seat.host}): its clock is {-seat.offset_ns / 1000:+.0f} µs from the "
            f"master's, ± {seat.plus_minus_ns / 1000:.0f} µs: so are delivery times across workers"
            for seat in self._seats.values()
            if not seat.same_clock
        ]

    def gather(self) -> None:
        """Let everybody come online, once all workers are here."""
        gevent.spawn(self._gather)

    def begin(self, origin_ns: int) -> None:
        """Let the first stage begin at this moment."""
        self._begun_ns = origin_ns
        for seat in self._seats.values():
            self._say(seats.BEGIN, {"origin_ns": origin_ns - seat.offset_ns}, seat)

    def cease(self) -> None:
        """Ask for nothing more."""
        for seat in self._seats.values():
            self._say(seats.CEASE, {}, seat)

    def drop_connections(self) -> int:
        """End everybody's connection at once; how many had one, as far as workers say so in time."""
        there = [seat for seat in self._seats.values() if not seat.lost]
        for seat in there:
            seat.dropped = None
            self._say(seats.DROP, {}, seat)
        deadline = time.monotonic() + DROP_LIMIT_S
        while any(seat.dropped is None and not seat.lost for seat in there) and time.monotonic() < deadline:
            gevent.sleep(POLL_S)
        return sum(seat.dropped or 0 for seat in there)

    def state(self) -> State:
        """How far those are that are still there."""
        self._look_for_lost()
        return State.joined([seat.state for seat in self._seats.values() if not seat.lost])

    def finish(self, drained: Drained) -> Audit:
        """Everybody leaves; the audit of all, unknown where a worker's is missing."""
        there = [seat for seat in self._seats.values() if not seat.lost]
        for seat in there:
            self._say(seats.FINISH, {"drained": dataclasses.asdict(drained)}, seat)
        deadline = time.monotonic() + AUDIT_LIMIT_S
        while any(s.audit is None and not s.lost for s in there) and time.monotonic() < deadline:
            self._audited.wait(0.1)
            self._audited.clear()
            self._look_for_lost()
        silent = [seat for seat in self._seats.values() if seat.audit is None]
        if silent or self.lost_workers:
            detail = "; ".join(self.lost_workers) or f"worker {silent[0].number + 1} gave no audit"
            drained = Drained(False, detail, collected=drained.collected)
        return self._joined_audit(drained)

    def close(self) -> None:
        """End Locust, here and at the workers."""
        self._runner.quit()

    def _gather(self) -> None:
        while sum(seat.ready for seat in self._seats.values()) < self._count:
            gevent.sleep(0.05)
        # Each is given as many users as the largest share has people; who is one too many is nobody.
        most = -(-self._plan.clients // self._count)
        self._runner.start(user_count=most * self._count, spawn_rate=self._plan.login_rate_per_s)

    def _hello(self, msg: Any, **_: Any) -> None:
        self._present[msg.node_id] = msg.data
        self._seat(msg.node_id)

    def _seat(self, client: str) -> None:
        if client in self._seats or len(self._seats) >= self._count:
            return
        hello = self._present[client]
        seat = self._seats[client] = _Seat(
            len(self._seats),
            client,
            hello["host"],
            same_clock=bool(clock_name()) and hello["clock"] == clock_name(),
        )
        told = {
            "plan": self._plan.to_json(),
            "assignment": self._assignment.to_json(),
            "certificates": {
                file: Path(file).read_text()
                for file in {endpoint.ca_file for endpoint in self._assignment.endpoints}
                if file is not None
            },
            "worker": seat.number,
            "workers": self._count,
        }
        self._say(seats.SEAT, told, seat)

    def _clock(self, msg: Any, **_: Any) -> None:
        self._runner.send_message(
            seats.CLOCK, {**msg.data, "told_ns": time.monotonic_ns()}, client_id=msg.node_id
        )

    def _seated(self, msg: Any, **_: Any) -> None:
        seat = self._seats[msg.node_id]
        seat.plus_minus_ns = msg.data["plus_minus_ns"]
        seat.offset_ns = 0 if seat.same_clock else msg.data["offset_ns"]
        seat.ready = True

    def _state(self, msg: Any, **_: Any) -> None:
        seat = self._seats[msg.node_id]
        raw = {**msg.data["state"], "failures": tuple(msg.data["state"]["failures"])}
        if raw["last_arrival_ns"]:
            raw["last_arrival_ns"] += seat.offset_ns
        self._pass_on(msg.data["arrivals"])
        seat.state = State(**raw)

    def _pass_on(self, arrivals: Sequence[Sequence[Any]]) -> None:
        """Arrivals at one worker to the producers of what arrived."""
        by_number = {seat.number: seat for seat in self._seats.values()}
        owed: dict[int, list[Any]] = {}
        for producer, *arrival in arrivals:
            owed.setdefault(producer, []).append(arrival)
        for producer, theirs in owed.items():
            self._say(seats.ARRIVALS, {"arrivals": theirs}, by_number[producer])

    def _report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        seat = self._seats.get(client_id)
        if seat is not None and not seat.lost and seats.BINS in data:
            self._take(seat, data)

    def _take(self, seat: _Seat, data: dict[str, Any]) -> None:
        bins = [SettledBin.from_lists(raw) for raw in data[seats.BINS]]
        if data[seats.SETTLED_UNTIL] is not None:
            self._gathering.take(seat.number, bins, data[seats.SETTLED_UNTIL])

    def _audit(self, msg: Any, **_: Any) -> None:
        seat = self._seats[msg.node_id]
        self._take(seat, msg.data)
        seat.audit = Audit(
            [AuditRow(**row) for row in msg.data["audit"]],
            [AuditFindingRow(**row) for row in msg.data["findings"]],
        )
        self._audited.set()

    def _dropped(self, msg: Any, **_: Any) -> None:
        self._seats[msg.node_id].dropped = msg.data["connections"]

    def _look_for_lost(self) -> None:
        for seat in self._seats.values():
            node = self._runner.clients.get(seat.client)
            gone = node is None or node.state == locust.runners.STATE_MISSING
            if gone and not seat.lost and seat.audit is None:
                seat.lost = True
                at_s = (time.monotonic_ns() - self._begun_ns) / 1e9
                when = f"at {at_s:.1f} s" if self._begun_ns else "before the load began"
                self.lost_workers.append(
                    f"worker {seat.number + 1} of {self._count} ({seat.host}) was lost {when}"
                )
                self._gathering.lose(seat.number)

    def _joined_audit(self, drained: Drained) -> Audit:
        audits = [seat.audit for seat in self._seats.values() if seat.audit is not None]
        every = [row for audit in audits for row in audit.rows]
        findings = ordered(row for audit in audits for row in audit.findings)
        named = (self._assignment.generation, self._assignment.trial)
        rows = [
            summed([row for row in every if row.phase == phase], *named, drained, findings, phase=phase)
            for phase in dict.fromkeys(row.phase for row in every)
            if phase != "all"
        ]
        whole = [row for row in every if row.phase == "all"]
        return Audit([*rows, summed(whole, *named, drained, findings)], findings)

    def _say(self, name: str, data: dict[str, Any], seat: _Seat) -> None:
        self._runner.send_message(name, data, client_id=seat.client)

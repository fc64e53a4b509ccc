"""Dispatcher, crowd, recorder and ledger together, against a scripted system."""

import time
from collections.abc import Iterator, Sequence

import gevent
import numpy as np
import numpy.typing as npt
import pytest

from bench.load.alarm import Alarm
from bench.load.clients import Listener, Request
from bench.load.crowd import Crowd
from bench.load.dispatcher import Dispatcher
from bench.load.drain import Drained
from bench.load.ledger import Ledger
from bench.load.message_id import crc_of
from bench.load.population import Body, Draws
from bench.load.recorder import GROUP_SEND, LOGIN, PRESENCE, SEND, SYNC, Recorder
from bench.load.settled import SettledBin
from bench.records import AuditRow, Endpoint, Person
from tests.unit.load.scripted import ScriptedServer
from tests.unit.load.stages import stage

PEOPLE = 6
GROUPS = [[0, 2, 4], [0, 1, 2, 3, 4, 5]]
BODIES = [Body(text, crc_of(text)) for text in ("one", "two", "three")]


def to_the_next(operation: int = SEND) -> Iterator[Draws]:
    """Everybody by turns, of one operation: to the next person, or in the group of all."""
    turn = 0
    while True:
        senders = [(turn + n) % PEOPLE for n in range(50)]
        targets = [1 if operation == GROUP_SEND else (sender + 1) % PEOPLE for sender in senders]
        if operation == PRESENCE:
            targets = [sender % 3 for sender in senders]
        yield Draws([operation] * 50, senders, targets, [n % 3 for n in range(50)])
        turn += 50


class Trial:
    def __init__(self, server: ScriptedServer, *, max_in_flight: int = 1000, timeout_s: float = 5.0) -> None:
        self.bins: list[SettledBin] = []
        self.recorder = Recorder(
            lambda bins, until: self.bins.extend(bins), bin_width_s=1, timeout_s=timeout_s, slo_ms=300
        )
        self.ledger = Ledger(1, PEOPLE, GROUPS)
        self.crowd = Crowd(
            range(PEOPLE),
            "secret",
            server.connect,
            (Endpoint("here", 1),),
            self.recorder,
            self.ledger,
            seed=1,
        )
        self.people = [gevent.spawn(self.crowd.live) for _ in range(PEOPLE)]
        self._max_in_flight = max_in_flight

    def _dispatcher(self, alarm: Alarm) -> Dispatcher:
        while self.crowd.online < PEOPLE:
            gevent.sleep(0.001)
        self.recorder.begin(time.monotonic_ns())
        stages = [stage("steady", "steady", 0, 10)]
        return Dispatcher(
            self.crowd.clients,
            0,
            BODIES,
            stages,
            self.recorder,
            self.ledger,
            max_in_flight=self._max_in_flight,
            no_later_than=alarm.no_later_than,
        )

    def offer(self, times_s: Sequence[float], draws: Iterator[Draws] | None = None) -> None:
        def schedule() -> Iterator[npt.NDArray[np.int64]]:
            yield (np.array(times_s) * 1e9).astype(np.int64)

        with Alarm() as alarm:
            alarm.run(self._dispatcher(alarm).offer(schedule(), draws or to_the_next()))

    def offer_closed(self, end_s: float, think_s: float, timeout_s: float = 5.0) -> None:
        with Alarm() as alarm:
            dispatcher = self._dispatcher(alarm)
            self.crowd.told = dispatcher.answered
            alarm.run(
                dispatcher.offer_closed(
                    end_s, timeout_s, lambda: think_s, lambda sender: (SEND, (sender + 1) % PEOPLE, 0)
                )
            )

    def end(self) -> AuditRow:
        self.crowd.close()
        gevent.joinall(self.people, raise_error=True)
        self.recorder.close(time.monotonic_ns())
        return self.ledger.audit("x", 1, resent=self.crowd.resent, drained=Drained(True)).rows[-1]

    def wait_answered(self) -> None:
        while self.recorder.unanswered:
            gevent.sleep(0.001)

    def touched(self, operation: str) -> list[int]:
        people = (one.touched.tolist() for one in self.bins if one.operation == operation)
        return sorted({person for some in people for person in some})

    def count(self, operation: str, name: str) -> int:
        return sum(getattr(one.counts, name) for one in self.bins if one.operation == operation)


@pytest.fixture(autouse=True)
def _watchdog() -> Iterator[None]:
    with gevent.Timeout(30):
        yield


def test_every_scheduled_message_is_sent_acknowledged_and_delivered() -> None:
    trial = Trial(ScriptedServer(lambda request: 0.001))
    trial.offer([n / 1000 for n in range(300)])
    trial.wait_answered()
    gevent.sleep(0.02)
    row = trial.end()
    totals = trial.recorder.totals()
    assert (totals.offered, totals.acknowledged, totals.shed, totals.delivered) == (300, 300, 0, 300)
    assert (row.attempted, row.delivered, row.lost, row.verdict) == (300, 300, 0, "complete")
    assert trial.count("login", "ok") == PEOPLE


def test_a_schedule_that_is_late_is_caught_up_with_and_never_thinned() -> None:
    trial = Trial(ScriptedServer(lambda request: 0.0))
    trial.offer([0.0] * 500)  # all due at once
    trial.wait_answered()
    trial.end()
    assert trial.recorder.totals().offered == 500


def test_beyond_the_bound_arrivals_are_shed_and_counted() -> None:
    trial = Trial(ScriptedServer(lambda request: None), max_in_flight=10)
    trial.offer([0.0] * 25)
    row = trial.end()
    totals = trial.recorder.totals()
    assert (totals.offered, totals.shed, totals.unknown) == (25, 15, 10)
    assert row.attempted == 10  # what was shed was never attempted


def test_messages_outlive_a_crash_and_are_delivered_once() -> None:
    server = ScriptedServer(lambda request: 0.005)
    trial = Trial(server)

    def crash_and_return() -> None:
        gevent.sleep(0.1)
        server.crash()
        gevent.sleep(0.1)
        server.down = False

    crashing = gevent.spawn(crash_and_return)
    trial.offer([n / 500 for n in range(200)])
    crashing.get()
    trial.wait_answered()
    row = trial.end()
    assert row.acknowledged == row.attempted == 200
    assert row.resent > 0
    assert row.duplicated == 0


def test_who_loses_the_connection_is_touched_and_who_only_logs_in_again_is_not() -> None:
    server = ScriptedServer(lambda request: 0.0)
    trial = Trial(server)
    trial.offer([n / 1000 for n in range(12)], to_the_next(LOGIN))
    trial.wait_answered()
    assert trial.touched("login") == []
    server.crash()
    server.down = False
    while trial.crowd.online < PEOPLE:
        gevent.sleep(0.001)
    trial.end()
    assert trial.touched("login") == list(range(PEOPLE))
    assert trial.touched("send") == []


def test_whose_message_is_swallowed_is_touched_and_nobody_else() -> None:
    trial = Trial(ScriptedServer(lambda request: None if request.target == "u3" else 0.0))
    trial.offer([n / 1000 for n in range(12)])
    while trial.recorder.unanswered > 2:
        gevent.sleep(0.001)
    trial.end()
    assert trial.touched("send") == [2]


def test_a_group_message_is_one_message_and_reaches_every_other_member() -> None:
    trial = Trial(ScriptedServer(lambda request: 0.0, GROUPS))
    trial.offer([n / 1000 for n in range(60)], to_the_next(GROUP_SEND))
    trial.wait_answered()
    gevent.sleep(0.02)
    row = trial.end()
    assert trial.count("group_send", "ok") == 60
    assert trial.count("group_send", "delivered_in_bin") == 60 * (PEOPLE - 1)
    assert (row.attempted, row.delivered, row.lost, row.verdict) == (60, 60, 0, "complete")


@pytest.mark.parametrize(("operation", "name"), [(SYNC, "sync"), (PRESENCE, "presence"), (LOGIN, "login")])
def test_what_is_no_message_is_timed_by_itself_and_not_audited(operation: int, name: str) -> None:
    server = ScriptedServer(lambda request: 0.0)
    trial = Trial(server)
    trial.offer([n / 100 for n in range(30)], to_the_next(operation))
    trial.wait_answered()
    row = trial.end()
    logins = PEOPLE if operation == LOGIN else 0  # those that brought people online to begin with
    assert trial.count(name, "ok") == 30 + logins
    assert row.attempted == 0
    assert server.logins == PEOPLE + (30 if operation == LOGIN else 0)
    assert server.operations == ([] if operation == LOGIN else [name] * 30)


def test_in_a_closed_loop_everybody_waits_for_the_answer_and_thinks() -> None:
    trial = Trial(ScriptedServer(lambda request: 0.03))
    trial.offer_closed(0.5, think_s=0.02)
    trial.wait_answered()
    trial.end()
    offered = trial.count("send", "offered")
    # Half a second in rounds of 50 ms or more: at most ten each, and on a slow day some fewer.
    assert PEOPLE * 3 <= offered <= PEOPLE * 10
    assert trial.count("send", "ok") == offered


def test_in_a_closed_loop_who_gets_no_answer_goes_on_after_the_timeout() -> None:
    trial = Trial(ScriptedServer(lambda request: None), timeout_s=0.1)
    trial.offer_closed(0.5, think_s=0.0, timeout_s=0.1)
    trial.end()
    assert PEOPLE * 2 <= trial.count("send", "offered") <= PEOPLE * 5
    assert trial.count("send", "unknown") == trial.count("send", "offered")


def test_a_refused_login_is_recorded_and_told() -> None:
    server = ScriptedServer(lambda request: 0.0)
    server.banned = {"u2"}
    trial = Trial(server)
    gevent.joinall([trial.people[2]])
    assert trial.crowd.failures == ["login refused: u2: banned"]
    trial.end()


def test_a_client_that_breaks_is_not_broken_silently(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def __init__(self, person: Person) -> None: ...

        def open(self, endpoint: Endpoint, listener: Listener) -> None:
            raise ZeroDivisionError("a defect")

        def send(self, request: Request) -> None: ...

        def close(self) -> None: ...

    server = ScriptedServer(lambda request: 0.0)
    server.connect = Broken  # type: ignore[assignment,method-assign]
    trial = Trial(server)
    gevent.joinall(trial.people)
    assert trial.crowd.failures[0] == "u0: ZeroDivisionError: a defect"
    assert "ZeroDivisionError: a defect" in capsys.readouterr().err


def test_people_go_on_from_where_an_earlier_load_process_stopped() -> None:
    trial = Trial(ScriptedServer(lambda _: 0.0))
    gevent.joinall(trial.people, timeout=0.1)
    assert trial.crowd.positions == dict.fromkeys(range(PEOPLE), 1), (
        "each login moves a scripted person on by one"
    )
    trial.end()
    later = Crowd(
        range(2, 4), "secret", ScriptedServer(lambda _: 0.0).connect, (Endpoint("here", 1),), trial.recorder,
        trial.ledger, seed=1, positions={2: 41, 9: 7},
    )  # fmt: skip
    people = [gevent.spawn(later.live) for _ in range(2)]
    while later.online < 2:
        gevent.sleep(0.001)
    assert later.positions == {2: 42, 3: 1}
    later.close()
    gevent.joinall(people, raise_error=True)

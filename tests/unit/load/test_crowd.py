"""Dispatcher, crowd, recorder and ledger together, against a scripted system."""

import io
import time
from collections.abc import Iterator

import gevent
import numpy as np
import pytest

from bench.load.crowd import Crowd
from bench.load.dispatcher import dispatch
from bench.load.ledger import Ledger
from bench.load.population import bodies, contacts, draws
from bench.load.recorder import Recorder
from bench.plan import PlannedStage
from bench.records import AuditRow, Endpoint
from tests.unit.load.scripted import ScriptedServer

PEOPLE = 6


class Trial:
    def __init__(self, server: ScriptedServer, *, max_in_flight: int = 1000, timeout_s: float = 5.0) -> None:
        stages = [PlannedStage("steady", "steady", 0, 10, 1, 1)]
        self.recorder = Recorder(
            "x", 1, stages, bin_width_s=1, timeout_s=timeout_s, slo_ms=300, timeline=io.StringIO(), hlog=io.StringIO()
        )  # fmt: skip
        self.ledger = Ledger(1, 0, PEOPLE)
        self.crowd = Crowd(
            PEOPLE, "secret", server.connect, (Endpoint("here", 1),), self.recorder, self.ledger, seed=1
        )
        self.listeners = [gevent.spawn(self.crowd.live, self.crowd.next_person()) for _ in range(PEOPLE)]
        self._max_in_flight = max_in_flight

    def offer(self, times_s: list[float]) -> None:
        def schedule() -> Iterator[np.ndarray]:
            yield (np.array(times_s) * 1e9).astype(np.int64)

        while self.crowd.online < PEOPLE:
            gevent.sleep(0.001)
        self.recorder.begin(time.monotonic_ns())
        dispatch(
            schedule(),
            draws(contacts(PEOPLE, 3, 1), 1),
            bodies(60, 500, 1),
            self.crowd.clients,
            self.recorder,
            self.ledger,
            max_in_flight=self._max_in_flight,
        )

    def end(self) -> AuditRow:
        self.crowd.close()
        gevent.joinall(self.listeners, raise_error=True)
        self.recorder.close(time.monotonic_ns())
        return self.ledger.audit("x", 1, resent=self.crowd.resent, drained=True, detail="")[-1]

    def wait_answered(self) -> None:
        while self.recorder.unanswered:
            gevent.sleep(0.001)


@pytest.fixture(autouse=True)
def _watchdog() -> Iterator[None]:
    with gevent.Timeout(30):
        yield


def test_every_scheduled_message_is_sent_acknowledged_and_delivered() -> None:
    trial = Trial(ScriptedServer(lambda message: 0.001))
    trial.offer([n / 1000 for n in range(300)])
    trial.wait_answered()
    gevent.sleep(0.02)
    row = trial.end()
    totals = trial.recorder.totals()
    assert (totals.offered, totals.acknowledged, totals.shed, totals.delivered) == (300, 300, 0, 300)
    assert (row.attempted, row.delivered, row.lost, row.verdict) == (300, 300, 0, "complete")


def test_a_schedule_that_is_late_is_caught_up_with_and_never_thinned() -> None:
    trial = Trial(ScriptedServer(lambda message: 0.0))
    trial.offer([0.0] * 500)  # all due at once
    trial.wait_answered()
    trial.end()
    assert trial.recorder.totals().offered == 500


def test_beyond_the_bound_arrivals_are_shed_and_counted() -> None:
    trial = Trial(ScriptedServer(lambda message: None), max_in_flight=10)
    trial.offer([0.0] * 25)
    row = trial.end()
    totals = trial.recorder.totals()
    assert (totals.offered, totals.shed, totals.unknown) == (25, 15, 10)
    assert row.attempted == 10  # what was shed was never attempted


def test_messages_outlive_a_crash_and_are_delivered_once() -> None:
    server = ScriptedServer(lambda message: 0.005)
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


def test_a_refused_login_is_recorded_and_told() -> None:
    server = ScriptedServer(lambda message: 0.0)
    server.banned = {"u2"}
    trial = Trial(server)
    gevent.joinall([trial.listeners[2]])
    assert trial.crowd.failures == ["login refused: u2: banned"]
    trial.end()


def test_a_client_that_breaks_is_not_broken_silently(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def open(self, endpoint: Endpoint) -> None:
            raise ZeroDivisionError("a defect")

        def close(self) -> None: ...

    server = ScriptedServer(lambda message: 0.0)
    server.connect = lambda person: Broken()  # type: ignore[method-assign,assignment,return-value]
    trial = Trial(server)
    gevent.joinall(trial.listeners)
    assert trial.crowd.failures[0] == "u0: ZeroDivisionError: a defect"
    assert "ZeroDivisionError: a defect" in capsys.readouterr().err

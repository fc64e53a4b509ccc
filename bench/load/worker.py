"""`python -m bench.load.worker --master HOST:PORT`: one worker of one trial, led by workers.py's master.

It is told everything by the master, makes its share of the load, and ends when the master says so or is
heard of no more. Exit 0 after a whole trial, 2 where there is no master to come to, 1 where it broke.
"""

# Locust patches the standard library for gevent, and must do so before anything else is imported.
from bench.load.locust_people import feed, person_user  # isort: skip

import argparse
import dataclasses
import logging
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import gevent
import locust.runners
from gevent.event import Event
from locust.env import Environment
from locust.runners import WorkerRunner

from bench.load import seats
from bench.load.clock_offset import Exchange, clock_name, offset_of
from bench.load.crowd import connect_with
from bench.load.drain import Drained
from bench.load.engine import Engine, Seat
from bench.load.joining import NO_MASTER
from bench.load.population import populate
from bench.load.settled import SettledBin
from bench.load.solo import state_of
from bench.load.trial import Assignment, State
from bench.plan import Plan

CONNECT_TIMEOUT_S = 5.0
EXCHANGES = 20
locust.runners.WORKER_REPORT_INTERVAL = 1.0
locust.runners.MASTER_HEARTBEAT_TIMEOUT = 10


class Worker:
    """One process's part of each trial that its master leads."""

    def __init__(self, runner: WorkerRunner) -> None:
        self._seated = Event()
        self._whole = False
        self._engine: Engine | None = None
        self._assignment: Assignment | None = None
        self._bins: list[SettledBin] = []
        self._settled_until: int | None = None
        self._exchanges: list[Exchange] = []
        self._failures: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="threegen-worker-")
        self._offering: gevent.Greenlet[..., None] | None = None
        self._runner = runner
        for name, told in (
            (seats.SEAT, self._seat),
            (seats.CLOCK, self._clock),
            (seats.ARRIVALS, self._arrivals),
            (seats.BEGIN, self._begin),
            (seats.DROP, self._drop),
            (seats.CEASE, self._cease),
            (seats.FINISH, self._finish),
        ):
            self._runner.register_message(name, told)
        runner.environment.events.report_to_master.add_listener(self._report)  # type: ignore[no-untyped-call]

    def run(self) -> bool:
        """Work until the master is gone or says to go; whether a whole trial was made."""
        while len(self._runner.greenlet):
            if self._engine is None:
                self._runner.send_message(seats.HELLO, {"host": socket.gethostname(), "clock": clock_name()})
            elif self._seated.is_set():
                self._tell_state()
            gevent.sleep(seats.STATE_EVERY_S)
        self._folder.cleanup()
        return self._whole

    def live(self) -> None:
        """Be the next person; what a Locust user does."""
        self._seated.wait()
        assert self._engine is not None
        self._engine.crowd.live()

    def _seat(self, msg: Any, **_: Any) -> None:
        assignment = Assignment.from_json(msg.data["assignment"])
        self._assignment = assignment = self._trusting(assignment, msg.data["certificates"])
        plan = Plan.from_json(msg.data["plan"])
        self._engine = Engine(
            plan,
            populate(plan),
            Seat(assignment.run, assignment.seed, msg.data["worker"], msg.data["workers"]),
            connect_with(assignment.client),
            assignment.endpoints,
            self._keep,
            delivers=assignment.delivers,
        )
        self._ask_the_time()

    def _trusting(self, assignment: Assignment, certificates: dict[str, str]) -> Assignment:
        """The assignment with certificate files of this host, which the master's text is written to."""
        endpoints = []
        for number, endpoint in enumerate(assignment.endpoints):
            if endpoint.ca_file is None:
                endpoints.append(endpoint)
                continue
            file = Path(self._folder.name) / f"ca-{number}.pem"
            file.write_text(certificates[endpoint.ca_file])
            endpoints.append(dataclasses.replace(endpoint, ca_file=str(file)))
        return dataclasses.replace(assignment, endpoints=tuple(endpoints))

    def _ask_the_time(self) -> None:
        self._runner.send_message(seats.CLOCK, {"asked_ns": time.monotonic_ns()})

    def _clock(self, msg: Any, **_: Any) -> None:
        self._exchanges.append(Exchange(msg.data["asked_ns"], msg.data["told_ns"], time.monotonic_ns()))
        if len(self._exchanges) < EXCHANGES:
            self._ask_the_time()
            return
        self._seated.set()
        self._runner.send_message(seats.SEATED, offset_of(self._exchanges)._asdict())

    def _begin(self, msg: Any, **_: Any) -> None:
        self._offering = gevent.spawn(self._offer, msg.data["origin_ns"])

    def _offer(self, origin_ns: int) -> None:
        assert self._engine is not None
        try:
            self._engine.offer(origin_ns)
        except Exception as error:  # a greenlet's edge: told to the master, who ends the trial
            traceback.print_exc()
            self._failures.append(f"the dispatcher broke: {type(error).__name__}: {error}")

    def _arrivals(self, msg: Any, **_: Any) -> None:
        assert self._engine is not None
        for message_id, addressee, corrupt in msg.data["arrivals"]:
            self._engine.ledger.arrived(message_id, addressee, corrupt=corrupt)

    def _drop(self, **_: Any) -> None:
        assert self._engine is not None
        self._runner.send_message(seats.DROPPED, {"connections": self._engine.crowd.drop()})

    def _cease(self, **_: Any) -> None:
        if self._offering is not None:
            self._offering.kill()

    def _finish(self, msg: Any, **_: Any) -> None:
        engine, assignment = self._engine, self._assignment
        assert engine is not None
        assert assignment is not None
        self._cease()
        engine.finish()
        feed(self._runner.environment.stats, engine.recorder)
        found = engine.audit(assignment.generation, assignment.trial, Drained(**msg.data["drained"]))
        audit = {
            "audit": [dataclasses.asdict(row) for row in found.rows],
            "findings": [dataclasses.asdict(row) for row in found.findings],
        }
        self._report(data=audit)
        self._runner.send_message(seats.AUDIT, audit)
        self._seated.clear()
        self._engine, self._offering, self._settled_until = None, None, None
        self._exchanges.clear()
        self._failures.clear()
        self._whole = True

    def _tell_state(self) -> None:
        engine = self._engine
        assert engine is not None
        state: State = state_of(engine, over=self._offering is not None and self._offering.ready())
        state = dataclasses.replace(state, failures=(*self._failures, *state.failures))
        arrivals, engine.ledger.elsewhere = engine.ledger.elsewhere, []
        told = {"state": dataclasses.asdict(state), "arrivals": [list(arrival) for arrival in arrivals]}
        self._runner.send_message(seats.STATE, told)
        feed(self._runner.environment.stats, engine.recorder)

    def _keep(self, bins: Any, until: int) -> None:
        self._bins += bins
        self._settled_until = until

    def _report(self, data: dict[str, Any], **_: Any) -> None:
        bins, self._bins = self._bins, []
        data[seats.BINS] = [one.to_lists() for one in bins]
        data[seats.SETTLED_UNTIL] = self._settled_until


def main() -> int:
    """Read the command line and work for one trial."""
    parser = argparse.ArgumentParser(prog="python -m bench.load.worker", description=__doc__)
    parser.add_argument("--master", required=True, help="HOST:PORT")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the master decides what an interrupt means
    host, _, port = arguments.master.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        print(f"no master at {host}:{port}: {error}", file=sys.stderr)
        return NO_MASTER
    environment = Environment()
    worker = Worker(environment.create_worker_runner(host, int(port)))
    environment.user_classes = [person_user(worker.live)]
    return 0 if worker.run() else 1


if __name__ == "__main__":
    sys.exit(main())

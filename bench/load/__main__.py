"""The load process: `python -m bench.load --plan FILE --assignment JSON --out FOLDER`.

Brings the people online, reports `online`, waits for `begin ORIGIN_NS`, offers the planned load,
drains, and leaves timeline.csv, histograms.hlog and audit.json in FOLDER. `stop`, SIGTERM or the end
of standard input ends it early: it still writes all that it knows.
"""

# Locust patches the standard library for gevent, and must do so before anything else is imported.
from bench.load.locust_people import feed, person_user  # isort: skip

import argparse
import contextlib
import dataclasses
import gc
import json
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.fileobject import FileObject
from locust.env import Environment

from bench.load.crowd import Crowd, connect_with
from bench.load.dispatcher import dispatch
from bench.load.ledger import Ledger
from bench.load.pacer import intended_times_ns
from bench.load.population import bodies, contacts, draws
from bench.load.recorder import Recorder
from bench.load.trial import Assignment
from bench.plan import Plan

SETTLE_EVERY_S = 0.2
REPORT_EVERY_S = 1.0
POLL_S = 0.05


class LoadProcess:
    """One trial's load, from the first login to the audit."""

    def __init__(self, plan: Plan, assignment: Assignment, out: Path) -> None:
        self._plan = plan
        self._assignment = assignment
        self._out = out
        self._begin = Event()
        self._stop = Event()
        self._origin_ns = 0
        self._timeline = (out / "timeline.csv").open("w", encoding="utf-8", newline="")
        self._hlog = (out / "histograms.hlog").open("w", encoding="utf-8")
        self._recorder = Recorder(
            assignment.generation,
            assignment.trial,
            plan.stages,
            bin_width_s=plan.bin_width_s,
            timeout_s=plan.timeout_s,
            slo_ms=plan.slo.response_ms,
            timeline=self._timeline,
            hlog=self._hlog,
        )
        self._ledger = Ledger(assignment.run, 0, plan.clients)
        self._crowd = Crowd(
            plan.clients,
            plan.password,
            connect_with(assignment.client),
            assignment.endpoints,
            self._recorder,
            self._ledger,
            seed=assignment.seed,
        )
        self._environment = Environment(user_classes=[person_user(self._crowd)])

    def run(self) -> int:
        """Live the trial; 0 when it ran as planned, 1 when somebody failed."""
        signal.signal(signal.SIGTERM, lambda *_: self._stop.set())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the conductor decides what an interrupt means
        gevent.spawn(self._listen)
        runner = self._environment.create_local_runner()
        runner.start(user_count=self._plan.clients, spawn_rate=self._plan.login_rate_per_s)
        drained, detail = False, "stopped before the load began"
        if self._come_online():
            gc.collect()
            gc.freeze()
            drained, detail = self._offer()
        self._finish(drained, detail)
        runner.quit()
        return 1 if self._crowd.failures else 0

    def _listen(self) -> None:
        """Commands from the conductor; its silence for good means that it is gone."""
        for line in FileObject(sys.stdin.fileno(), "rb", closefd=False):
            word, _, argument = line.decode().strip().partition(" ")
            if word == "begin":
                self._origin_ns = int(argument)
                self._begin.set()
            elif word == "stop":
                break
        self._stop.set()

    def _come_online(self) -> bool:
        """Wait until everybody is online; False when told to stop or somebody fails."""
        reported = time.monotonic()
        while self._crowd.online < self._plan.clients:
            if self._crowd.failures:
                return False
            if self._stop.wait(POLL_S):
                return False
            if time.monotonic() - reported >= REPORT_EVERY_S:
                reported = time.monotonic()
                tell("progress", online=self._crowd.online)
        tell("online", online=self._crowd.online)
        while not self._begin.wait(POLL_S):
            if self._stop.is_set():
                return False
        self._recorder.begin(self._origin_ns)
        return True

    def _offer(self) -> tuple[bool, str]:
        """The stages and the drain: whether it drained, and if not, what was missing."""
        plan, seed = self._plan, self._assignment.seed
        dispatcher = gevent.spawn(
            dispatch,
            intended_times_ns(plan.stages, poisson=plan.arrivals == "poisson", seed=seed),
            draws(contacts(plan.clients, plan.contacts, seed), seed),
            bodies(plan.body_median_bytes, plan.body_p99_bytes, seed),
            self._crowd.clients,
            self._recorder,
            self._ledger,
            max_in_flight=plan.max_in_flight,
        )
        housekeeping = gevent.spawn(self._keep_house)
        while not (dispatcher.ready() or self._crowd.failures or self._stop.wait(POLL_S)):
            pass
        if not dispatcher.ready():
            dispatcher.kill()
            result = False, f"stopped after {self._seconds():.1f} s of load"
        else:
            dispatcher.get()  # what broke it, if anything did
            result = self._drain()
        if housekeeping.ready():
            housekeeping.get()  # it never ends by itself: this raises what broke it
        housekeeping.kill()
        return result

    def _drain(self) -> tuple[bool, str]:
        """Wait for the last answers and arrivals: a backlog of 0, all online, and then quiet."""
        end_ns = self._origin_ns + round(self._plan.load_s * 1e9)
        deadline_ns = end_ns + round(self._plan.drain_limit_s * 1e9)
        quiet_ns = round(self._plan.drain_quiet_s * 1e9)
        while True:
            now_ns = time.monotonic_ns()
            waiting = self._missing()
            last_ns = max(self._crowd.last_arrival_ns, end_ns)
            if not waiting and now_ns - last_ns >= quiet_ns:
                tell("drained", t_s=self._seconds())
                return True, ""
            if now_ns > deadline_ns or self._crowd.failures:
                return False, waiting or "messages kept arriving"
            if self._stop.wait(POLL_S):
                return False, f"stopped while draining: {waiting or 'waiting for quiet'}"

    def _missing(self) -> str:
        """What the drain still waits for, in words; empty when nothing."""
        offline = self._plan.clients - self._crowd.online
        if offline:
            return f"{offline} of {self._plan.clients} people are offline"
        if self._recorder.unanswered:
            return f"{self._recorder.unanswered} messages are unanswered"
        return ""

    def _keep_house(self) -> None:
        reported = time.monotonic()
        while True:
            gevent.sleep(SETTLE_EVERY_S)
            self._recorder.settle(time.monotonic_ns())
            if time.monotonic() - reported >= REPORT_EVERY_S:
                reported = time.monotonic()
                feed(self._environment.stats, self._recorder)
                self._progress()

    def _progress(self) -> None:
        totals = dataclasses.asdict(self._recorder.totals())
        t_s = self._seconds()
        tell("progress", t_s=t_s, phase=self._recorder.phase(t_s), online=self._crowd.online, **totals)

    def _finish(self, drained: bool, detail: str) -> None:
        self._crowd.close()
        if self._begin.is_set():
            self._recorder.close(time.monotonic_ns())
            feed(self._environment.stats, self._recorder)
        self._timeline.close()
        self._hlog.close()
        rows = self._ledger.audit(
            self._assignment.generation,
            self._assignment.trial,
            resent=self._crowd.resent,
            drained=drained,
            detail=detail,
        )
        (self._out / "audit.json").write_text(json.dumps([dataclasses.asdict(row) for row in rows]))
        if self._crowd.failures:
            tell("failed", error=self._crowd.failures[0])
        tell("finished", drained=drained, detail=detail, negative_deltas=self._recorder.negative)

    def _seconds(self) -> float:
        return (time.monotonic_ns() - self._origin_ns) / 1e9


def tell(event: str, **fields: Any) -> None:
    """One line to the conductor; one that is gone is not told."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
        sys.stdout.flush()


def main() -> int:
    """Read the command line and run one trial's load."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--assignment", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    plan = Plan.from_json(arguments.plan.read_text())
    return LoadProcess(plan, Assignment.from_json(arguments.assignment), arguments.out).run()


if __name__ == "__main__":
    sys.exit(main())

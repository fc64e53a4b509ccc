"""The load process: `python -m bench.load --plan FILE --assignment JSON --out FOLDER`.

Brings the people online, reports `online`, waits for `begin ORIGIN_NS`, offers the planned load,
drains, and leaves timeline.csv, touched.csv, histograms.hlog and audit.json in FOLDER. At `reconnect` it
ends everybody's connection, and says how many it `dropped`: people come back as after any loss. `stop`,
SIGTERM or the end of standard input ends it early: it still writes all that it knows. With workers it
makes no load itself, but leads the processes that do (workers.py, worker.py).
"""

# Locust patches the standard library for gevent, and must do so before anything else is imported.
from bench.load.solo import Solo  # isort: skip

import argparse
import contextlib
import dataclasses
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

from bench.load.drain import Drain, Drained
from bench.load.gathering import Gathering
from bench.load.locust_people import person_user
from bench.load.phases import phase_at
from bench.load.trial import Assignment
from bench.load.workers import Workers
from bench.plan import Plan

REPORT_EVERY_S = 1.0
POLL_S = 0.05
WATCH_S = 0.25
"""Under load: to look at thousands of people takes a fraction of a millisecond, in which nothing leaves."""


class LoadProcess:
    """One trial's load, from the first login to the audit."""

    def __init__(
        self,
        plan: Plan,
        assignment: Assignment,
        out: Path,
        workers: int,
        listen: tuple[str, int],
        positions: Path | None = None,
    ) -> None:
        self._plan = plan
        self._assignment = assignment
        self._out = out
        self._positions = positions
        self._begin = Event()
        self._stop = Event()
        self._origin_ns = 0
        self._reported = 0.0
        self._files = [
            (out / name).open("w", encoding="utf-8", newline="")
            for name in ("timeline.csv", "touched.csv", "histograms.hlog")
        ]
        self._gathering = Gathering(
            assignment.generation,
            assignment.trial,
            plan.stages,
            bin_width_s=plan.bin_width_s,
            timeline=self._files[0],
            touched=self._files[1],
            hlog=self._files[2],
            producers=max(workers, 1),
        )
        self._crew: Solo | Workers
        if workers:
            environment = Environment(user_classes=[person_user(lambda: None)])
            self._crew = Workers(environment.create_master_runner(*listen))
            self._crew.lead(plan, assignment, self._gathering, workers)
            tell("listening", port=self._crew.port)
        else:
            self._crew = Solo(plan, assignment, self._gathering, positions=_read_positions(positions))

    def run(self) -> int:
        """Live the trial; 0 when it ran as planned, 1 when somebody failed."""
        signal.signal(signal.SIGTERM, lambda *_: self._stop.set())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the conductor decides what an interrupt means
        gevent.spawn(self._listen)
        self._crew.gather()
        drained = Drained(False, "stopped before the load began")
        if self._come_online():
            drained = self._offer()
        if self._crew.lost_workers:
            drained = Drained(False, "; ".join(self._crew.lost_workers))
        failures = self._crew.state().failures
        audit = self._crew.finish(drained)
        self._crew.close()
        self._gathering.close()
        for file in self._files:
            file.close()
        if self._positions is not None and isinstance(self._crew, Solo):
            self._positions.write_text(json.dumps(self._crew.positions))
        (self._out / "audit.json").write_text(
            json.dumps(
                {
                    "rows": [dataclasses.asdict(row) for row in audit.rows],
                    "findings": [dataclasses.asdict(row) for row in audit.findings],
                }
            )
        )
        if failures:
            tell("failed", error=failures[0])
        tell(
            "finished",
            drained=drained.done,
            detail=drained.detail,
            negative_deltas=self._crew.state().negative_deltas,
            lost_workers=list(self._crew.lost_workers),
            clocks=list(self._crew.clocks),
        )
        return 1 if failures else 0

    def _listen(self) -> None:
        """Commands from the conductor; its silence for good means that it is gone."""
        for line in FileObject(sys.stdin.fileno(), "rb", closefd=False):
            word, _, argument = line.decode().strip().partition(" ")
            if word == "begin":
                self._origin_ns = int(argument)
                self._begin.set()
            elif word == "reconnect":
                tell("dropped", connections=self._crew.drop_connections())
            elif word == "stop":
                break
        self._stop.set()

    def _come_online(self) -> bool:
        """Wait until everybody is online; False when told to stop or somebody fails."""
        while (state := self._crew.state()).online < self._plan.clients:
            if state.failures or self._crew.lost_workers or self._stop.wait(POLL_S):
                return False
            self._report(lambda online=state.online: {"online": online})
        tell("online", online=self._plan.clients)
        while not self._begin.wait(POLL_S):
            if self._stop.is_set():
                return False
        self._crew.begin(self._origin_ns)
        return True

    def _offer(self) -> Drained:
        """The stages and the drain, and how that ended."""
        end_ns = self._origin_ns + round(self._plan.load_s * 1e9)
        drain: Drain | None = None
        while True:
            state = self._crew.state()
            if state.over:
                drain = drain or Drain(
                    self._plan,
                    max(end_ns, time.monotonic_ns()),
                    self._gathering.tail_s,
                    delivers=self._assignment.delivers,
                )
                ended = drain.look(state, time.monotonic_ns())
                if ended is not None:
                    tell("drained", t_s=self._seconds())
                    return ended
            when = f"after {self._seconds():.1f} s of load" if drain is None else "while draining"
            if state.failures or self._crew.lost_workers:
                return Drained(False, f"stopped {when}")
            if self._stop.wait(WATCH_S):
                if drain is None:
                    return Drained(False, f"stopped {when}")
                return drain.cut_short(f"stopped {when}: {state.missing or 'waiting for quiet'}")
            self._report(self._progress)

    def _progress(self) -> dict[str, Any]:
        state = self._crew.state()
        t_s = self._seconds()
        names = ("offered", "acknowledged", "failed", "unknown", "shed", "delivered", "in_flight", "online")
        counts = {name: getattr(state, name) for name in names}
        return {"t_s": t_s, "phase": phase_at(self._plan.stages, t_s), **counts}

    def _report(self, fields: Any) -> None:
        if time.monotonic() - self._reported >= REPORT_EVERY_S:
            self._reported = time.monotonic()
            tell("progress", **fields())

    def _seconds(self) -> float:
        return (time.monotonic_ns() - self._origin_ns) / 1e9


def _read_positions(path: Path | None) -> dict[int, int]:
    """What an earlier load process wrote for its people; none where there was none."""
    try:
        text = path.read_text() if path is not None else "{}"
    except FileNotFoundError:
        text = "{}"
    return {int(number): position for number, position in json.loads(text).items()}


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
    parser.add_argument("--workers", type=int, default=0, help="lead so many workers; 0 makes the load here")
    parser.add_argument(
        "--positions",
        type=Path,
        help="up to where people have received: gone on from, and written at the end",
    )
    parser.add_argument("--listen", default="127.0.0.1:0", help="where workers come to; port 0 is a free one")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    plan = Plan.from_json(arguments.plan.read_text())
    assignment = Assignment.from_json(arguments.assignment)
    host, _, port = arguments.listen.rpartition(":")
    listen = host, int(port)
    return LoadProcess(plan, assignment, arguments.out, arguments.workers, listen, arguments.positions).run()


if __name__ == "__main__":
    sys.exit(main())

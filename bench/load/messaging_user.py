"""People for a locustfile of your own: subclass `MessagingUser`, and run Locust as ever.

    from bench.load.messaging_user import MessagingUser

    class Friend(MessagingUser):
        protocol = "websocket"
        host = "ws://127.0.0.1:8080"
        rate = "500/s"

What `bench run` does then happens under Locust's own command: each user is a person online, once all are
the messages are offered on an absolute schedule, and all is recorded. `locust` alone, with `--headless`,
with its web page, and as `--master` and `--worker` all work; `--threegen-out FOLDER` keeps timeline.csv,
histograms.hlog and audit.csv. docs/locust.md tells more.
"""

import csv
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import gevent
from locust import User, constant, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import LocalRunner, MasterRunner, WorkerRunner
from pydantic import ValidationError

from bench.errors import UserError
from bench.load.drain import Drain, Drained
from bench.load.gathering import Gathering
from bench.load.solo import Solo
from bench.load.trial import Assignment
from bench.load.worker import Worker
from bench.load.workers import Workers
from bench.plan import Plan
from bench.planning import make_plan
from bench.profile import Profile, contradictions
from bench.records import AuditFindingRow, AuditRow, Endpoint

PROTOCOLS = ("xmpp", "http", "websocket", "request")
LEAD_S = 0.3
"""From the moment everybody is online to the origin."""
POLL_S = 0.05
WATCH_S = 0.25
"""Under load: looking at thousands of people takes a fraction of a millisecond, in which nothing leaves."""
ENDLESS = "24h"
"""How long the load lasts where nobody stops the test."""


class MessagingUser(User):
    """One person online. Everything is said by class attributes, in the words of docs/profiles.md.

    `protocol` is one of PROTOCOLS. `host` is where people connect, `SCHEME://ADDRESS:PORT` or several,
    comma-separated; `ca_file` the certificate to trust, which makes the connection TLS. People are `u0`,
    `u1`, …, all with the one `password`. `rate` is what all users together ask for, whatever their number.
    """

    abstract = True
    wait_time = constant(0)

    protocol = "websocket"
    ca_file: str | None = None
    password = "correct horse battery staple"
    rate = "100/s"
    settings: Mapping[str, Any] = {}
    """More of the profile: `load` (arrivals, timeout, loop, think_time, mix, body …), `population`, `slo`."""
    seed = 1

    @task
    def live(self) -> None:
        """Come online, and stay."""
        _processes[self.environment].live()
        raise StopUser


class _Lead:
    """The process that leads a test: Locust's only one, or its master."""

    def __init__(self, environment: Environment, users: type[MessagingUser]) -> None:
        self._environment = environment
        self._users = users
        self._crew: Solo | Workers | None = None
        self._leading: gevent.Greenlet[..., None] | None = None
        folder = getattr(environment.parsed_options, "threegen_out", None)
        self._out = Path(folder) if folder else None
        self._files: list[TextIO] = []
        self._gathering: Gathering
        self._plan: Plan
        self._assignment: Assignment
        runner = environment.runner
        self._workers = Workers(runner) if isinstance(runner, MasterRunner) else None
        environment.events.test_start.add_listener(self._start)  # type: ignore[no-untyped-call]
        environment.events.test_stopping.add_listener(self._stop)  # type: ignore[no-untyped-call]

    def live(self) -> None:
        assert isinstance(self._crew, Solo)
        self._crew.live()

    def _start(self, **_: Any) -> None:
        runner = self._environment.runner
        assert runner is not None
        count = len(runner.clients.ready) if isinstance(runner, MasterRunner) else 1
        # Locust's shares differ by one at the most; those too many in a share would have no place in it.
        people = runner.target_user_count // count * count
        self._plan = _plan(self._users, people)
        self._assignment = _assignment(self._users, self._environment.host)
        self._files = _open(self._out)
        self._gathering = Gathering(
            self._assignment.generation,
            1,
            self._plan.stages,
            bin_width_s=self._plan.bin_width_s,
            timeline=self._files[0],
            touched=self._files[1],
            hlog=self._files[2],
            producers=count,
        )
        if self._workers is None:
            self._crew = Solo(self._plan, self._assignment, self._gathering, self._environment)
        else:
            self._crew = self._workers
            self._workers.lead(self._plan, self._assignment, self._gathering, count)
        self._leading = gevent.spawn(self._lead)

    def _lead(self) -> None:
        try:
            self._go()
        except Exception as error:  # a greenlet's edge: the test must not go on without its load
            traceback.print_exc()
            self._give_up(f"{type(error).__name__}: {error}")

    def _go(self) -> None:
        assert self._crew is not None
        while self._crew.state().online < self._plan.clients:
            if self._broken():
                return
            gevent.sleep(POLL_S)
        self._crew.begin(time.monotonic_ns() + round(LEAD_S * 1e9))
        while not self._broken():
            gevent.sleep(WATCH_S)

    def _broken(self) -> bool:
        """Whether the test cannot go on; then it is told, and over."""
        assert self._crew is not None
        troubles = [*self._crew.state().failures, *self._crew.lost_workers]
        if troubles:
            self._give_up(troubles[0])
        return bool(troubles)

    def _give_up(self, why: str) -> None:
        print(f"threegen: {why}", file=sys.stderr)
        self._environment.process_exit_code = 1
        assert self._environment.runner is not None
        gevent.spawn(self._environment.runner.quit)

    def _drain(self, crew: Solo | Workers) -> Drained:
        """Wait until all is answered and nothing arrives any more, or the limit."""
        drain = Drain(
            self._plan, time.monotonic_ns(), self._gathering.tail_s, delivers=self._assignment.delivers
        )
        while (ended := drain.look(crew.state(), time.monotonic_ns())) is None:
            gevent.sleep(POLL_S)
        return ended

    def _stop(self, **_: Any) -> None:
        """Let what was asked be answered, while the people are still there, and write all down."""
        if self._leading is not None:
            self._leading.kill()  # first, for it goes by the crew
        crew, self._crew = self._crew, None
        if crew is None:
            return
        troubles = [*crew.state().failures, *crew.lost_workers]
        crew.cease()
        drained = Drained(False, "; ".join(troubles)) if troubles else self._drain(crew)
        audit = crew.finish(drained)
        self._gathering.close()
        for file in self._files:
            file.close()
        if self._out is not None:
            _write(self._out / "audit.csv", AuditRow, audit.rows)
            _write(self._out / "audit_findings.csv", AuditFindingRow, audit.findings)
        for clock in crew.clocks:
            print(f"threegen: {clock}", file=sys.stderr)
        whole = audit.rows[-1]
        print(
            f"threegen: {whole.attempted} messages attempted, {whole.acknowledged} acknowledged, "
            f"{whole.lost} lost: {whole.verdict}{f' ({whole.detail})' if whole.detail else ''}",
            file=sys.stderr,
        )


_processes: dict[Environment, _Lead | Worker] = {}


@events.init_command_line_parser.add_listener
def _options(parser: LocustArgumentParser) -> None:
    parser.add_argument(
        "--threegen-out",
        metavar="FOLDER",
        env_var="THREEGEN_OUT",
        help="Keep timeline.csv, touched.csv, histograms.hlog and audit.csv of the test in this folder, "
        "which is made.",
    )


@events.init.add_listener
def _init(environment: Environment, **_: Any) -> None:
    try:
        users = _only_class(environment)
        _plan(users, 2)
        _assignment(users, environment.host)
    except UserError as error:
        print(f"threegen: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if isinstance(environment.runner, WorkerRunner):
        worker = Worker(environment.runner)
        _processes[environment] = worker
        gevent.spawn(worker.run)
    else:
        assert isinstance(environment.runner, MasterRunner | LocalRunner)
        _processes[environment] = _Lead(environment, users)


def _only_class(environment: Environment) -> type[MessagingUser]:
    first, *others = environment.user_classes
    if others or not issubclass(first, MessagingUser):
        names = ", ".join(each.__name__ for each in environment.user_classes)
        raise UserError(
            f"{environment.locustfile}: user classes {names}: a MessagingUser offers the load of all users, "
            "so it must be the only class; name it on the command line, or set the others abstract"
        )
    return first


def _plan(users: type[MessagingUser], people: int) -> Plan:
    """The plan of a test of this class with so many people; raises UserError where it cannot be."""
    if people < 2:
        raise UserError(
            f"{users.__name__}: {people} people online; at least 2 are needed, to write to each other"
        )
    settings = {name: dict(part) for name, part in users.settings.items()}
    stage = {"name": "load", "kind": "steady", "duration": ENDLESS}
    if settings.get("load", {}).get("loop") != "closed":  # there, answers set the rate
        stage["rate"] = users.rate
    profile = {
        "name": "locust",
        "seed": users.seed,
        "generations": ["monolith"],  # the only word for a system under test that a plan needs
        "drain": {"quiet": "2s", "limit": "30s"},
        **settings,
        "population": {"clients": people, **settings.get("population", {})},
        "load": {"stages": [stage], **settings.get("load", {})},
    }
    try:
        checked = Profile.model_validate(profile)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(_said(users, first["loc"], f"{first['input']!r}: {first['msg']}")) from error
    for where, what in contradictions(checked):
        raise UserError(_said(users, where, what))
    return make_plan(checked)


def _said(users: type[MessagingUser], where: Sequence[str | int], what: str) -> str:
    """A defect of the profile in the words of the class's attributes."""
    key = ".".join(str(part) for part in where)
    return f"{users.__name__}.{'rate' if key == 'load.stages.0.rate' else f'settings: {key}'}: {what}"


def _assignment(users: type[MessagingUser], told_host: str | None) -> Assignment:
    """Where to connect and how; `told_host`, of the command line, goes first. Raises UserError."""
    host = told_host or users.host or ""
    if users.protocol not in PROTOCOLS:
        raise UserError(
            f"{users.__name__}.protocol: {users.protocol!r}: expected one of {', '.join(PROTOCOLS)}"
        )
    endpoints = []
    for text in host.split(","):
        parts = urlsplit(text if "//" in text else f"//{text}")
        try:
            port = parts.port
        except ValueError:
            port = None
        if not parts.hostname or not port:
            raise UserError(
                f"{users.__name__}.host: {host!r}: expected SCHEME://ADDRESS:PORT, or several with "
                "commas between, such as ws://127.0.0.1:8080"
            )
        endpoints.append(Endpoint(parts.hostname, port, users.ca_file))
    run = time.time_ns() // 1_000_000_000 & 0xFFFFFFFF
    return Assignment(users.__name__.lower(), users.protocol, 1, users.seed, run, tuple(endpoints))


def _write(path: Path, row_class: type, rows: Sequence[Any]) -> None:
    with path.open("w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.name for column in fields(row_class)])
        writer.writerows(astuple(row) for row in rows)


def _open(out: Path | None) -> list[TextIO]:
    """Where timeline and histograms go: into the folder `out`, or nowhere."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    names = ("timeline.csv", "touched.csv", "histograms.hlog")
    files = [Path(os.devnull) if out is None else out / name for name in names]
    return [file.open("w", encoding="utf-8", newline="") for file in files]

"""The crew of a trial without workers: this process is the one that makes the load.

A crew is what `LoadProcess` leads: `Solo` here, or `Workers` (workers.py). Both come to the same
`State`, and give their settled bins to the same `Gathering`.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import gevent
from locust.env import Environment

from bench.load.audit import Audit
from bench.load.crowd import connect_with
from bench.load.drain import Drained
from bench.load.engine import Engine, Seat
from bench.load.gathering import Gathering
from bench.load.locust_people import feed, person_user
from bench.load.population import populate
from bench.load.trial import Assignment, State
from bench.plan import Plan

FEED_EVERY_S = 1.0


def state_of(engine: Engine, *, over: bool) -> State:
    """How far an engine is, on this process's clock."""
    totals = engine.recorder.totals()
    return State(
        online=engine.crowd.online,
        offline=engine.crowd.offline,
        over=over,
        missing=engine.missing(),
        last_arrival_ns=engine.crowd.last_arrival_ns,
        negative_deltas=engine.recorder.negative,
        offered=totals.offered,
        acknowledged=totals.acknowledged,
        failed=totals.failed,
        unknown=totals.unknown,
        shed=totals.shed,
        delivered=totals.delivered,
        in_flight=totals.in_flight,
        failures=tuple(engine.crowd.failures),
    )


class Solo:
    """One engine under a Locust runner of its own."""

    lost_workers: Sequence[str] = ()
    clocks: Sequence[str] = ()

    def __init__(
        self,
        plan: Plan,
        assignment: Assignment,
        gathering: Gathering,
        environment: Environment | None = None,
        positions: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self._plan = plan
        self._assignment = assignment
        self._engine = Engine(
            plan,
            populate(plan),
            Seat(assignment.run, assignment.seed),
            connect_with(assignment.client),
            assignment.endpoints,
            lambda bins, until: gathering.take(0, bins, until),
            positions,
            delivers=assignment.delivers,
        )
        self.environment = environment or Environment(user_classes=[person_user(self.live)])
        self._offering: gevent.Greenlet[..., None] | None = None
        self._feeding: gevent.Greenlet[..., None] | None = None

    @property
    def positions(self) -> dict[int, int]:
        """Up to which everybody has received, by number, where the protocol counts."""
        return self._engine.crowd.positions

    def gather(self) -> None:
        """Let everybody come online."""
        runner = self.environment.create_local_runner()
        runner.start(user_count=self._plan.clients, spawn_rate=self._plan.login_rate_per_s)

    def live(self) -> None:
        """Be the next person; what a Locust user does."""
        self._engine.crowd.live()

    def begin(self, origin_ns: int) -> None:
        """Let the first stage begin at this moment."""
        self._offering = gevent.spawn(self._engine.offer, origin_ns)
        self._feeding = gevent.spawn(self._feed)

    def cease(self) -> None:
        """Ask for nothing more."""
        if self._offering is not None:
            self._offering.kill()

    def drop_connections(self) -> int:
        """End everybody's connection at once; how many had one."""
        return self._engine.crowd.drop()

    def state(self) -> State:
        """How far it is; raises what broke it."""
        over = self._offering is not None and self._offering.ready()
        if over:
            assert self._offering is not None
            self._offering.get()
        return state_of(self._engine, over=over)

    def finish(self, drained: Drained) -> Audit:
        """Everybody leaves; the audit."""
        self.cease()
        self._engine.finish()
        if self._feeding is not None:
            self._feeding.kill()
            feed(self.environment.stats, self._engine.recorder)
        assignment = self._assignment
        return self._engine.audit(assignment.generation, assignment.trial, drained)

    def close(self) -> None:
        """End Locust."""
        assert self.environment.runner is not None
        self.environment.runner.quit()

    def _feed(self) -> None:
        while True:
            gevent.sleep(FEED_EVERY_S)
            feed(self.environment.stats, self._engine.recorder)

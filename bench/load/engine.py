"""The load of one process: its share of the people, what they ask, and the record of it.

Whoever owns it makes its people live (Locust does, a user each), fixes the origin, calls `offer`, looks
at `missing` until it is empty, and finishes it. It knows neither Locust nor the conductor.
"""

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import gevent

from bench.load.ahead import Ahead
from bench.load.alarm import Alarm
from bench.load.audit import Audit
from bench.load.clients.arrivals import arrivals
from bench.load.crowd import Connect, Crowd
from bench.load.dispatcher import Dispatcher
from bench.load.drain import Drained
from bench.load.ledger import Ledger
from bench.load.pacer import intended_times_ns, think_times_s
from bench.load.population import Population, bodies, draws_in_pieces, draws_of, share
from bench.load.recorder import Give, Recorder
from bench.plan import Plan
from bench.records import Endpoint

SETTLE_EVERY_S = 0.2
TIDY_EVERY_S = 1.0
COLLECT_AFTER = 50_000
"""How many objects more there must be for Python to look for cycles: not in the middle of every burst."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Which of the load processes of a trial this one is, and the numbers its messages carry."""

    run: int
    seed: int
    worker: int = 0
    workers: int = 1


class Engine:
    """One process's part of one trial."""

    def __init__(
        self,
        plan: Plan,
        population: Population,
        seat: Seat,
        connect: Connect,
        endpoints: Sequence[Endpoint],
        give: Give,
        positions: Mapping[int, int] = MappingProxyType({}),
        *,
        delivers: bool = True,
    ) -> None:
        """`delivers` is False for a protocol in which messages come to nobody."""
        self._plan = plan
        self._population = population
        self._seat = seat
        self.recorder = Recorder(
            give, bin_width_s=plan.bin_width_s, timeout_s=plan.timeout_s, slo_ms=plan.slo.response_ms
        )
        self.ledger = Ledger(
            seat.run,
            plan.clients,
            population.groups,
            producer=seat.worker,
            producers=seat.workers,
            delivers=delivers,
        )
        self.crowd = Crowd(
            share(plan.clients, seat.worker, seat.workers),
            plan.password,
            connect,
            endpoints,
            self.recorder,
            self.ledger,
            seed=seat.seed,
            positions=positions,
        )
        self._housekeeping: gevent.Greenlet[..., None] | None = None

    @property
    def all_online(self) -> bool:
        """Whether everybody of this process's share is."""
        return self.crowd.online >= len(self.crowd.share)

    def offer(self, origin_ns: int) -> None:
        """Offer the plan's load from `origin_ns` on; return after the last of it was asked."""
        plan, seat = self._plan, self._seat
        self.recorder.begin(origin_ns)
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER, 20, 100)
        self._housekeeping = gevent.spawn(self._keep_house)
        with Alarm() as alarm:
            if plan.loop == "closed":
                alarm.run(self._asking_in_turns(alarm))
                return
            drawn = Ahead(
                draws_in_pieces(self._population, plan, seat.seed, worker=seat.worker, workers=seat.workers)
            )
            schedule = intended_times_ns(
                plan.stages,
                poisson=plan.arrivals == "poisson",
                seed=seat.seed,
                worker=seat.worker,
                workers=seat.workers,
            )
            drawing = gevent.spawn(drawn.run)
            try:
                with arrivals().held():
                    alarm.run(self._dispatcher(alarm).offer(schedule, drawn))
            finally:
                drawing.kill(block=False)

    def _asking_in_turns(self, alarm: Alarm) -> Iterator[int]:
        plan, seat = self._plan, self._seat
        dispatcher = self._dispatcher(alarm)
        self.crowd.told = dispatcher.answered
        return dispatcher.offer_closed(
            plan.load_s,
            plan.timeout_s,
            think_times_s(plan.think_s or 0.0, seat.seed, seat.worker),
            draws_of(self._population, plan, seat.seed, worker=seat.worker, workers=seat.workers),
        )

    def _dispatcher(self, alarm: Alarm) -> Dispatcher:
        plan = self._plan
        return Dispatcher(
            self.crowd.clients,
            self.crowd.share.start,
            bodies(plan, plan.seed),
            plan.stages,
            self.recorder,
            self.ledger,
            max_in_flight=max(1, plan.max_in_flight // self._seat.workers),
            look=arrivals().look,
            no_later_than=alarm.no_later_than,
        )

    def missing(self) -> str:
        """What a drain still waits for, in words; empty when nothing. Raises what broke the housekeeping."""
        if self._housekeeping is not None and self._housekeeping.ready():
            self._housekeeping.get()
        if offline := self.crowd.offline:
            return f"{offline} of {len(self.crowd.share)} people are offline"
        if self.recorder.unanswered:
            return f"{self.recorder.unanswered} requests are unanswered"
        return ""

    def finish(self) -> None:
        """Everybody leaves; what is left in the recorder is given out."""
        self.crowd.close()
        if self._housekeeping is not None:
            self._housekeeping.kill()
        self.recorder.close(time.monotonic_ns())

    def audit(self, generation: str, trial: int, drained: Drained) -> Audit:
        """The audit of what this process attempted; see Ledger.audit."""
        return self.ledger.audit(generation, trial, resent=self.crowd.resent, drained=drained)

    def _keep_house(self) -> None:
        tidied = time.monotonic()
        while True:
            gevent.sleep(SETTLE_EVERY_S)
            for _ in self.recorder.settle(time.monotonic_ns()):
                gevent.sleep(0.001)
            if time.monotonic() - tidied >= TIDY_EVERY_S:
                tidied = time.monotonic()
                for _ in self.ledger.tidy():
                    gevent.sleep(0.001)

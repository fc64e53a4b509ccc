"""The search for capacity, from a plan to a run folder.

    1. hold the host, make the run folder: the plan with the search's settings
    2. for each generation, deployed once and kept up, but for a node that is to be down:
         a. climb from the lowest rate until no goal is met any more
         b. let the search ask for rates between, and tell it what came of each (analysis/capacity.py)
         c. look at the latency at some shares of the capacity that was found
    3. say in the manifest how it ended

Each trial is a load process of its own; people go on receiving where they had stopped. A trial that met
every goal counts whatever the machine did, for nothing but the system can have made it good; another
whose figures are not the system's is void, and retried. Where it stays void the search goes on below, as
if no goal had been met there, but the trial proves nothing, and is named beside the bound. A second rate
that noise keeps void ends the generation's search, with the bounds that are proved until then. Whatever
ends the search early, the trials so far stay and are analysed.
"""

import asyncio
import contextlib
import dataclasses
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import machine
from bench.analysis.capacity import (
    SHARES_OF_CAPACITY,
    Answer,
    Bounds,
    Outcome,
    Question,
    Search,
    Tried,
    ask,
    bounds_of,
    carries,
    outcome,
    trials_of,
)
from bench.analysis.verdict import Verdict
from bench.conductor.deploying import deploy, prepare, require_programs
from bench.conductor.run import RETRIES, begin_folder, close_folder
from bench.conductor.site import WORK, clear_containers, clear_leftovers, refuse_memory_disk
from bench.conductor.trial import Reached, Session, verdict_of
from bench.deployment import Deployment, Stop
from bench.errors import DeploymentError
from bench.histograms import decode_log
from bench.load.trial import Assignment
from bench.lock import host_lock
from bench.manifest import Ended, Phase, Trial
from bench.plan import Plan, PlannedStage, client_kind
from bench.profile import Capacity
from bench.records import CapacityTrialRow
from bench.results import RunFolder
from bench.watcher import Watcher

STEP = 3.0
"""By how much the climb rises while every goal is met; afterwards by half of it."""
BIN_WIDTH_S = 0.25
DRAIN_QUIET_S = 1.0
DRAIN_LIMIT_S = 20.0
STAGE = "steady"
SETTLE_S = 10.0
"""After a node was stopped: longer than a database's failover and an election of the log's leaders take."""
MOST_GIVEN_UP = 1
"""How many rates may be given up for noise before the search ends."""
Tell = Callable[[CapacityTrialRow, Mapping[str, Bounds]], None]
"""Hears of each trial as it ends, and of the bounds that are proved so far."""


class _TooNoisy(Exception):
    """A trial stayed void, however often it was tried."""


def search_of(capacity: Capacity, share: float) -> Search:
    """The search that a profile asks for; `share` of what is offered must meet a goal."""
    return Search(
        goals_ms=tuple(sorted(goal_s * 1000 for goal_s in capacity.goals)),
        share=share,
        lowest_per_s=capacity.lowest,
        highest_per_s=capacity.highest,
        warmup_s=capacity.warmup,
        short_s=capacity.trial / 2,
        trial_s=capacity.trial,
        total_s=capacity.total,
        width=capacity.width,
        down=capacity.down or "",
    )


async def search_capacity(
    plan: Plan,
    search: Search,
    results: Path,
    project: Path,
    watcher: Watcher,
    tell: Tell,
    ceilings_per_s: Mapping[str, float],
) -> RunFolder:
    """Do all of it; the run folder, whose manifest says how it ended."""
    require_programs(plan)
    with host_lock():
        clear_leftovers(results)
        await clear_containers(watcher)
        refuse_memory_disk(results)
        await prepare(plan, results, watcher)
        text = json.dumps(
            {**dataclasses.asdict(plan), "search": dataclasses.asdict(search)}, sort_keys=True, indent=1
        )
        folder = begin_folder(plan, results, project, ceilings_per_s, kind="capacity", text=text)
        folder.write_capacity_trials(())
        rows: list[CapacityTrialRow] = []
        done = 0
        reached = Reached()
        try:
            for name in plan.generations:
                ceiling_per_s = ceilings_per_s.get(client_kind(name))
                own = search.within(ceiling_per_s)
                if own.highest_per_s <= own.lowest_per_s:
                    watcher.note(
                        f"{name}: nothing can be searched below 60 % of a ceiling of {ceiling_per_s:,.0f}/s"
                    )
                    done += 1
                    continue
                work = results / WORK / f"{folder.path.name}-{name}"
                async with deploy(plan, name, work, folder.path / "logs" / name, watcher) as deployment:
                    rig = _Rig(plan, own, name, deployment, work, folder, rows, watcher, tell, reached)
                    rig.ceiling_per_s = ceiling_per_s
                    await rig.search_and_look()
                done += 1
            close_folder(folder, "complete", f"{done} of {len(plan.generations)} generations", None)
        except BaseException as error:
            how: Ended = "failed" if isinstance(error, Exception) else "interrupted"
            said = f"{done} of {len(plan.generations)} generations, then {reached.step}"
            close_folder(folder, how, said, error)
            raise
        finally:
            clear_leftovers(results)
    return folder


@dataclass(slots=True)
class _Rig:
    """One generation that is up, and the trials it is put to; `rows` are those of all generations."""

    plan: Plan
    search: Search
    generation: str
    deployment: Deployment
    work: Path
    folder: RunFolder
    rows: list[CapacityTrialRow]
    watcher: Watcher
    tell: Tell
    reached: Reached
    ceiling_per_s: float | None = None
    _trials: int = 0
    _given_up: int = 0

    async def search_and_look(self) -> None:
        """Climb, narrow, and look at the latency below."""
        try:
            rate_per_s: float | None = self.search.lowest_per_s
            while rate_per_s is not None:
                top = await self._climb(rate_per_s)
                await self._narrow(top)
                rate_per_s = self._beyond(top)
        except _TooNoisy as noise:
            self.watcher.note(f"{self.generation}: the search ends here: {noise}")
        capacity = self.bounds().get(self.search.names[-1], (None, None))[0]
        if capacity is None:
            return
        for share in SHARES_OF_CAPACITY:
            with contextlib.suppress(_TooNoisy):  # the row says that it is void
                await self._answered("latency", Question(share * capacity, self.search.trial_s), share)

    def bounds(self) -> Mapping[str, Bounds]:
        """What is proved so far."""
        return bounds_of(self.search, self._tried())

    def _tried(self) -> Tried:
        return trials_of(row for row in self.rows if row.generation == self.generation)

    def _beyond(self, top: CapacityTrialRow) -> float | None:
        """Where to climb on, if the top turned out to be carried after all; None where it is the top."""
        highest_per_s = self.search.highest_per_s
        if top.rate_per_s >= highest_per_s or not carries(self.search, self._tried(), top.rate_per_s):
            return None
        return min(top.rate_per_s * STEP / 2, highest_per_s)

    async def _climb(self, rate_per_s: float) -> CapacityTrialRow:
        """The first rate from this one on that is not carried, or the highest; its last trial.

        One bad trial is no proof: a rate is tried until there are enough to decide.
        """
        highest_per_s = self.search.highest_per_s
        while True:
            row = await self._answered("climb", Question(round(rate_per_s, 6), self.search.trial_s))
            if row.failed_goals == len(self.search.names):
                while not row.void and carries(self.search, self._tried(), rate_per_s) is None:
                    row = await self._answered("climb", Question(round(rate_per_s, 6), self.search.trial_s))
                if not carries(self.search, self._tried(), rate_per_s):
                    return row
            if row.rate_per_s >= highest_per_s:
                return row
            rate_per_s = min(rate_per_s * (STEP if not row.failed_goals else STEP / 2), highest_per_s)

    async def _narrow(self, top: CapacityTrialRow) -> None:
        if top.rate_per_s <= self.search.lowest_per_s:
            return  # not even the lowest rate is met: there is nothing between
        asking = ask(self.search, top.rate_per_s)
        first = True
        try:
            question = next(asking)
            while True:
                # The search begins where the climb ended, which is known already.
                asked = (round(question.rate_per_s, 6), question.duration_s)
                known = first and asked == (top.rate_per_s, top.duration_s)
                row = top if known else await self._answered("search", question)
                first = False
                question = asking.send(Answer(row.failed_goals, row.achieved_ratio))
        except StopIteration:
            return
        finally:
            asking.close()

    async def _answered(
        self, purpose: str, question: Question, share: float | None = None
    ) -> CapacityTrialRow:
        """The trial, tried again while it is void; raises _TooNoisy where noise keeps it so."""
        retry_of: int | None = None
        for tries in range(RETRIES + 1):
            row, verdict = await self._trial(purpose, question, share, retry_of=retry_of)
            if not row.void:
                return row
            retry_of = row.trial if retry_of is None else retry_of
            if verdict.lasting or tries == (RETRIES if verdict.word == "noisy" else 1):
                break
        self._given_up += verdict.word == "noisy"
        if self._given_up > MOST_GIVEN_UP:
            raise _TooNoisy(f"trial {row.trial} at {row.rate_per_s:,.0f}/s: {verdict.reason}")
        return replace(row, failed_goals=len(self.search.names))

    async def _trial(
        self, purpose: str, question: Question, share: float | None = None, *, retry_of: int | None = None
    ) -> tuple[CapacityTrialRow, Verdict]:
        await self._hold_down()
        self._trials += 1
        number, name, search = self._trials, self.generation, self.search
        self.reached.step = f"{name} trial {number} at {question.rate_per_s:,.0f}/s"
        self.watcher.step(self.reached.step)
        plan = _plan_of(self.plan, search, question)
        plan_file = self.work / f"plan-{number}.json"
        plan_file.write_text(plan.to_json())
        session = Session(
            plan=plan,
            plan_file=plan_file,
            assignment=Assignment(
                generation=name,
                client=client_kind(name),
                trial=number,
                seed=plan.seed + number,
                run=zlib.crc32(f"{self.folder.path.name} {name} {number}".encode()),
                endpoints=self.deployment.endpoints,
            ),
            scratch=self.work.with_name(f"{self.work.name}-load-{number}"),
            log=self.folder.logs(name, number) / "load.log",
            watcher=self.watcher,
            positions=self.work / "positions.json",
        )
        await session.run(self.deployment)
        self._refuse_dead()
        left = session.left()
        text = (line.encode() for line in left.measured.hlog_text.splitlines(keepends=True))
        lines = list(decode_log(text, "histograms of this trial"))
        seen = outcome(search, STAGE, left.measured.timeline, lines, left.measured.audit)
        verdict = verdict_of(plan, left, ceiling_per_s=self.ceiling_per_s)
        void = verdict.void and seen.failed_goals > 0
        row = _row(name, number, purpose, question, share, seen, void=void, verdict=verdict)
        cores = machine.divide_cores()
        self.folder.add_trial(
            Trial(
                generation=name,
                trial=number,
                status="void" if void else "complete",
                origin_ns=session.reached.origin_ns,
                phases=tuple(Phase(s.name, s.start_s, s.end_s) for s in plan.stages),
                detail="; ".join(session.sayings),
                sut_cores=tuple(sorted(cores.sut or ())),
                generator_cores=tuple(sorted(cores.generator or ())),
                verdict=verdict.word,
                verdict_reason=verdict.reason,
                retry_of=retry_of,
            ),
            timeline=left.measured.timeline,
            telemetry=left.telemetry,
            audit=left.measured.audit,
            touched=left.measured.touched,
            findings=left.measured.findings,
            hlog_text=left.measured.hlog_text,
        )
        self.rows.append(row)
        self.folder.write_capacity_trials(self.rows)
        self.tell(row, self.bounds() if purpose != "latency" else {})
        return row, verdict

    async def _hold_down(self) -> None:
        """Stop the node that is to be down, where it runs, and let the others find themselves without it."""
        node = self.search.down_node(self.generation)
        if node is None or self.deployment.nodes()[node] is None:
            return
        self.reached.step = f"{self.generation}, stopping {node}"
        self.watcher.step(self.reached.step)
        if not isinstance(self.deployment, Stop):
            raise DeploymentError(f"this deployment cannot stop {node}, so that it be down")
        await self.deployment.stop(node)
        self.watcher.note(f"{self.generation} goes on without {node}")
        await asyncio.sleep(SETTLE_S)

    def _refuse_dead(self) -> None:
        down = self.search.down_node(self.generation)
        dead = [node for node, pid in self.deployment.nodes().items() if pid is None and node != down]
        if dead:
            raise DeploymentError(
                f"{', '.join(dead)} died under {self.reached.step}; see {self.folder.path / 'logs'}"
            )


def _row(
    generation: str,
    trial: int,
    purpose: str,
    question: Question,
    share: float | None,
    seen: Outcome,
    *,
    void: bool,
    verdict: Verdict,
) -> CapacityTrialRow:
    return CapacityTrialRow(
        generation=generation,
        trial=trial,
        purpose=purpose,  # type: ignore[arg-type]
        rate_per_s=round(question.rate_per_s, 6),
        duration_s=question.duration_s,
        share_of_capacity=share,
        offered=seen.offered,
        achieved_ratio=seen.achieved_ratio,
        backlog_grows=seen.backlog_grows,
        lost=seen.lost,
        response_p50_ms=seen.response_p50_ms,
        response_p99_ms=seen.response_p99_ms,
        failed_goals=seen.failed_goals,
        void=void,
        why=verdict.reason if void else seen.why,
    )


def _plan_of(plan: Plan, search: Search, question: Question) -> Plan:
    """The plan with the question's rate in two stages, a warm-up and the one that is judged, and no fault."""
    rate = question.rate_per_s
    ends_s = (search.warmup_s, search.warmup_s + question.duration_s)
    stages = (
        PlannedStage("warmup", "warmup", 0.0, ends_s[0], ((0.0, rate), (ends_s[0], rate))),
        PlannedStage(STAGE, "steady", *ends_s, ((ends_s[0], rate), (ends_s[1], rate))),
    )
    return replace(
        plan,
        stages=stages,
        faults=(),
        loop="open",
        think_s=None,
        bin_width_s=BIN_WIDTH_S,
        max_in_flight=max(1, round(rate * plan.timeout_s)),
        slo=replace(plan.slo, response_ms=search.goals_ms[0], share=search.share),
        drain_quiet_s=min(plan.drain_quiet_s or DRAIN_QUIET_S, DRAIN_QUIET_S),
        drain_limit_s=min(plan.drain_limit_s, DRAIN_LIMIT_S),
    )


def generations_of(plan: Plan, only: Sequence[str]) -> Plan:
    """The plan for those generations alone, where any are named."""
    return (
        replace(plan, generations=tuple(name for name in plan.generations if name in only)) if only else plan
    )

"""Whether a trial's figures are the system's: `sut_bound`, or `generator_bound` or `noisy`, and void.

Judged stage by stage, warm-ups left out; the first rule that a stage breaks decides. In this order:

    generator_bound   load processes used more than 80 % of their core: late answers may be theirs
    generator_bound   more was offered than 60 % of the calibrated ceiling
    noisy             the hypervisor took more than 10 % of all cores
    noisy             a 1 ms sleep overshot by more than 5 % of the SLO, more than once in ten seconds
    noisy             the machine was 95 % busy, foreign processes had 25 % of it, and the SLO was missed
    generator_bound   lag p99 above 5 % of the SLO; `noisy` instead where the load process was kept waiting
                      for its core more than 10 % of the time and foreign processes had 10 % of the machine

The noise rules ask whether the figures *can* be distorted, not whether the machine was quiet. While a core
is idle, foreign processes take it and not the system's. A stage that met its SLO on a full machine would
have met it on an empty one too, for noise only ever makes a system look worse: it stays, and its
percentiles are upper bounds, which the reason says. In a stage of faults the SLO is missed by design, so
there foreign processes must have had half of a full machine. On a 2-core machine where other people's
work held one core throughout, trials at 150/s had a canary of 0.2 ms and a lag p99 of 4 ms under an SLO
of 300 ms: neither is near its limit of 15 ms.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.metrics import TRANSACTIONS
from bench.analysis.planned import Slo, Stage
from bench.histograms import Histogram, LogLine, merge, percentile
from bench.manifest import TrialVerdict
from bench.records import TelemetryRow, TimelineRow

GENERATOR_CPU_LIMIT = 0.80
CEILING_SHARE = 0.60
"""Of what the generator reaches against a target that does nothing; above it no figure is believed."""
LAG_LIMIT_SHARE = 0.05
"""Of the SLO: so late may the generator be."""
STEAL_LIMIT = 0.10
CANARY_QUANTILE = 0.9
FULL_BUSY = 0.95
FOREIGN_LIMIT = 0.25
FOREIGN_LIMIT_UNDER_FAULTS = 0.50
WAIT_LIMIT = 0.10
FOREIGN_TO_BLAME = 0.10
FEWEST_FOR_LAG = 100
"""Below so many sends a stage's lag p99 is its highest lag, and nobody is judged by it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is a sentence with figures. `lasting` says that the same would come of trying again."""

    word: TrialVerdict
    reason: str
    lasting: bool = False

    @property
    def void(self) -> bool:
        """Whether the trial's figures are not to be believed."""
        return self.word != "sut_bound"


@dataclass(frozen=True, slots=True)
class Signs:
    """What one measured stage shows of generator and machine; ratios as means over it, None unknown.

    `generator_cpu_ratio` is of the load processes' core: the busiest one, or all over the cores they
    share. `offered_per_s` and `on_time_share` are of sends.
    """

    stage: str
    kind: str
    offered_per_s: float
    on_time_share: float | None
    lag_p99_ms: float | None
    generator_cpu_ratio: float | None
    generator_wait_ratio: float | None
    steal_ratio: float | None
    busy_ratio: float | None
    foreign_cpu_ratio: float | None
    sleep_overshoot_p90_ms: float | None


def signs(
    stages: Sequence[Stage],
    timeline: Sequence[TimelineRow],
    telemetry: Sequence[TelemetryRow],
    histograms: Iterable[LogLine],
    *,
    generator_cores: int = 1,
) -> tuple[Signs, ...]:
    """The signs of each measured stage of one trial, of whose rows alone the arguments are."""
    lags: dict[str, list[Histogram]] = {}
    for line in histograms:
        if line.tag.measure == "lag" and line.tag.operation in TRANSACTIONS:
            lags.setdefault(line.tag.phase, []).append(line.histogram)
    return tuple(
        _signs_of(stage, timeline, telemetry, merge(lags.get(stage.name, ())), generator_cores)
        for stage in stages
        if stage.kind != "warmup"
    )


def judge(seen: Sequence[Signs], slo: Slo, *, ceiling_per_s: float | None = None) -> Verdict:
    """The verdict on a trial with these signs; `ceiling_per_s` is the generator's own, where calibrated."""
    broken = (verdict for stage in seen for verdict in _broken(stage, slo, ceiling_per_s))
    return next(broken, Verdict("sut_bound", _in_order(seen)))


def _broken(stage: Signs, slo: Slo, ceiling_per_s: float | None) -> Iterator[Verdict]:
    """The rules that the stage breaks, as verdicts, in the rules' order."""
    used = stage.generator_cpu_ratio
    if used is not None and used > GENERATOR_CPU_LIMIT:
        yield Verdict(
            "generator_bound",
            f"{stage.stage}: the generator used {percent(used)} of its core, "
            f"above {percent(GENERATOR_CPU_LIMIT)}",
        )
    if ceiling_per_s is not None and stage.offered_per_s > CEILING_SHARE * ceiling_per_s:
        yield Verdict(
            "generator_bound",
            f"{stage.stage}: {stage.offered_per_s:,.0f}/s is above {percent(CEILING_SHARE)} of the "
            f"generator's ceiling here, {ceiling_per_s:,.0f}/s",
            lasting=True,
        )
    yield from _noise(stage, slo)
    limit_ms = LAG_LIMIT_SHARE * slo.response_ms
    if stage.lag_p99_ms is not None and stage.lag_p99_ms > limit_ms:
        waited, foreign = stage.generator_wait_ratio or 0.0, stage.foreign_cpu_ratio or 0.0
        by_others = waited > WAIT_LIMIT and foreign > FOREIGN_TO_BLAME
        if by_others:
            why = (
                f"; the generator waited {percent(waited)} of the time for its core, foreign processes had it"
            )
        else:
            why = "" if used is None else f"; the generator used {percent(used)} of its core"
        late = (
            f"lag p99 {stage.lag_p99_ms:.1f} ms, above {limit_ms:g} ms, {percent(LAG_LIMIT_SHARE)} of the SLO"
        )
        yield Verdict("noisy" if by_others else "generator_bound", f"{stage.stage}: {late}{why}")


def _noise(stage: Signs, slo: Slo) -> Iterator[Verdict]:
    if stage.steal_ratio is not None and stage.steal_ratio > STEAL_LIMIT:
        yield Verdict(
            "noisy", f"{stage.stage}: the hypervisor took {percent(stage.steal_ratio)} of all cores"
        )
    overshoot_ms, limit_ms = stage.sleep_overshoot_p90_ms, LAG_LIMIT_SHARE * slo.response_ms
    if overshoot_ms is not None and overshoot_ms > limit_ms:
        yield Verdict(
            "noisy",
            f"{stage.stage}: sleeping 1 ms took {overshoot_ms:.1f} ms longer in one second of ten, "
            f"above {limit_ms:g} ms, {percent(LAG_LIMIT_SHARE)} of the SLO",
        )
    if _contended(stage, slo):
        yield Verdict(
            "noisy",
            f"{stage.stage}: foreign processes had {percent(stage.foreign_cpu_ratio or 0)} of a full machine"
            + ("" if stage.kind == "fault" else ", and the SLO was missed"),
        )


def _contended(stage: Signs, slo: Slo) -> bool:
    """Whether foreign processes can have kept the system from CPU that it needed."""
    if stage.foreign_cpu_ratio is None or stage.busy_ratio is None or stage.busy_ratio < FULL_BUSY:
        return False
    if stage.kind == "fault":
        return stage.foreign_cpu_ratio > FOREIGN_LIMIT_UNDER_FAULTS
    missed = stage.on_time_share is not None and stage.on_time_share < slo.share
    return missed and stage.foreign_cpu_ratio > FOREIGN_LIMIT


def _in_order(seen: Sequence[Signs]) -> str:
    """What speaks for the trial: the worst of its stages, in figures."""
    said = []
    used = [stage.generator_cpu_ratio for stage in seen if stage.generator_cpu_ratio is not None]
    if used:
        said.append(f"the generator used at most {percent(max(used))} of its core")
    lags_ms = [stage.lag_p99_ms for stage in seen if stage.lag_p99_ms is not None]
    if lags_ms:
        said.append(f"lag p99 at most {max(lags_ms):.1f} ms")
    foreign = [s.foreign_cpu_ratio for s in seen if s.foreign_cpu_ratio is not None]
    if foreign and max(foreign) > FOREIGN_LIMIT:
        said.append(
            f"foreign processes had {percent(max(foreign))} of the machine: latencies are upper bounds"
        )
    return "; ".join(said) or "nothing was read that speaks against it"


def _signs_of(
    stage: Stage,
    timeline: Sequence[TimelineRow],
    telemetry: Sequence[TelemetryRow],
    lag: Histogram,
    generator_cores: int,
) -> Signs:
    sends = [row for row in timeline if row.phase == stage.name and row.operation in TRANSACTIONS]
    offered = sum(row.offered for row in sends)
    readings: dict[tuple[str, str], list[float]] = {}
    for row in telemetry:
        if stage.start_s < row.t_s <= stage.end_s:
            readings.setdefault((row.subject, row.metric), []).append(row.value)
    overshoots = readings.get(("host", "sleep_overshoot_ms"), ())
    p99_us = percentile(lag, 0.99) if lag.total >= FEWEST_FOR_LAG else None
    return Signs(
        stage=stage.name,
        kind=stage.kind,
        offered_per_s=offered / (stage.end_s - stage.start_s),
        on_time_share=sum(row.on_time for row in sends) / offered if offered else None,
        lag_p99_ms=None if p99_us is None else p99_us / 1000,
        generator_cpu_ratio=_of_generator(readings, "cpu_ratio", generator_cores),
        generator_wait_ratio=_of_generator(readings, "wait_ratio", generator_cores),
        steal_ratio=_mean(readings.get(("host", "steal_ratio"), ())),
        busy_ratio=_mean(readings.get(("host", "busy_ratio"), ())),
        foreign_cpu_ratio=_mean(readings.get(("host", "foreign_cpu_ratio"), ())),
        sleep_overshoot_p90_ms=float(np.quantile(overshoots, CANARY_QUANTILE)) if len(overshoots) else None,
    )


def percent(ratio: float) -> str:
    """A share in whole per cent, as reasons say it."""
    return f"{ratio * 100:.0f} %"


def _of_generator(
    readings: Mapping[tuple[str, str], Sequence[float]], metric: str, cores: int
) -> float | None:
    means = [
        float(np.mean(values))
        for (subject, name), values in readings.items()
        if name == metric and subject.startswith("generator")
    ]
    return max(*means, sum(means) / cores) if means else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None

"""The values that cross boundaries: frozen, with units in their names; and the CSV files' columns.

A `*Row` class is one row of the CSV file its docstring names: the fields, in order, are the columns.
Times called `*_s` in rows are seconds from the trial's origin, the moment its first stage begins
(before it they are negative). Missing is None here and an empty cell there, never 0.

`SCHEMA_VERSION` counts changes to any of them:
1  the first.
2  trials carry a verdict, and which trial they repeat: in manifest.json, and in trials.csv, which is new.
   capacity.csv and capacity_trials.csv are new, in the folders of searches.
3  faults.csv and recovery.csv name all nodes that were struck together, joined by `+`; new kinds of faults.
   capacity.csv says which node was down throughout. recovery.csv has redundant_s, human_s, touched_clients
   and touched_ratio; recovery_phases.csv and touched.csv are new.
   recovery_data.csv and recovery_fit.csv are new, in the folders of sweeps.
   audit.csv has duplicated_by_resend and duplicated_by_server, largest_displacement, collected, quiet_s and
   quiet_by; audit_findings.csv is new.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast, get_args

SCHEMA_VERSION = 3
SINCE_3: Mapping[str, int] = {"since": 3}
"""Metadata of a column that files of earlier schema versions lack; there it is read as missing."""

Outcome = Literal["ok", "failed", "unknown"]
OUTCOMES: Sequence[Outcome] = ("ok", "failed", "unknown")
Measure = Literal["response", "service", "lag", "delivery"]
MEASURES: Sequence[Measure] = ("response", "service", "lag", "delivery")

RecoveryPhase = Literal["detected", "decided", "promoted", "restarted", "replayed", "rebalanced", "redundant"]
RECOVERY_PHASES: Sequence[RecoveryPhase] = get_args(RecoveryPhase)
"""What a system says of its own recovery, in the order in which one would expect it."""

QuietBy = Literal["rule", "profile"]
FindingKind = Literal["lost", "phantom", "corrupt", "duplicated", "reordered"]
FINDING_KINDS: Sequence[FindingKind] = ("lost", "phantom", "corrupt", "duplicated", "reordered")
"""What the audit finds fault with, gravest first."""

OPERATIONS = ("login", "send", "group_send", "sync", "presence")
"""What a person does; the order is that of the numbers they go by in a load process."""

LOWEST_LATENCY_US = 1
HIGHEST_LATENCY_US = 3_600_000_000
SIGNIFICANT_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where people connect: an edge node's address; `ca_file` is the certificate to trust under TLS."""

    host: str
    port: int
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Who connects: the account's index (17), its name (`u17`) and its password.

    `position` is up to which this person has received in an earlier life, where the protocol counts.
    """

    number: int
    name: str
    password: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node to look into: `admin_url` has `/healthz`, `/readyz` and `/metrics`, where it has any."""

    name: str
    pid: int | None
    admin_url: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """What a slow network does to what a node sends. None is: as fast as it goes."""

    latency_s: float = 0.0
    loss_ratio: float = 0.0
    bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something on this machine: `missing` stops a run, `poor` makes it worse; `mend` is what to do."""

    name: str
    level: Literal["well", "poor", "missing"]
    found: str
    mend: str = ""


class HistogramTag(NamedTuple):
    """What one line of histograms.hlog counts; its Tag is the fields joined by `/`. Values are µs.

    `response`, `service` and `lag` stand in the bin of the *intended* start, `delivery` in the bin of
    the receipt.
    """

    generation: str
    trial: int
    phase: str
    operation: str
    outcome: Outcome
    measure: Measure

    def __str__(self) -> str:
        return "/".join(str(part) for part in self)

    @classmethod
    def parse(cls, text: str) -> "HistogramTag":
        """The tag written by str(); raises ValueError for anything else."""
        generation, trial, phase, operation, outcome, measure = text.split("/")
        if outcome not in OUTCOMES or measure not in MEASURES:
            raise ValueError(f"not a histogram tag: {text!r}")
        return cls(generation, int(trial), phase, operation, cast(Outcome, outcome), cast(Measure, measure))


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """timeline.csv: one bin of one operation, trials in the order they ended.

    The stages' names are the phases, besides `login` before the first and `drain` after the last. Bins
    in which nothing happened may be missing.

    By intended start: `offered` arrivals of the schedule; of them `sent`, `shed` (never sent, too many
    in flight), and by outcome `ok`, `failed`, `unknown` (no answer within the timeout); `on_time` are
    those acknowledged within the SLO. offered = shed + ok + failed + unknown once the bin is settled.
    By the clock: `acknowledged_in_bin`, `delivered_in_bin`, and `backlog`, the messages attempted and
    not yet acknowledged at the bin's end. Percentiles are empty where n(1-q) < 10.
    """

    generation: str
    trial: int
    phase: str
    bin_start_s: float
    bin_width_s: float
    operation: str
    offered: int
    sent: int
    shed: int
    ok: int
    failed: int
    unknown: int
    on_time: int
    acknowledged_in_bin: int
    delivered_in_bin: int
    backlog: int
    response_p50_ms: float | None
    response_p95_ms: float | None
    response_p99_ms: float | None
    delivery_p95_ms: float | None
    lag_p99_ms: float | None


@dataclass(frozen=True, slots=True)
class FaultRow:
    """faults.csv: one step of one fault, `inject` or `heal`, with its invoke and its completion.

    `fault` numbers the faults of a trial from 1. `node` is the nodes' names joined by `+`, empty where the
    fault is aimed at none. `completed_s` is when it was confirmed (of all of them: the process reaped,
    stopped or started), None where it was not; `detail` then says why. Of a `reconnect` it says how many
    connections were dropped.
    """

    generation: str
    trial: int
    fault: int
    kind: str
    node: str
    step: Literal["inject", "heal"]
    planned_s: float
    invoked_s: float
    completed_s: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class RecoveryRow:
    """recovery.csv: one fault of one trial, and when what happened after it.

    Times are on the trial's clock; None where it did not happen or could not be told. The rules they
    follow stand in bench/analysis/health.py and recovery.py. `outcome`: `no impact` (never
    unhealthy), `recovered`, `not recovered` (then `time_to_recover_s` is None and `censored_at_s` is how
    long it was watched: the figure is `> censored_at_s`), `unknown` (the injection was not
    confirmed, or there is no baseline, with `detail`). `resolution_s` says how fine the times are.
    time_to_recover_s = restored_s - injected_s, 0 where there was no impact. `human_s` of it are the
    operator's, noticing and deciding, as the profile says; 0 where the system came back before the operator
    acted: the rest is the machine's. `touched_clients` had an operation that failed, was shed, unanswered or
    late, or lost their connection, between the injection and `restored_s`; `touched_ratio` is their share
    of all clients: the blast radius. Both are None in runs of schema version 1 and 2.
    `redundant_s` is when the system said that it holds as many replicas again as before; None for a
    system that has none, or never said so.
    """

    generation: str
    trial: int
    fault: int
    kind: str
    node: str
    outcome: Literal["no impact", "recovered", "not recovered", "unknown"]
    injected_s: float | None
    impact_s: float | None
    detected_s: float | None
    first_success_s: float | None
    restored_s: float | None
    caught_up_s: float | None
    redundant_s: float | None = field(metadata=SINCE_3)
    time_to_recover_s: float | None
    human_s: float | None = field(metadata=SINCE_3)
    time_to_catch_up_s: float | None
    censored_at_s: float | None
    resolution_s: float | None
    unhealthy_s: float | None
    relapses: int | None
    lost_goodput_messages: float | None
    touched_clients: int | None = field(metadata=SINCE_3)
    touched_ratio: float | None = field(metadata=SINCE_3)
    baseline_p95_ms: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """recovery_phases.csv, tidy: one step of a system's own recovery from one fault, by time.

    `at_s` is on the trial's clock, `since_injection_s` after the injection's confirmation, which is a little
    later than the death that a node may see at once: never below 0. `node` is which node the step is
    about; `source` who said so: a node, from whose log it is, or `operator`, played by the harness. The
    first time of each step for each node and source; what the words mean in each generation stands in
    docs/architecture.md.
    """

    generation: str
    trial: int
    fault: int
    phase: RecoveryPhase
    at_s: float
    since_injection_s: float
    node: str
    source: str


@dataclass(frozen=True, slots=True)
class TouchedRow:
    """touched.csv: who did not get what they asked for in one bin of one operation; bins without are missing.

    `clients` people had an operation intended in it that failed, was shed, unanswered or late by the
    SLO; those of `login` lost their connection in it. `people` are their numbers, rising, as in
    `0-3 7 12-59`.
    """

    generation: str
    trial: int
    bin_start_s: float
    bin_width_s: float
    operation: str
    clients: int
    people: str


@dataclass(frozen=True, slots=True)
class TelemetryRow:
    """telemetry.csv: one reading of one device. `subject` is a node, `generator`, `harness`, or `host`.

    Processes: `cpu_seconds` (user and system, since the process began; falls when the process is a new
    one), `resident_bytes`. Load processes (`generator`, `generator-worker-1` …), of the second before:
    `cpu_ratio` of one core, `wait_ratio` in which it could have run and was not let. Host, of the second
    before: `cpu_pressure_ratio` (some task waited for a CPU), `steal_ratio`, `busy_ratio`,
    `foreign_cpu_ratio` (used by processes that are no part of the run), `context_switches_per_s`, and
    `sleep_overshoot_ms` of a 1 ms sleep. `failed_samples` of the device `host`, `processes`, `generator`
    or `foreign` is a gap: that second was not read.
    """

    generation: str
    trial: int
    t_s: float
    subject: str
    metric: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    """audit.csv: every message of one phase accounted for; the phase is that of its intended start.

    lost = acknowledged and never delivered; phantom = delivered and never attempted; rescued = not
    acknowledged and delivered all the same; duplicated = delivered again, counted each time after the
    first; reordered = delivered after a later message of the same conversation and sender, an inversion;
    corrupt = the body's CRC does not match. `verdict`: `complete` (nothing lost, phantom, or corrupt),
    `violated`, `unknown` (not drained: `detail` says what was missing). Phase `all` sums up.

    `duplicated` is `duplicated_by_resend`, of messages that a client had sent again, and
    `duplicated_by_server`, of messages that it had not. `largest_displacement` is how many messages of the
    same conversation and sender the latest of the reordered ones had let pass, 0 for none. `collected` are
    the people who were offline after the load and were logged in to collect what waits for them. The verdict
    fell when nothing had been missing or had arrived for `quiet_s`: by the `rule`, max(10 s, 3 × the 99.9th
    percentile of response and delivery), or as the `profile` says; None where the wait was cut short.
    `detail` names the first few messages found fault with; audit_findings.csv names more.
    """

    generation: str
    trial: int
    phase: str
    attempted: int
    acknowledged: int
    refused: int
    unknown: int
    delivered: int
    lost: int
    phantom: int
    rescued: int
    duplicated: int
    reordered: int
    corrupt: int
    resent: int
    drained: bool
    verdict: Literal["complete", "violated", "unknown"]
    detail: str
    duplicated_by_resend: int | None = field(default=None, metadata=SINCE_3)
    duplicated_by_server: int | None = field(default=None, metadata=SINCE_3)
    largest_displacement: int | None = field(default=None, metadata=SINCE_3)
    collected: int | None = field(default=None, metadata=SINCE_3)
    quiet_s: float | None = field(default=None, metadata=SINCE_3)
    quiet_by: QuietBy | None = field(default=None, metadata=SINCE_3)


@dataclass(frozen=True, slots=True)
class AuditFindingRow:
    """audit_findings.csv: one message that the audit finds fault with, by name; kinds are those of audit.csv.

    Up to 10,000 of each kind from each load process, gravest kind and earliest start first; audit.csv counts
    them all. `sender` and `target` are accounts (`u7`), the target of a message to a group is the group
    (`g3`). `intended_s` is its intended start on the trial's clock, and `phase` the one that is in; of a
    phantom, which nobody attempted, they are missing and empty. `detail` says more: who was not reached,
    whether it was sent again, how far it was out of its place.
    """

    generation: str
    trial: int
    finding: FindingKind
    message_id: str
    sender: str
    target: str
    phase: str
    intended_s: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class TrialRow:
    """trials.csv: one trial, in running order, as manifest.json has it, and whether it was steady.

    A `void` trial is in no figure. `verdict` is empty where none was given; `retry_of` is the number of
    the void trial that this one repeats. `steady_state` is of the stage that the headline figures are of:
    `no_steady_state` had not come to rest, with the reason, `unknown` cannot be told; `steady_from_s` is
    where its warm-up ended, and empty where it did not. The rules stand in bench/analysis/steady_state.py.
    """

    generation: str
    trial: int
    status: Literal["complete", "interrupted", "failed", "void"]
    verdict: Literal["sut_bound", "generator_bound", "noisy"] | None
    verdict_reason: str
    retry_of: int | None
    steady_state: Literal["steady", "no_steady_state", "unknown"]
    steady_from_s: float | None
    steady_reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class CapacityTrialRow:
    """capacity_trials.csv: one trial of a search for capacity, in running order.

    `purpose`: `climb` looks for a rate that is too high, `search` narrows, `latency` is at
    `share_of_capacity` of what was found. `achieved_ratio` is what was acknowledged while it was offered,
    over what was offered; `failed_goals` counts the goals the trial is bad for, tightest first, and `why`
    says what for. A `void` trial (trials.csv says why) bounds nothing.
    """

    generation: str
    trial: int
    purpose: Literal["climb", "search", "latency"]
    rate_per_s: float
    duration_s: float
    share_of_capacity: float | None
    offered: int
    achieved_ratio: float
    backlog_grows: bool
    lost: int
    response_p50_ms: float | None
    response_p99_ms: float | None
    failed_goals: int
    void: bool
    why: str


@dataclass(frozen=True, slots=True)
class CapacityRow:
    """capacity.csv: between which rates one generation stops meeting one goal.

    `goal` is `p99<=…ms`, `max` (no latency goal) or `critical`, the geometric mean over the latency goals.
    `lower_per_s` was met and `upper_per_s` was not; None where no trial proved one. `trials` and `trial_s`
    are those of the generation's search together. `believed`: whether both are within 60 % of the
    generator's `ceiling_per_s`; `unknown` where it was not calibrated. `down` is the node that was down
    throughout, so that the capacity is a degraded one; empty where none was.
    """

    generation: str
    goal: str
    lower_per_s: float | None
    upper_per_s: float | None
    trials: int
    trial_s: float
    ceiling_per_s: float | None
    believed: Literal["yes", "no", "unknown"]
    note: str
    down: str = field(default="", metadata=SINCE_3)


SweptSize = Literal["data_bytes", "users_online"]
SweptFigure = Literal["time_to_recover_s", "replay_s"]


@dataclass(frozen=True, slots=True)
class RecoveryDataRow:
    """recovery_data.csv: one fault of one trial of a sweep, and what it struck; controls are left out.

    `data_factor` and `users_factor` are those of the trial's setting: `messages` of history, preloaded, which
    take `data_bytes` in one copy of the generation's store (what the load adds is not in it), and
    `users_online`. `outcome`, `time_to_recover_s` and `censored_at_s` are recovery.csv's. `replay_s` is the
    longest replay that a node told of after the fault, empty where none did.
    """

    generation: str
    trial: int
    fault: int
    kind: str
    node: str
    data_factor: float
    users_factor: float
    messages: int
    data_bytes: int | None
    users_online: int
    outcome: Literal["no impact", "recovered", "not recovered", "unknown"]
    time_to_recover_s: float | None
    censored_at_s: float | None
    replay_s: float | None


@dataclass(frozen=True, slots=True)
class RecoveryFitRow:
    """recovery_fit.csv: the line of one figure of one generation against one size, over `points` of a sweep.

    The points are the faults of the kind and node of the generation's first.
    `slope_s` is in seconds per `per` of the size (10^9 bytes, 1,000 people), with its 95 % interval;
    `at_zero_s` is where the line begins. `reached_at` is the size at which the line comes to
    `published_recovery_s`, with the interval that the slope's makes of it; only where `verdict` is
    `projected`. `no dependence seen`: the slope's interval holds 0. `not projected`: `note` says why, or
    the figure has no published one. `censored` points are lower bounds. The rules: bench/analysis/sweep.py.
    """

    generation: str
    against: SweptSize
    figure: SweptFigure
    points: int
    censored: int
    per: float
    slope_s: float | None
    slope_lower_s: float | None
    slope_upper_s: float | None
    at_zero_s: float | None
    published_recovery_s: float | None
    reached_at: float | None
    reached_at_lower: float | None
    reached_at_upper: float | None
    verdict: Literal["projected", "no dependence seen", "not projected"]
    note: str


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """summary.csv, tidy: one metric of one phase. `n` is the count of samples the value rests on.

    `operation` is empty for what belongs to no single operation. Percentile metrics are called
    `response_p99` and so on, in ms.
    """

    generation: str
    trial: int
    phase: str
    operation: str
    metric: str
    value: float | None
    unit: str
    n: int


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """A row of `bench compare --format csv` and `json`: one figure of a contender beside a baseline.

    `baseline` and `contender` are medians over the trials, in the figure's own unit (its name ends with it;
    `tps` is 1/s, `lost` messages, `slo_share` a ratio). `ratio` is contender over baseline, `ratio_low` and
    `ratio_high` its 95 % interval, `p` the permutation test's, `p_holm` that after Holm, `margin_ratio` the
    margin (0.05 is 5 %), `further_trials` how many more a side would settle it. The words stand in
    bench/analysis/judgement.py; `forced` says that the runs differ in more than their figures. A figure
    that never came, infinity, is empty too.
    """

    baseline_run: str
    baseline_generation: str
    contender_run: str
    contender_generation: str
    phase: str
    figure: str
    primary: bool
    baseline: float | None
    contender: float | None
    baseline_trials: int
    contender_trials: int
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    p: float | None
    p_holm: float | None
    margin_ratio: float | None
    word: Literal["better", "worse", "equivalent", "inconclusive", "descriptive only", "no figure"]
    further_trials: int | None
    forced: bool
    reason: str


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A row of `bench history --format csv`: one run's median of one figure, in the figure's own unit.

    Runs of equal `plan` (a digest that leaves out how many trials there are) on equal `host` (a fingerprint)
    are one series. `change` says that a new stretch begins with this run, `change_ratio` times the one
    before, and `changed_versions` what else changed there.
    """

    profile: str
    plan: str
    host: str
    generation: str
    figure: str
    run: str
    created_utc: str
    value: float
    trials: int
    change: Literal["better", "worse"] | None
    change_ratio: float | None
    changed_versions: str

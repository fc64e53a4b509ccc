from pathlib import Path

import pytest

from bench.capabilities import CAPABILITIES, deployments_that_can
from bench.errors import ProfileError
from bench.profile import load_profile

TEXT = """\
name: broken
generations: [%s]
deployment: %s
population: {clients: 10}
load:
  stages:
    - {name: warm, kind: warmup, duration: 5s, rate: 10/s}
    - {name: steady, kind: steady, duration: 55s, rate: 10/s}
drain: {limit: 30s}
faults:
%s
"""


def refusal(tmp_path: Path, *faults: str, generations: str = "sharded", deployment: str = "local") -> str:
    path = tmp_path / "x.yaml"
    path.write_text(TEXT % (generations, deployment, "\n".join(f"  - {{{fault}}}" for fault in faults)))
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}:")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            "kind: partition, target: core, at: 9s, duration: 1s",
            "kind: partition: not possible with deployment local; it is with namespaces, compose",
        ),
        ("kind: kill, at: 9s", "kind: kill of what? give a target, such as core, or a role with all"),
        ("kind: kill, at: 9s, target: core, all: core", "all: target says already what is struck"),
        ("kind: kill, at: 9s, all: nodes", "all: 'nodes': expected 'core', 'edge', 'replica'"),
        ("kind: none, at: 9s, target: core", "target: a fault of kind none is aimed at no node"),
        ("kind: reconnect, at: 9s, all: edge", "all: a fault of kind reconnect is aimed at no node"),
        ("kind: reconnect, at: 9s, duration: 2s", "duration: a reconnect has none; the people come back"),
        ("kind: kill, at: 9s, target: core, duration: 2s", "duration: a kill has none; restart_after says"),
        ("kind: pause, at: 9s, target: core", "duration: required for a pause: how long until it is healed"),
        (
            "kind: pause, at: 9s, target: core, duration: 1s, restart_after: 1s",
            "restart_after: goes with kill and stop, not with pause; give its duration instead",
        ),
        ("kind: restart, at: 9s, target: core, restart_after: 1s", "restart_after: goes with kill and stop,"),
        ("kind: kill, at: 9s, target: core, repeat: 2", "every: required to repeat it 2 times"),
        ("kind: kill, at: 9s, target: core, every: 9s", "every: goes with repeat, which says how many"),
        ("kind: kill, at: 9s, target: core, repeat: 0", "repeat: 0: expected greater than or equal to 1"),
        ("kind: kill, at: 9s, target: core, loss: 1%", "loss: goes with a fault of kind slow, not with kill"),
        ("kind: kill, at: 9s, target: core, by: 1s", "by: goes with a fault of kind clock_jump, not with k"),
        ("kind: kill, at: 60s, target: core", "at: 60s is outside the run, whose stages last 60s"),
        ("kind: none, at: 5s", "at: 5s is before the steady stage (from 5s), the baseline"),
        ("kind: kill, at: 50s, within: 10s, target: core", "within: it strikes as late as 60s, outside the"),
        (
            "kind: kill, at: 20s, within: 5s, target: core, repeat: 3, every: 20s",
            "repeat: number 3 strikes as late as 65s, outside the run",
        ),
        ("kind: kill, at: 9s, within: -1s, target: core", "within: '-1s': expected a duration"),
        ("kind: pause, at: 9s, target: core, duration: -1s", "duration: '-1s': expected a duration"),
        (
            "kind: pause, at: 50s, within: 5s, target: core, duration: 6s",
            "duration: heals as late as 61s, when the load has ended, at 60s",
        ),
        (
            "kind: kill, at: 50s, target: core, restart_after: 40s",
            "restart_after: started again as late as 90s in sharded, when the drain has been given up, at 90s",
        ),
        ("kind: kill, at: 9s, target: server", "target: no node or role 'server' in sharded; it has shard-0"),
        ("kind: kill, at: 9s, all: service", "all: no node of role 'service' in sharded; it has shard-0"),
        (
            "kind: kill, at: 9s, target: core, generations: [monolith]",
            "generations: monolith is not among the profile's generations",
        ),
        (
            "kind: kill, at: 9s, target: core, repeat: 3, every: 6s, within: 1s",
            "every: strikes shard-0-primary again while it may ail, 6s long; expected more than that",
        ),
    ],
)
def test_a_fault_that_cannot_be_is_refused_at_its_key(tmp_path: Path, fault: str, expected: str) -> None:
    assert f"11: faults[1].{expected}" in refusal(tmp_path, fault)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("kind: slow, target: core, duration: 1s, at: 9s", "kind: how slow? give at least one of latency"),
        ("kind: slow, target: core, duration: 1s, at: 9s, loss: 0%", "loss: '0%': expected greater than 0"),
        (
            "kind: slow, target: core, duration: 1s, at: 9s, bandwidth: 5MB",
            "bandwidth: '5MB': expected a ban",
        ),
        ("kind: slow, target: core, duration: 1s, at: 9s, latency: 100", "latency: 100: expected a duration"),
        ("kind: clock_jump, target: core, duration: 1s, at: 9s", "by: required for a clock_jump: how far"),
        ("kind: clock_jump, target: core, duration: 1s, at: 9s, by: 0s", "by: required for a clock_jump"),
        (
            "kind: clock_jump, target: core, duration: 1s, at: 9s, by: 5m",
            "by: '5m': expected a duration with",
        ),
        (
            "kind: full_disk, target: edge, duration: 1s, at: 9s",
            "target: 'edge' cannot suffer a full_disk in",
        ),
    ],
)
def test_what_only_namespaces_can_do_has_its_own_keys(tmp_path: Path, fault: str, expected: str) -> None:
    assert f"11: faults[1].{expected}" in refusal(tmp_path, fault, deployment="namespaces")


def test_one_node_is_not_struck_while_another_fault_may_have_it_ailing(tmp_path: Path) -> None:
    pause = "kind: pause, target: api-1, at: 20s, within: 4s, duration: 6s"
    message = refusal(tmp_path, pause, "kind: kill, target: api-1, at: 26s")
    assert message == (
        "12: faults[2].at: may strike api-1, at 26s or later, while it still ails of fault 1, until 30s"
    )
    assert "12: faults[2].at: may strike api-1" in refusal(tmp_path, pause, "kind: stop, all: edge, at: 10s, "
                                                           "restart_after: 10s")  # fmt: skip


def test_a_node_that_is_drawn_must_find_one_that_is_well(tmp_path: Path) -> None:
    both = "kind: pause, all: edge, at: 20s, duration: 9s"
    message = refusal(tmp_path, both, "kind: kill, target: edge, at: 25s")
    assert "12: faults[2].target: strikes at 25s in trial 1 of sharded, when every node that can" in message


def test_faults_of_different_nodes_may_overlap(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    faults = ["kind: pause, target: api-1, at: 20s, duration: 9s", "kind: kill, target: random, at: 22s",
              "kind: kill, target: failover, at: 20s", "kind: none, at: 20s"]  # fmt: skip
    path.write_text(TEXT % ("sharded", "local", "\n".join(f"  - {{{fault}}}" for fault in faults)))
    assert len(load_profile(path).faults) == 4


def test_every_kind_can_be_done_by_some_deployment_and_namespaces_do_all() -> None:
    kinds = set().union(*CAPABILITIES.values())
    assert CAPABILITIES["namespaces"] == kinds
    assert deployments_that_can("slow") == ["namespaces", "compose"]

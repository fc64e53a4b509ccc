"""What a plan believes of the deployment is what its code can do."""

import pytest

from bench.capabilities import CAPABILITIES
from bench.deployment import ClockJump, FullDisk, Kill, Partition, Pause, SlowNetwork, Stop
from bench.deployment.local.deployment import LocalDeployment
from bench.deployment.namespaces import NamespacedDeployment

PROTOCOLS = {
    "kill": Kill,
    "stop": Stop,
    "restart": Stop,
    "pause": Pause,
    "partition": Partition,
    "slow": SlowNetwork,
    "full_disk": FullDisk,
    "clock_jump": ClockJump,
}


@pytest.mark.parametrize(("name", "kind"), [("local", LocalDeployment), ("namespaces", NamespacedDeployment)])
def test_it_can_do_what_it_is_said_to_and_nothing_else(name: str, kind: type) -> None:
    can = {fault for fault, protocol in PROTOCOLS.items() if issubclass(kind, protocol)}
    assert can == CAPABILITIES[name] - {"reconnect", "none"}  # type: ignore[index]

"""Which deployment can do which faults, as a plan must know before anything is started.

What a deployment's code can do, its protocols say (bench/deployment/__init__.py); its tests hold it to this.
"""

from collections.abc import Mapping
from typing import Literal

from bench.generations import FaultKind

DeploymentName = Literal["local", "namespaces", "compose"]

_ANYWHERE: frozenset[FaultKind] = frozenset({"kill", "pause", "restart", "stop", "reconnect", "none"})

CAPABILITIES: Mapping[DeploymentName, frozenset[FaultKind]] = {
    "local": _ANYWHERE,
    "namespaces": _ANYWHERE | {"partition", "slow", "full_disk", "clock_jump"},
    "compose": _ANYWHERE | {"partition", "slow"},
}


def deployments_that_can(kind: FaultKind) -> list[DeploymentName]:
    """The deployments that can do `kind`; never none."""
    return [name for name, kinds in CAPABILITIES.items() if kind in kinds]

"""Every node of a generation on this host as if on a host of its own: address, link, disk and clock.

The local deployment with another ground under it. Nothing of that ground has a name on the host that would
outlive the run: namespaces are held by processes that die with the harness (holder.py); links, queueing
disciplines, mounts and loop devices vanish with the namespaces they are in.
"""

from bench.deployment.namespaces.deployment import NamespacedDeployment
from bench.deployment.namespaces.ground import Ground
from bench.deployment.namespaces.needs import choose_block, require

__all__ = ["Ground", "NamespacedDeployment", "choose_block", "require"]

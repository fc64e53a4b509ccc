"""One node's container, and the node's own process in it."""

from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Member:
    """A node's container, as the SDK gives it; `ready_url` is None where only the nodes above it can tell."""

    node: str
    container: Any
    ready_url: str | None
    engine_restarts: bool


def member_of(node: str, container: Any) -> Member:
    """A node's container as docker-compose made it; its health check says where it tells that it is ready."""
    settings, network = container.attrs["Config"], container.attrs["NetworkSettings"]
    (address,) = [one["IPAddress"] for one in network["Networks"].values()]
    check = settings.get("Healthcheck", {}).get("Test", [])
    ready_url = None
    if check[:2] == ["CMD", "ready"]:
        port, path = check[2:]
        ready_url = f"http://{address}:{port}{path}"
    policy = container.attrs["HostConfig"]["RestartPolicy"]["Name"]
    return Member(node, container, ready_url, engine_restarts=policy not in {"", "no"})


def process_under(init: int) -> psutil.Process | None:
    """The process that a container's init started; None where there is none (any more)."""
    try:
        return psutil.Process(init).children()[0] if init else None
    except (psutil.Error, IndexError):
        return None


def is_alive(process: psutil.Process) -> bool:
    """Whether it is still that process, and runs; frozen is alive, and a zombie is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False

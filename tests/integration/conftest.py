"""Real generations for the tests of their clients: started as `bench` starts them, ended with the test."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.deployment.local.deployment import LocalDeployment
from bench.deployment.local.topology import Site, Topology

COUNT = 8
PEOPLE = {"count": COUNT, "password": "open sesame"}


class Running:
    """A deployment that lives on an event loop of its own, driven from synchronous tests."""

    def __init__(self, deployment: LocalDeployment, runner: asyncio.Runner, logs: Path) -> None:
        self.deployment = deployment
        self.endpoints = deployment.endpoints
        self.logs = logs
        self._runner = runner

    def restart(self, node: str) -> None:
        self._runner.run(self.deployment.restart(node))

    def reap(self, node: str) -> None:
        """Let the loop notice a process that was killed; returns when the node is known to be down."""

        async def gone() -> None:
            while self.deployment.pid(node) is not None:
                await asyncio.sleep(0.01)

        self._runner.run(asyncio.wait_for(gone(), 10))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Callable[[Site], Topology]], Running]]:
    """`start(topology)` starts a generation with 8 people and gives it back ready; the test's end ends it."""
    started: list[tuple[LocalDeployment, asyncio.Runner]] = []

    def _start(topology: Callable[[Site], Topology]) -> Running:
        site = Site(folder=tmp_path / f"site-{len(started)}", people=PEOPLE)
        logs = tmp_path / f"logs-{len(started)}"
        runner = asyncio.Runner()
        deployment = LocalDeployment(topology(site), site, logs)
        runner.run(deployment.__aenter__())
        started.append((deployment, runner))
        return Running(deployment, runner, logs)

    yield _start
    for deployment, runner in reversed(started):
        runner.run(deployment.__aexit__(None, None, None))
        runner.close()

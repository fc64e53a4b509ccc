"""The `compose` deployment: every node of a generation as a container of this host's Docker engine.

Entering clears what an earlier run left, starts the containers, waits until each says it is ready and
passes a message through. Leaving stops them, keeps their logs, and removes them with their volumes;
every step is attempted and the first error is the one that is raised.

Who starts a dead node again is said by its restart policy in docker-compose.yml: the engine, or nobody,
and then the harness plays the operator. The engine takes its own `kill` for the wish that the container
stay down; so where a policy is to act, the node is killed inside, under its container's init.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from docker import DockerClient

from bench.children import last_line
from bench.deployment import Link, Prove
from bench.deployment.compose import saying
from bench.deployment.compose.engine import PROJECT_LABEL, SERVICE_LABEL, ask, connect, keep_logs, remove
from bench.deployment.compose.lifeline import Lifeline
from bench.deployment.compose.member import Member, is_alive, member_of, process_under
from bench.deployment.compose.network import Network
from bench.deployment.compose.project import Project, nodes_of, own_name
from bench.deployment.local.topology import Site
from bench.deployment.readiness import wait_ready
from bench.errors import DeploymentError
from bench.records import Endpoint

START_TIMEOUT_S = 120.0
FAULT_TIMEOUT_S = 10.0
STOP_PATIENCE_S = 20
STOP_GRACE_S = 3
LOOK_EVERY_S = 0.2
POLL_S = 0.005
KILL_ALL = ("/bin/sh", "-c", "kill -KILL -1")
"""All processes of the container but its init, which ends with them."""


class ComposeDeployment:
    """One generation as containers. Use as `async with`; faults are asked for by node name."""

    def __init__(
        self,
        generation: str,
        site: Site,
        logs: Path,
        *,
        cores: frozenset[int] | None = None,
        prove: Prove | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._generation = generation
        self._site = site
        self._logs = logs
        self._cores = cores
        self._prove = prove
        self._say = say
        self._members: dict[str, Member] = {}
        self._processes: dict[str, psutil.Process] = {}
        self._endpoints: tuple[Endpoint, ...] = ()
        self._cut: dict[str, psutil.Process] = {}
        self._slow: dict[str, psutil.Process] = {}
        self._project = Project(own_name(), generation, site.folder / "compose", logs / "compose.log")
        self._ending: dict[str, asyncio.Task[object]] = {}
        self._client: DockerClient | None = None
        self._lifeline: Lifeline | None = None
        self._looking: asyncio.Task[None] | None = None
        self._began_s = time.time()

    async def __aenter__(self) -> Self:
        self._client = await asyncio.to_thread(connect)
        try:
            await self._start_all(self._client)
        except BaseException:
            with contextlib.suppress(DeploymentError):
                await self._end_all(grace_s=0)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end_all(grace_s=STOP_GRACE_S)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where people connect: ports that the engine publishes on loopback."""
        return self._endpoints

    def nodes(self) -> dict[str, int | None]:
        """Process id of the node itself, not of its container's init, by name; None for one that is down."""
        return {node: self._pid(node) for node in nodes_of(self._generation)}

    async def kill(self, node: str) -> None:
        """SIGKILL the node; returns once its process is gone. A paused one dies as well."""
        member, process = self._running(node)
        if member.engine_restarts:
            await self._unfreeze(member)  # nobody gets into a frozen one
            await self._end_by(self._kill_inside(member), node, process, FAULT_TIMEOUT_S)
        else:
            await self._end_by(ask(member.container.kill), node, process, FAULT_TIMEOUT_S)

    async def stop(self, node: str) -> None:
        """SIGTERM; returns once the node has ended. It stays down until `restart`, whatever its policy."""
        member, process = self._running(node)
        # The engine would have it killed a moment later than we have lost patience.
        stopping = ask(member.container.stop, timeout=STOP_PATIENCE_S)
        await self._end_by(stopping, node, process, STOP_PATIENCE_S)

    async def restart(self, node: str) -> None:
        """Start a dead node with its old data; returns once its process runs. One that runs is left alone."""
        member = self._member(node)
        deadline = time.monotonic() + FAULT_TIMEOUT_S
        while self._pid(node) is None:
            await self._look_for(member)
            if not member.container.attrs["State"]["Running"]:  # the engine has noticed that it is dead
                await ask(member.container.start)
            if time.monotonic() > deadline:
                raise DeploymentError(f"{node} does not run {FAULT_TIMEOUT_S:g} s after its start")
            await asyncio.sleep(POLL_S)

    async def pause(self, node: str) -> None:
        """Freeze the container; returns once the kernel has."""
        member, _ = self._running(node)
        await ask(member.container.pause)

    async def resume(self, node: str) -> None:
        """Let it go on; one that is not paused is left alone."""
        await self._unfreeze(self._member(node))

    async def cut_off(self, node: str) -> None:
        """Drop every packet in and out of the container. Needs root."""
        _, process = self._running(node)
        await self._network(process).cut()
        self._cut[node] = process

    async def join_again(self, node: str) -> None:
        """Let them through; a node that is not cut off, or was started anew since, is left alone."""
        process = self._cut.pop(node, None)
        if process is not None and is_alive(process):
            await self._network(process).mend()

    async def slow_down(self, node: str, link: Link) -> None:
        """Put `link` before what the container sends. Needs root, and netem for latency and loss."""
        _, process = self._running(node)
        await self._network(process).slow(link)
        self._slow[node] = process

    async def full_speed(self, node: str) -> None:
        """Take it away; a node that is not slow, or was started anew since, is left alone."""
        process = self._slow.pop(node, None)
        if process is not None and is_alive(process):
            await self._network(process).hurry()

    async def _start_all(self, client: DockerClient) -> None:
        self._project.write(self._site, self._cores)
        self._lifeline = Lifeline.hold(self._project.name, self._logs)
        await ask(remove, client, self._project.name)
        await self._project.start(self._say)
        await self._find(client)
        self._looking = asyncio.create_task(self._look())
        await wait_ready(
            {member.node: member.ready_url for member in self._members.values() if member.ready_url},
            timeout_s=START_TIMEOUT_S,
            refuse_dead=self._refuse_ended,
            log_of=self._log,
            say=self._say,
        )
        if self._prove is not None:
            self._say("passing a message through")
            await self._prove(self.endpoints)

    async def _find(self, client: DockerClient) -> None:
        """See which containers there are, and where."""
        labelled = {"label": f"{PROJECT_LABEL}={self._project.name}"}
        listed = await ask(client.containers.list, all=True, filters=labelled)
        found = {container.labels[SERVICE_LABEL]: container for container in listed}
        endpoints: list[Endpoint] = []
        for node in nodes_of(self._generation):
            if node not in found:
                raise DeploymentError(
                    f"docker-compose started no container for {node}: see {self._project.log}"
                )
            self._members[node] = member_of(node, found[node])
            await self._look_for(self._members[node])
            for published in found[node].attrs["NetworkSettings"]["Ports"].values():
                endpoints += [Endpoint(one["HostIp"], int(one["HostPort"])) for one in published or ()]
        self._endpoints = tuple(endpoints)

    async def _refuse_ended(self) -> None:
        for node, pid in self.nodes().items():
            member = self._members[node]
            if pid is None and not member.engine_restarts:
                state = await self._state(member)
                if state["Status"] == "exited":
                    log = self._log(node)
                    log.write_bytes(await ask(member.container.logs))
                    raise DeploymentError(
                        f"{node} ended with {state['ExitCode']} while starting: {last_line(log)} "
                        f"(all of it: {log})"
                    )

    async def _look(self) -> None:
        """Find the processes of nodes that are started again, by whomever."""
        while True:
            for node, pid in self.nodes().items():
                if pid is None:
                    with contextlib.suppress(DeploymentError):  # asked again soon
                        await self._look_for(self._members[node])
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look_for(self, member: Member) -> None:
        state = await self._state(member)
        process = await asyncio.to_thread(process_under, state["Pid"])
        if process is not None:
            self._processes[member.node] = process

    async def _state(self, member: Member) -> Any:
        """The engine's State of a container, as it is now."""
        await ask(member.container.reload)
        return member.container.attrs["State"]

    async def _unfreeze(self, member: Member) -> None:
        if (await self._state(member))["Paused"]:
            await ask(member.container.unpause)

    async def _kill_inside(self, member: Member) -> None:
        with contextlib.suppress(DeploymentError):  # the command may die with the container
            await ask(member.container.exec_run, KILL_ALL)

    async def _end_by(
        self, ending: Coroutine[Any, Any, object], node: str, process: psutil.Process, within_s: float
    ) -> None:
        """Return once the process is gone, which is long before the engine has noticed and says so."""
        asked = self._ending[node] = asyncio.create_task(ending)
        deadline = time.monotonic() + within_s
        while is_alive(process):
            if asked.done():
                asked.result()
            if time.monotonic() > deadline:
                raise DeploymentError(f"{node} still runs {within_s:g} s after it was to end")
            await asyncio.sleep(0.001)

    async def _end_all(self, *, grace_s: int) -> None:
        errors: list[Exception] = []
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, *self._ending.values(), return_exceptions=True)
        with contextlib.suppress(DeploymentError):  # it tells of faults; those of a broken run are not missed
            await self._keep_engine_log()
        # All at once: the grace is then for the whole generation, not for each node.
        ends = [self._end(member, grace_s) for member in self._members.values()]
        results = await asyncio.gather(*ends, return_exceptions=True)
        errors += [result for result in results if isinstance(result, Exception)]
        for step in (self._keep_logs, self._remove, self._clear_folder):
            try:
                await step()
            except Exception as error:  # teardown attempts every step
                errors.append(error)
        if errors:
            raise DeploymentError(f"stopping: {errors[0]}") from errors[0]

    async def _end(self, member: Member, grace_s: int) -> None:
        if grace_s:
            await self._unfreeze(member)
            await ask(member.container.stop, timeout=grace_s)

    async def _keep_engine_log(self) -> None:
        assert self._client is not None
        restarting = [m.container.id for m in self._members.values() if m.engine_restarts]
        if restarting:
            told = await ask(saying.lines, self._client, restarting, self._began_s)
            self._log(saying.NODE).write_text("".join(f"{line}\n" for line in told))

    async def _keep_logs(self) -> None:
        assert self._client is not None
        await ask(keep_logs, self._client, self._project.name, self._logs)

    async def _remove(self) -> None:
        """Remove the project; where that fails, or docker-compose was cut short, the lifeline tries too."""
        assert self._client is not None
        removed = False
        try:
            await ask(remove, self._client, self._project.name)
            removed = bool(self._members)
        finally:
            self._client.close()
            if self._lifeline is not None:
                await (self._lifeline.release() if removed else self._lifeline.let_go())

    async def _clear_folder(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            await asyncio.to_thread(shutil.rmtree, self._site.folder)

    def _pid(self, node: str) -> int | None:
        process = self._processes.get(node)
        return process.pid if process is not None and is_alive(process) else None

    def _running(self, node: str) -> tuple[Member, psutil.Process]:
        member = self._member(node)
        process = self._processes.get(node)
        if process is None or not is_alive(process):
            raise DeploymentError(f"{node} is not running")
        return member, process

    def _member(self, node: str) -> Member:
        if node not in self._members:
            raise DeploymentError(f"no node {node!r} here; there are {', '.join(self._members)}")
        return self._members[node]

    def _network(self, process: psutil.Process) -> Network:
        return Network(process.pid, self._logs / "network.log")

    def _log(self, node: str) -> Path:
        return self._logs / f"{node}.log"

"""A generation on this host with the plan's people, ready to be started and proved."""

import json
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

from bench import machine, programs
from bench.deployment import Deployment, Prove
from bench.deployment.local import lay_out
from bench.deployment.local.deployment import LocalDeployment
from bench.deployment.local.filling import History
from bench.deployment.local.topology import Site, Topology
from bench.errors import MachineError
from bench.generations import GENERATIONS, ClientKind
from bench.load.driver import prove
from bench.load.population import bodies, populate
from bench.plan import PROBES, Plan, client_kind
from bench.records import Endpoint
from bench.watcher import Watcher

LOOPBACK = "127.0.0.1"
BUILD_LOG = ".build.log"
HISTORY_RUN = zlib.crc32(b"history")
"""The run in the ids of what was written before; a run's own is made of its folder's name."""


def deploy(
    plan: Plan,
    generation: str,
    work: Path,
    logs: Path,
    watcher: Watcher,
    *,
    host: str = LOOPBACK,
    messages: int = 0,
) -> AbstractAsyncContextManager[Deployment]:
    """The generation laid out in `work` at the address `host`, with the plan's people; not started yet.

    Where there are `messages`, people have written and received so many before.
    """
    site = furnish(plan, work, host)
    if messages:
        site = with_history(site, plan, messages)
    people = int(site.people["count"])
    client = client_kind(generation)
    if plan.deployment == "compose":
        from bench.deployment.compose.deployment import ComposeDeployment

        cores, prove_it = machine.divide_cores().sut, proof(client, people, plan, logs)
        return ComposeDeployment(generation, site, logs, cores=cores, prove=prove_it, say=watcher.step)
    return proved(lay_out(generation, site), site, client, people, plan, logs, watcher)


def furnish(plan: Plan, work: Path, host: str = LOOPBACK) -> Site:
    """A site in `work`, which is made, with the plan's people and those between whom the probe passes."""
    work.mkdir(parents=True)
    population = populate(plan)
    graph = list(population.contacts)
    probes = range(plan.clients, plan.clients + PROBES)
    graph += [[other for other in probes if other != probe] for probe in probes]
    people_file = work / "contacts.json"
    people_file.write_text(json.dumps(graph))
    people = {"count": len(graph), "password": plan.password, "contacts_file": str(people_file)}
    if population.groups:
        groups_file = work / "groups.json"
        groups_file.write_text(json.dumps(population.groups))
        people["groups_file"] = str(groups_file)
    return Site(folder=work, people=people, host=host)


def with_history(site: Site, plan: Plan, messages: int) -> Site:
    """The site whose store begins with so many messages between the plan's people; the probes have none."""
    bodies_file = site.folder / "bodies.json"
    bodies_file.write_text(json.dumps([body.text for body in bodies(plan, plan.seed)]))
    return replace(site, history=History(messages, plan.clients, plan.seed, HISTORY_RUN, bodies_file))


def proved(
    topology: Topology,
    site: Site,
    client: ClientKind,
    people: int,
    plan: Plan,
    logs: Path,
    watcher: Watcher,
) -> LocalDeployment:
    """A deployment that counts as up once a message has passed between the last two of `people`."""
    prove_it = proof(client, people, plan, logs)
    return LocalDeployment(
        topology, site, logs, cores=machine.divide_cores().sut, prove=prove_it, say=watcher.step
    )


def proof(client: ClientKind, people: int, plan: Plan, logs: Path) -> Prove:
    """What passes a message between the last two of `people`, or raises DeploymentError."""

    async def pass_message(endpoints: Sequence[Endpoint]) -> None:
        await prove(client, endpoints, people, plan.password, logs / "probe.log")

    return pass_message


def require_programs(plan: Plan) -> None:
    """Refuse before anything is started, not in the middle of a run."""
    if plan.deployment == "compose":
        from bench.deployment.compose.requirements import require

        require(plan.faults)
        return
    if plan.deployment != "local":
        raise MachineError(
            f"deployment: {plan.deployment}: cannot be started by this version; expected local or compose"
        )
    for generation in plan.generations:
        for program in GENERATIONS[generation].programs:
            programs.require(program)


def versions(plan: Plan) -> Mapping[str, str]:
    """Versions of what the plan's deployment brings with it, besides this machine's programs."""
    if plan.deployment != "compose":
        return {}
    from bench.deployment.compose import images

    return images.versions(plan.generations)


async def prepare(plan: Plan, results: Path, watcher: Watcher) -> None:
    """What takes its time before the first trial, and may still refuse: the containers' images."""
    if plan.deployment == "compose":
        from bench.deployment.compose import images

        await images.build(plan.generations, results / BUILD_LOG, watcher.step)

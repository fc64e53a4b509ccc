"""A generation laid out on this host with the plan's people, ready to be started and proved."""

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import machine, programs
from bench.deployment import namespaces
from bench.deployment.local import lay_out
from bench.deployment.local.deployment import LocalDeployment
from bench.deployment.local.filling import History
from bench.deployment.local.topology import Site, Topology
from bench.errors import MachineError
from bench.generations import GENERATIONS, ClientKind
from bench.load.driver import prove
from bench.load.population import bodies, populate
from bench.plan import PROBES, Plan, client_kind
from bench.watcher import Watcher

LOOPBACK = "127.0.0.1"
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
) -> LocalDeployment:
    """The generation laid out in `work` at the address `host`, with the plan's people; not started yet.

    Where there are `messages`, people have written and received so many before. In namespaces each node has
    an address of its own instead.
    """
    site = furnish(plan, work, host)
    if messages:
        site = with_history(site, plan, messages)
    ground = None
    if plan.deployment == "namespaces":
        ground = namespaces.Ground(
            site.folder,
            [node.name for node in GENERATIONS[generation].nodes],
            namespaces.choose_block(),
            logs / "ground.log",
            moved_clocks=frozenset(
                node
                for fault in plan.faults
                if fault.generation == generation and fault.kind == "clock_jump"
                for node in fault.nodes
            ),
            cores=machine.divide_cores().sut,
        )
        site = replace(site, places=ground.places())
    people = int(site.people["count"])
    return proved(
        lay_out(generation, site), site, client_kind(generation), people, plan, logs, watcher, ground
    )


def furnish(plan: Plan, work: Path, host: str = LOOPBACK) -> Site:
    """A site in `work`, which is made, with the plan's people and those between whom the probe passes."""
    work = work.resolve()
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
    ground: namespaces.Ground | None = None,
) -> LocalDeployment:
    """A deployment that counts as up once a message has passed between the last two of `people`."""

    async def pass_message(endpoints: Any) -> None:
        await prove(client, endpoints, people, plan.password, logs / "probe.log")

    cores = machine.divide_cores().sut
    if ground is None:
        return LocalDeployment(topology, site, logs, cores=cores, prove=pass_message, say=watcher.step)
    return namespaces.NamespacedDeployment(
        topology, site, ground, logs, cores=cores, prove=pass_message, say=watcher.step
    )


def require_programs(plan: Plan, *, guests: int = 0) -> None:
    """Refuse before anything is started, not in the middle of a run. `guests` are workers of other hosts."""
    if plan.deployment == "namespaces":
        if guests:
            raise MachineError(
                "deployment: namespaces: workers of other hosts (--join) cannot reach its nodes; "
                "leave --join away, or use deployment: local"
            )
        namespaces.require(clocks=any(fault.kind == "clock_jump" for fault in plan.faults))
    elif plan.deployment != "local":
        raise MachineError(
            f"deployment: {plan.deployment}: cannot be started by this version; expected local or namespaces"
        )
    for generation in plan.generations:
        for program in GENERATIONS[generation].programs:
            programs.require(program)

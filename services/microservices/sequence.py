"""`sequence`: gives each message its number among its addressee's messages.

Asked on `sequence.take` with a list of users, one for each number wanted; answers `{"numbers"}` in the same
order, or `{"unavailable"}` while this node does not hold the section. Users are grouped into sections by
their index; one node holds a section by lease (see lease.py) and only the section's ceiling is persisted.
"""

import asyncio
import secrets

import orjson
from nats.aio.msg import Msg
from nats.js.kv import KeyValue
from prometheus_client import Counter, Gauge
from pydantic import Field

from services.microservices import bus, log
from services.microservices.lease import NotHeld, SectionLease
from services.microservices.metrics import Operations
from services.runtime import Node, People

RETRY_S = 0.1


class Config(bus.BusConfig):
    """Keys of a `sequence` node."""

    people: People
    log_servers: tuple[str, ...] = Field(min_length=1)
    """Names of the servers that hold the log: the first is preferred to lead the ceilings."""
    section_users: int = Field(default=100_000, gt=0)
    lease_s: float = Field(default=5.0, gt=0)


async def serve(node: Node, config: Config) -> None:
    """Hold the sections and answer until told to stop."""
    async with bus.connect(node, "sequence", config) as connection:
        store = await log.bucket(connection, log.SEQUENCE_BUCKET, replicas=min(3, len(config.log_servers)))
        sequence = Sequence(node, config, store)
        node.check("lease", sequence.unready)
        async with asyncio.TaskGroup() as tasks:
            keeping = [tasks.create_task(sequence.keep(section)) for section in sequence.leases]
            while not node.stopping.is_set() and await sequence.unready() is not None:
                await asyncio.sleep(0.02)
            await connection.listen("sequence.take", sequence.on_take, group="sequence")
            node.ready()
            await node.stopping.wait()
            for task in keeping:
                task.cancel()


class Sequence:
    """The sections this node holds, or tries to."""

    def __init__(self, node: Node, config: Config, store: KeyValue) -> None:
        self._node = node
        self._config = config
        self._operations = Operations(node.registry, timed=["take"])
        self._numbers = Counter(
            "threegen_microservices_numbers_taken", "Message numbers given out.", registry=node.registry
        ).inc
        self._held = Gauge(
            "threegen_microservices_leases_held", "Sections held by this node.", registry=node.registry
        )
        incarnation = secrets.token_hex(8)
        self.leases = {
            section: SectionLease(
                store, section, node=node.name, incarnation=incarnation, lease_s=config.lease_s
            )
            for section in range((config.people.count - 1) // config.section_users + 1)
        }
        self._wanted = {section: asyncio.Event() for section in self.leases}

    async def unready(self) -> str | None:
        """Readiness check: which section is not held."""
        missing = [str(section) for section, lease in self.leases.items() if lease.current() is None]
        return f"sections not held: {', '.join(missing)}" if missing else None

    async def keep(self, section: int) -> None:
        """Take the section's lease and renew it three times a term, and whenever its ceiling is near."""
        lease, wanted = self.leases[section], self._wanted[section]
        held = False
        while True:
            try:
                await lease.renew()
                wait_s = self._config.lease_s / 3
                if not held:
                    held = True
                    self._node.log("leased", section=section)
            except NotHeld as error:
                wait_s = RETRY_S
                if held and lease.current() is None:
                    held = False
                    self._node.log("lease lost", section=section, reason=str(error))
            self._held.set(sum(lease.current() is not None for lease in self.leases.values()))
            wanted.clear()
            try:
                await asyncio.wait_for(wanted.wait(), wait_s)
            except TimeoutError:
                continue

    async def on_take(self, message: Msg) -> None:
        """Answer one request for numbers."""
        with self._operations.timed("take") as timing:
            users = orjson.loads(message.data)
            numbers = self._take(users)
            if numbers is None:
                timing.outcome = "failed"
            else:
                self._numbers(len(numbers))
            await message.respond(
                orjson.dumps({"unavailable": "no lease"} if numbers is None else {"numbers": numbers})
            )

    def _take(self, users: list[str]) -> list[int] | None:
        if len(self.leases) == 1:
            return self._take_from(0, users)
        numbers = []
        for user in users:
            index = self._config.people.index(user) or 0
            taken = self._take_from(index // self._config.section_users, [user])
            if taken is None:
                return None
            numbers += taken
        return numbers

    def _take_from(self, section: int, users: list[str]) -> list[int] | None:
        held = self.leases[section].current()
        if held is None:
            return None
        numbers = held.take(users)
        if held.wanted_ceiling() > held.ceiling:
            self._wanted[section].set()
        return numbers

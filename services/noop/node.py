"""The node: listens, in the protocol that the harness's client of that name speaks."""

import asyncio
from collections.abc import Callable
from typing import Literal

from prometheus_client import Gauge

from services.noop.hub import Hub
from services.noop.outbox import Outbox
from services.noop.script import Script, ScriptedHub, Slowed
from services.runtime import Node, NodeConfig, People


class Config(NodeConfig):
    """Keys of the `noop` node; `port` is where people connect."""

    client: Literal["xmpp", "http", "websocket"]
    people: People
    domain: str = "threegen.example"
    """The XMPP domain."""
    script: Script | None = None
    """What it does wrong; nothing where there is none."""


async def serve(node: Node, config: Config) -> None:
    """Acknowledge until told to stop."""
    script = config.script
    hub = Hub(config.people) if script is None else ScriptedHub(config.people, script, node.log)
    connected = Gauge("threegen_sessions", "People logged in here now.", registry=node.registry)
    connected.set_function(lambda: len(hub))
    connections: set[Outbox] = set()
    loop = asyncio.get_running_loop()
    session = _maker(config, hub, connections)

    def slowed() -> Slowed:
        return Slowed(session(), 0.0 if script is None else script.slower_ms)

    make = session if script is None or not script.slower_ms else slowed
    server = await loop.create_server(make, config.host, config.port, reuse_address=True, backlog=4096)
    node.ready()
    await node.stopping.wait()
    server.close()
    for connection in list(connections):
        connection.end()


def _maker(config: Config, hub: Hub, connections: set[Outbox]) -> Callable[[], Outbox]:
    """What makes a session for a new connection; only the one protocol is imported."""
    match config.client:
        case "xmpp":
            from services.noop.xmpp import Accounts, XmppSession

            accounts = Accounts(hub)
            return lambda: XmppSession(connections, hub, accounts, config.domain)
        case "http":
            from services.noop.http import HttpSession, Mailbox

            mailboxes: dict[str, Mailbox] = {}
            return lambda: HttpSession(connections, hub, mailboxes)
        case "websocket":
            from services.noop.websocket import WebSocketSession

            return lambda: WebSocketSession(connections, hub)

"""Prosody as the server of the XMPP part: private configuration, data and port, accounts as files.

XEP-0198 is on, as our client counts nothing else as acknowledged; the server asks after every fifth stanza, as
the XEP advises (section 4), and not after each. A module of a few lines counts the
messages that clients send, so that no tool is believed about its own rate.
"""

import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.deployment.local.ports import free_port
from bench.programs import require
from tests.benchmarks.running import Running

DOMAIN = "threegen.example"
START_TIMEOUT_S = 20.0
COUNT_EVERY_S = 0.2
_CONFIGURATION = """
run_as_root = true
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
plugin_paths = {{ "{folder}/modules" }}
log = {{ warn = "{folder}/prosody.warnings" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
s2s_ports = {{ }}
modules_enabled = {{ "roster", "saslauth", "disco", "smacks", "ping", "threegen_count" }}
modules_disabled = {{ "s2s", "tls", "limits", "offline" }}
authentication = "internal_plain"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
limits = {{ }}
smacks_max_unacked_stanzas = 5
VirtualHost "{domain}"
"""
_COUNTING = """
local count = 0
local function one() count = count + 1 end
module:hook("pre-message/bare", one, 1000)
module:hook("pre-message/full", one, 1000)
module:add_timer({every}, function ()
  local file = io.open("{folder}/count.new", "w")
  file:write(string.format("%d", count))
  file:close()
  os.rename("{folder}/count.new", "{folder}/count")
  return {every}
end)
"""


class Prosody:
    """One Prosody with the accounts u0 … u<people - 1>, as `with`; all its files are in `folder`.

    `password` is each one's, by number.
    """

    host = "127.0.0.1"

    def __init__(
        self, folder: Path, people: int, password: Callable[[int], str], cores: frozenset[int] | None
    ) -> None:
        self._folder = folder.resolve()
        self._people = people
        self._password = password
        self._cores = cores
        self.port = free_port(self.host)

    def messages(self) -> int:
        """How many messages its clients have sent so far, as of 0.2 s ago at the most."""
        file = self._folder / "count"
        return int(file.read_text()) if file.exists() else 0

    def cpu_s(self) -> float:
        """CPU seconds it has used so far."""
        return self._running.cpu_s()

    def __enter__(self) -> Self:
        folder = self._folder
        accounts = folder / "data" / DOMAIN.replace(".", "%2e") / "accounts"
        accounts.mkdir(parents=True)
        for number in range(self._people):
            account = f'return {{ ["password"] = "{self._password(number)}"; }};\n'
            (accounts / f"u{number}.dat").write_text(account)
        for name in ("modules", "certs"):
            (folder / name).mkdir()
        counting = _COUNTING.format(folder=folder, every=COUNT_EVERY_S)
        (folder / "modules" / "mod_threegen_count.lua").write_text(counting)
        file = folder / "prosody.cfg.lua"
        file.write_text(_CONFIGURATION.format(folder=folder, port=self.port, domain=DOMAIN))
        self._running = Running(
            (require("prosody"), "--config", str(file), "-F"), folder / "prosody.log", cores=self._cores
        )
        self._running.await_answer(self._connect, START_TIMEOUT_S)
        return self

    def _connect(self) -> None:
        socket.create_connection((self.host, self.port), timeout=1).close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.end()

"""Tsung: XMPP from Erlang. Each user logs in by SASL, then writes to people online, thinking in between.

Its virtual machine needs a name service of Erlang's (epmd) and a cookie: both are this run's own.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from bench.deployment.local.ports import free_port
from bench.plan import PASSWORD
from bench.programs import require
from tests.benchmarks.peers import Load, Target
from tests.benchmarks.prosody import DOMAIN
from tests.benchmarks.running import Running

BODY_BYTES = 228
"""The mean of ours, whose sizes are drawn."""
ARRIVALS_PER_S = 100
_SCENARIO = """<?xml version="1.0"?>
<!DOCTYPE tsung SYSTEM "/usr/share/tsung/tsung-1.0.dtd">
<tsung loglevel="warning" version="1.0">
  <clients><client host="localhost" use_controller_vm="true" maxusers="60000"/></clients>
  <servers><server host="{host}" port="{port}" type="tcp"/></servers>
  <load>
    <arrivalphase phase="1" duration="{minutes}" unit="minute">
      <users maxnumber="{people}" arrivalrate="{arrivals}" unit="second"/>
    </arrivalphase>
  </load>
  <options>
    <option type="ts_jabber" name="global_number" value="{people}"/>
    <option type="ts_jabber" name="userid_max" value="{people}"/>
    <option type="ts_jabber" name="domain" value="{domain}"/>
    <option type="ts_jabber" name="username" value="u"/>
    <option type="ts_jabber" name="passwd" value="{password}"/>
  </options>
  <sessions>
    <session probability="100" name="chat" type="ts_jabber">
      <request><jabber type="connect" ack="local"/></request>
      <request><jabber type="auth_sasl" ack="local"/></request>
      <request><jabber type="connect" ack="local"/></request>
      <request><jabber type="auth_sasl_bind" ack="local"/></request>
      <request><jabber type="auth_sasl_session" ack="local"/></request>
      <request><jabber type="presence:initial" ack="no_ack"/></request>
      <thinktime value="5"/>
      <for from="1" to="1000000" var="n">
        <request><jabber type="chat" ack="no_ack" size="{size}" destination="online"/></request>
        <thinktime value="{think_s}" random="true"/>
      </for>
    </session>
  </sessions>
</tsung>
"""


def password(number: int) -> str:
    """What Tsung takes for the password of u<number>."""
    return f"{PASSWORD}{number}"


class Tsung:
    """A generator of chat messages, as `with`; its `people` are u1 … u<n>."""

    name = "Tsung"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._epmd_port = free_port()

    def start(self, target: Target, load: Load, cores: frozenset[int] | None) -> Running:
        """Begin: people come online, `ARRIVALS_PER_S`, and write `load.rate_per_s` together."""
        assert load.rate_per_s is not None
        folder = self._folder
        scenario = folder / "tsung.xml"
        scenario.write_text(
            _SCENARIO.format(
                host=target.host,
                port=target.port,
                minutes=round(load.seconds / 60) + 1,
                people=load.connections,
                arrivals=ARRIVALS_PER_S,
                domain=DOMAIN,
                password=PASSWORD,
                size=BODY_BYTES,
                think_s=f"{load.connections / load.rate_per_s:.6f}",
            )
        )
        environment = {"HOME": str(folder), "ERL_EPMD_PORT": str(self._epmd_port)}
        command = (require("tsung"), "-n", "-f", str(scenario), "-l", str(folder / "logs"), "start")
        return Running(command, folder / "tsung.log", cores=cores, environment=environment, folder=folder)

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Left to itself Erlang starts one that stays for good.
        command = (require("epmd"), "-address", "127.0.0.1", "-port", str(self._epmd_port))
        self._epmd = Running(command, self._folder / "epmd.log", cores=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._epmd.end()

"""What the local deployment does to real nodes: start, prove, kill, restart, pause, resume, clear away."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
import pytest

from bench.capabilities import CAPABILITIES
from bench.deployment import ClockJump, FullDisk, Kill, Partition, Pause, SlowNetwork, Stop
from bench.deployment.local import lay_out
from bench.deployment.local.deployment import LocalDeployment
from bench.deployment.local.topology import Process, Site, Topology
from bench.errors import DeploymentError
from bench.generations import AIMLESS_FAULTS, FaultKind
from bench.load.driver import prove
from bench.records import Endpoint

PEOPLE = {"count": 4, "password": "open sesame"}


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def monolith(tmp_path: Path) -> LocalDeployment:
    site = Site(folder=tmp_path / "site", people=PEOPLE)
    return LocalDeployment(lay_out("monolith", site), site, tmp_path / "logs")


async def ready(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(1000):
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)
    raise AssertionError(f"{url} never became ready")


ASKED_OF: Mapping[FaultKind, type] = {
    "kill": Kill,
    "pause": Pause,
    "stop": Stop,
    "restart": Stop,
    "partition": Partition,
    "slow": SlowNetwork,
    "full_disk": FullDisk,
    "clock_jump": ClockJump,
}


def test_it_can_do_what_plans_are_told_that_it_can(tmp_path: Path) -> None:
    deployment = monolith(tmp_path)
    can = {kind for kind, protocol in ASKED_OF.items() if isinstance(deployment, protocol)}
    assert can | AIMLESS_FAULTS == CAPABILITIES["local"]


async def test_a_killed_node_is_down_until_it_is_restarted_with_its_data(tmp_path: Path) -> None:
    async with monolith(tmp_path) as deployment:
        before = deployment.pid("server")
        assert before is not None
        await deployment.kill("server")
        assert deployment.pid("server") is None
        assert deployment.nodes() == {"server": None}
        with pytest.raises(DeploymentError, match="server is not running"):
            await deployment.kill("server")
        await deployment.restart("server")
        after = deployment.pid("server")
        assert after not in {None, before}
        await deployment.restart("server")  # one that runs is left alone
        assert deployment.pid("server") == after
        (view,) = deployment.views()
        await asyncio.wait_for(ready(f"{view.admin_url}/readyz"), 30)
        assert '"event": "replayed"' in (tmp_path / "logs" / "server.log").read_text()
    assert not (tmp_path / "site").exists()


async def test_a_paused_node_is_stopped_until_it_is_resumed(tmp_path: Path) -> None:
    async with monolith(tmp_path) as deployment:
        pid = deployment.pid("server")
        assert pid is not None
        await deployment.pause("server")
        assert state_of(pid) == "T"
        await deployment.resume("server")
        (view,) = deployment.views()
        await asyncio.wait_for(ready(f"{view.admin_url}/readyz"), 30)
        assert state_of(pid) != "T"
        await deployment.pause("server")  # leaving ends a paused node too
    assert gone(pid)


async def test_a_stopped_node_ends_in_its_own_way_and_comes_back_with_its_data(tmp_path: Path) -> None:
    async with monolith(tmp_path) as deployment:
        await deployment.stop("server")
        assert deployment.pid("server") is None
        assert '"event": "stopped"' in (tmp_path / "logs" / "server.log").read_text()
        with pytest.raises(DeploymentError, match="server is not running"):
            await deployment.stop("server")
        await deployment.restart("server")
        (view,) = deployment.views()
        await asyncio.wait_for(ready(f"{view.admin_url}/readyz"), 30)


async def test_a_node_that_does_not_end_when_asked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.deployment.local.deployment.STOP_PATIENCE_S", 0.2)
    marker = tmp_path / "deaf"
    command = ("bash", "-c", f"trap '' TERM; touch {marker}; while :; do sleep 0.05; done")
    site = Site(folder=tmp_path / "site", people=PEOPLE)
    async with LocalDeployment(
        Topology((Process("deaf", command, None),), ()), site, tmp_path / "logs"
    ) as it:
        while not marker.exists():
            await asyncio.sleep(0.01)
        with pytest.raises(DeploymentError, match=r"deaf had not ended 0\.2 s after SIGTERM"):
            await it.stop("deaf")


async def test_a_node_owned_by_another_comes_back_by_itself_when_killed_but_not_when_stopped(
    tmp_path: Path,
) -> None:
    site = Site(folder=tmp_path / "site", people=PEOPLE)
    async with LocalDeployment(lay_out("microservices", site), site, tmp_path / "logs") as deployment:
        before = deployment.pid("message-1")
        assert before is not None
        await deployment.kill("message-1")
        async with asyncio.timeout(30):
            while deployment.pid("message-1") in {None, before}:
                await asyncio.sleep(0.01)
        await deployment.stop("message-2")
        await asyncio.sleep(0.3)
        assert deployment.pid("message-2") is None
        await deployment.restart("message-2")
        assert deployment.pid("message-2") is not None
        pids = [pid for pid in deployment.nodes().values() if pid is not None]
        assert len(pids) == 12
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize("generation", ["monolith", "sharded", "microservices"])
async def test_it_is_only_up_once_a_real_message_has_passed(tmp_path: Path, generation: str) -> None:
    site = Site(folder=tmp_path / "site", people=PEOPLE)
    kinds = {"monolith": "xmpp", "sharded": "http", "microservices": "websocket"}
    proved: list[Sequence[Endpoint]] = []

    async def pass_message(endpoints: Sequence[Endpoint]) -> None:
        await prove(kinds[generation], endpoints, 4, "open sesame", tmp_path / "probe.log")
        proved.append(endpoints)

    deployment = LocalDeployment(lay_out(generation, site), site, tmp_path / "logs", prove=pass_message)
    async with deployment:
        assert proved == [deployment.endpoints]


async def test_a_message_that_does_not_pass_is_the_end_and_nothing_stays(tmp_path: Path) -> None:
    site = Site(folder=tmp_path / "site", people=PEOPLE)

    async def pass_message(endpoints: Sequence[Endpoint]) -> None:
        await prove("xmpp", endpoints, 4, "the wrong password", tmp_path / "probe.log")

    deployment = LocalDeployment(lay_out("monolith", site), site, tmp_path / "logs", prove=pass_message)
    with pytest.raises(DeploymentError, match="no message came through: .*login refused"):
        await deployment.__aenter__()
    assert deployment.pid("server") is None
    assert not (tmp_path / "site").exists()


async def test_a_node_that_ends_while_starting_is_named_with_its_last_words(tmp_path: Path) -> None:
    command = ("bash", "-c", "echo the licence has expired; exit 7")
    topology = Topology((Process("doomed", command, "http://127.0.0.1:9/readyz"),), ())
    site = Site(folder=tmp_path / "site", people=PEOPLE)
    deployment = LocalDeployment(topology, site, tmp_path / "logs")
    with pytest.raises(DeploymentError, match="doomed ended with 7 while starting: the licence has expired"):
        await deployment.__aenter__()
    assert not (tmp_path / "site").exists()


async def test_a_port_that_is_taken_stops_the_start_with_the_nodes_own_words(tmp_path: Path) -> None:
    site = Site(folder=tmp_path / "site", people=PEOPLE)
    topology = lay_out("monolith", site)
    (endpoint,) = topology.endpoints
    squatter = await asyncio.start_server(lambda r, w: None, endpoint.host, endpoint.port)
    async with squatter:
        deployment = LocalDeployment(topology, site, tmp_path / "logs")
        with pytest.raises(DeploymentError, match="server ended with 1 while starting"):
            await deployment.__aenter__()

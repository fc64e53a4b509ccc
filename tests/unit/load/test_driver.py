"""The conductor's end of the load process, against a scripted one that keeps to the same lines."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bench.errors import LoadError
from bench.load.driver import LoadDriver
from bench.load.trial import Assignment
from bench.records import Endpoint, TimelineRow

ASSIGNMENT = Assignment("monolith", "xmpp", 1, 1, 1, (Endpoint("127.0.0.1", 1),))


def driver(tmp_path: Path, script: str) -> tuple[LoadDriver, list[Mapping[str, Any]]]:
    heard: list[Mapping[str, Any]] = []
    it = LoadDriver(
        tmp_path / "plan.json", ASSIGNMENT, tmp_path / "out", tmp_path / "log", cores=None, progress=heard.append
    )  # fmt: skip
    it._command = (sys.executable, "-c", script)
    return it, heard


async def test_it_goes_from_online_by_begin_to_finished(tmp_path: Path) -> None:
    script = """
import json
print(json.dumps({"event": "progress", "online": 1}), flush=True)
print("a stray print of a library", flush=True)
print(json.dumps({"event": "online"}), flush=True)
print(json.dumps({"event": "finished", "said": input()}), flush=True)
"""
    load, heard = driver(tmp_path, script)
    async with load:
        await load.online(30)
        await load.begin(123)
        assert (await load.finished())["said"] == "begin 123"
    assert [report["event"] for report in heard] == ["progress", "online", "finished"]
    assert load.pid is None


async def test_it_says_how_many_connections_were_dropped(tmp_path: Path) -> None:
    script = """
import json
print(json.dumps({"event": "online"}), flush=True)
for dropped in (7, 5):
    assert input() == "reconnect"
    print(json.dumps({"event": "dropped", "connections": dropped}), flush=True)
print(json.dumps({"event": "finished"}), flush=True)
"""
    load, _ = driver(tmp_path, script)
    async with load:
        await load.online(30)
        first, second, _ = await asyncio.gather(
            load.drop_connections(), load.drop_connections(), load.finished()
        )
    assert (first, second) == (7, 5)


async def test_leaving_early_asks_it_to_stop_and_lets_it_write(tmp_path: Path) -> None:
    script = f"""
import json
print(json.dumps({{"event": "online"}}), flush=True)
assert input() == "stop"
open({str(tmp_path / "out" / "histograms.hlog")!r}, "w").write("whole\\nhal")
print(json.dumps({{"event": "finished"}}), flush=True)
"""
    load, _ = driver(tmp_path, script)
    async with load:
        await load.online(30)
    assert load.measured().hlog_text == "whole\n"


async def test_a_failure_it_tells_of_is_raised_and_what_it_wrote_is_kept(tmp_path: Path) -> None:
    script = f"""
import json
print(json.dumps({{"event": "failed", "error": "login refused: u2: banned"}}), flush=True)
open({str(tmp_path / "out" / "audit.json")!r}, "w").write("[]")
print(json.dumps({{"event": "finished"}}), flush=True)
"""
    load, heard = driver(tmp_path, script)
    with pytest.raises(LoadError, match="login refused: u2: banned"):
        async with load:
            await load.online(30)
    assert heard[-1]["event"] == "finished"


async def test_one_that_breaks_is_told_with_its_last_words(tmp_path: Path) -> None:
    load, _ = driver(tmp_path, "import sys; print('no such plan', file=sys.stderr); sys.exit(3)")
    with pytest.raises(LoadError, match="the load process ended with 3: no such plan"):
        async with load:
            await load.online(30)
    assert load.measured().timeline == []
    assert load.measured().audit == []


async def test_one_that_says_nothing_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    load, _ = driver(tmp_path, "import time; time.sleep(600)")
    async with load:
        assert load.pid is not None
        with pytest.raises(LoadError, match=r"not everybody was online within 0.2 s"):
            await load.online(0.2)
    assert load.pid is None


async def test_a_row_that_was_cut_short_is_dropped_and_the_others_kept(tmp_path: Path) -> None:
    load, _ = driver(tmp_path, "")
    (tmp_path / "out").mkdir()
    header = ",".join(column.name for column in fields(TimelineRow))
    row = "monolith,1,steady,0.0,0.1,send,5,5,0,5,0,0,5,5,5,0,,,,,1.5"
    (tmp_path / "out" / "timeline.csv").write_text(f"{header}\n{row}\n{row[:30]}")
    (kept,) = load.measured().timeline
    assert (kept.offered, kept.response_p50_ms, kept.lag_p99_ms) == (5, None, 1.5)

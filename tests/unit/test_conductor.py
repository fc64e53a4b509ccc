import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from bench.conductor import _while_faults_strike
from bench.errors import RunError


class Load:
    async def finished(self) -> Mapping[str, Any]:
        await asyncio.sleep(0)  # the nemesis gets its turn
        return {"negative_deltas": 0}


class Broken:
    async def run(self) -> None:
        raise ZeroDivisionError("a defect")


class Well:
    async def run(self) -> None: ...


async def test_a_nemesis_that_breaks_fails_the_run_and_is_not_swallowed() -> None:
    with pytest.raises(RunError, match="the nemesis broke: ZeroDivisionError: a defect"):
        await _while_faults_strike(Load(), Broken())  # type: ignore[arg-type]
    assert await _while_faults_strike(Load(), Well()) == {"negative_deltas": 0}  # type: ignore[arg-type]

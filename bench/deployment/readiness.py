"""Waiting until the nodes of a generation say that they are ready."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import aiohttp

from bench.errors import DeploymentError

POLL_S = 0.05
ASK_TIMEOUT_S = 3.0


async def wait_ready(
    urls: Mapping[str, str],
    *,
    timeout_s: float,
    refuse_dead: Callable[[], Awaitable[None]],
    log_of: Callable[[str], Path],
    say: Callable[[str], None],
) -> None:
    """Return once every node answers 200 at its URL; raises DeploymentError for one that does not in time.

    `refuse_dead` is asked again and again, and raises for a node that has ended.
    """
    waiting = dict(urls)
    deadline = time.monotonic() + timeout_s
    last: dict[str, str] = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_TIMEOUT_S)) as session:
        while waiting:
            say(f"waiting for {', '.join(waiting)}")
            for name, url in list(waiting.items()):
                await refuse_dead()
                try:
                    async with session.get(url) as response:
                        last[name] = (await response.text()).strip()[:300]
                        if response.status == 200:
                            del waiting[name]
                except (aiohttp.ClientError, TimeoutError) as error:
                    last[name] = f"{type(error).__name__}: {error}"
            if waiting and time.monotonic() > deadline:
                name = next(iter(waiting))
                raise DeploymentError(
                    f"{name} was not ready within {timeout_s:g} s: {last[name]}; its log: {log_of(name)}"
                )
            if waiting:
                await asyncio.sleep(POLL_S)

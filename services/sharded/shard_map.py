"""How an api node follows the shard map: one long poll at failover, over and over.

While failover is away the last map stands: a primary that is no longer one is read-only or gone, so an
old map can delay a write and never misplace it.
"""

import asyncio
from collections.abc import Callable

import aiohttp
from pydantic import ValidationError

from services.sharded.routing import Address, ShardMap

WAIT_S = 10.0
RETRY_S = 0.1


async def follow(failover: Address, changed: Callable[[ShardMap], None]) -> None:
    """Call `changed` with each new map, for ever."""
    url = f"http://{failover.host}:{failover.port}/v1/shards"
    timeout = aiohttp.ClientTimeout(total=WAIT_S + 2)
    version = 0
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            try:
                async with session.get(url, params={"version": version, "wait": WAIT_S}) as response:
                    response.raise_for_status()
                    latest = ShardMap.model_validate_json(await response.read())
            except (aiohttp.ClientError, TimeoutError, ValidationError):
                await asyncio.sleep(RETRY_S)
                continue
            if latest.version > version:
                version = latest.version
                changed(latest)

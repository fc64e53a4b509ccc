"""How a command runs what takes its time, and ends it when it is told to."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

INTERRUPTED = 130


def drive(work: Coroutine[Any, Any, Any]) -> None:
    """Run to the end; SIGINT, SIGTERM and SIGHUP cancel it, and its clean-up still runs."""

    async def guarded() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await work

    asyncio.run(guarded())

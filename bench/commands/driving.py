"""How a command runs what takes its time, and ends it when it is told to."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from bench.errors import BenchError

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


def ended_by(work: Coroutine[Any, Any, Any]) -> BaseException | None:
    """Drive it; what ended it early, an interrupt or an error, for whoever shows first what was measured."""
    try:
        drive(work)
    except (KeyboardInterrupt, asyncio.CancelledError, BenchError) as error:
        return error
    except ExceptionGroup as group:
        return group.exceptions[0]
    return None

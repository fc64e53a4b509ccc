"""Reads all devices once a second through a trial; one that fails leaves a gap, not a failed run."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Self

from bench.records import TelemetryRow
from bench.telemetry.foreign import Foreign
from bench.telemetry.generator import Generator
from bench.telemetry.host import Host
from bench.telemetry.processes import Processes
from bench.telemetry.reading import Reading

EVERY_S = 1.0


class Sampler:
    """Telemetry of one trial, as `async with`. Readings are taken on the trial's clock after the fact.

    `pids` gives the processes to watch at each moment, by subject.
    """

    def __init__(
        self,
        pids: Callable[[], Mapping[str, int | None]],
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._pids = pids
        self._clock_ns = clock_ns
        self._host = Host()
        self._processes = Processes()
        self._generator = Generator()
        self._foreign = Foreign()
        self._readings: list[tuple[int, Reading]] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def rows(self, generation: str, trial: int, origin_ns: int) -> list[TelemetryRow]:
        """All readings so far, in the order they were taken."""
        return [
            TelemetryRow(
                generation,
                trial,
                round((t_ns - origin_ns) / 1e9, 3),
                reading.subject,
                reading.metric,
                round(reading.value, 6),
                reading.unit,
            )
            for t_ns, reading in self._readings
        ]

    async def _run(self) -> None:
        while True:
            self._read("host", self._host.sample)
            for name, device in (
                ("processes", self._processes.sample),
                ("generator", self._generator.sample),
                ("foreign", self._foreign.sample),
            ):
                self._read(name, partial(self._of_processes, device))
            await asyncio.sleep(EVERY_S)

    def _of_processes(
        self, device: Callable[[Mapping[str, int | None]], Iterator[Reading]]
    ) -> Iterator[Reading]:
        return device({**self._pids(), "harness": os.getpid()})

    def _read(self, name: str, device: Callable[[], Iterator[Reading]]) -> None:
        t_ns = self._clock_ns()
        try:
            self._readings += [(t_ns, reading) for reading in device()]
        except Exception:  # the gap is a reading too; the run goes on
            self._readings.append((t_ns, Reading(name, "failed_samples", 1, "")))

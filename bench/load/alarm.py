"""Going on at given moments, to a few microseconds.

Out of the event loop, without a greenlet: to switch to one and back costs some 15 µs whenever the process had
slept, and its caches with it. The loop's own timers go through epoll's timeout, which counts in whole
milliseconds: a schedule of 20,000 messages a second would leave in bursts. A timer of the kernel's
(timerfd_create(2)) is a descriptor like any other, and wakes the loop when it is due.
"""

import ctypes
import os
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from gevent import get_hub
from gevent.event import AsyncResult

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_TFD_NONBLOCK, _TFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_S_NS = 1_000_000_000
_libc = ctypes.CDLL(None, use_errno=True)
_settime = _libc.timerfd_settime


class Alarm:
    """One timer for one piece of work, as `with`."""

    def __init__(self) -> None:
        self._descriptor = _libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_create: {os.strerror(number)}")
        # struct itimerspec: an interval that stays 0, and the moment, each in s and ns.
        setting = (ctypes.c_long * 4)()
        self._setting = memoryview(setting).cast("B").cast("l")
        self._reference = ctypes.byref(setting)
        self._due_ns = 0
        self._watcher = get_hub().loop.io(self._descriptor, 1)

    def run(self, work: Iterator[int]) -> None:
        """Wait in this greenlet until `work` has ended; raises what it raises.

        It is gone on with at each CLOCK_MONOTONIC moment, in ns, that it yields; where that is past, once all
        that is ready was served. It must not wait for anything by other means.
        """
        ended: AsyncResult[None] = AsyncResult()
        # The watcher stays started, so that a moment costs no more than one call into the kernel.
        self._watcher.start(self._go_on, work, ended)
        self._set(1)
        try:
            ended.get()
        finally:
            self._watcher.stop()

    def no_later_than(self, t_ns: int) -> None:
        """Have the work gone on with at this moment where it would be later."""
        if t_ns < self._due_ns:
            self._set(t_ns)

    def _go_on(self, work: Iterator[int], ended: "AsyncResult[None]") -> None:
        try:
            t_ns = next(work, None)
        except Exception as error:  # the loop's edge: whoever waits is to know
            self._watcher.stop()
            ended.set_exception(error)
            return
        if t_ns is None:
            self._watcher.stop()
            ended.set(None)
        elif t_ns > time.monotonic_ns():
            self._set(t_ns)
        # Else the timer stays as it is, gone off, and the loop comes here again.

    def _set(self, t_ns: int) -> None:
        self._due_ns = t_ns
        self._setting[2], self._setting[3] = divmod(max(t_ns, 1), _S_NS)
        # Setting it anew also takes back that it has gone off: it need never be read.
        if _settime(self._descriptor, _TFD_TIMER_ABSTIME, self._reference, None):
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_settime: {os.strerror(number)}")

    def close(self) -> None:
        """Let go of the timer."""
        self._watcher.close()
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

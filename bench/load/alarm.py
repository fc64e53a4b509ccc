"""Waking a greenlet at a moment, to a few microseconds.

The event loop's own timers go through epoll's timeout, which counts in whole milliseconds: a schedule
of 20,000 messages a second would leave in bursts. A timer of the kernel's (timerfd_create(2)) is a
descriptor like any other, and wakes the loop when it is due.
"""

import ctypes
import os
from types import TracebackType
from typing import Self

from gevent import get_hub
from greenlet import getcurrent, greenlet

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_TFD_NONBLOCK, _TFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_S_NS = 1_000_000_000
_libc = ctypes.CDLL(None, use_errno=True)
_settime = _libc.timerfd_settime


class Alarm:
    """One timer for one greenlet, as `with`."""

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
        self._hub = get_hub()
        # It stays, so that waiting costs no more than one call into the kernel.
        self._watcher = self._hub.loop.io(self._descriptor, 1)
        self._watcher.start(self._go_off)
        self._waiting: greenlet | None = None

    def wait_until(self, t_ns: int) -> None:
        """Return at this CLOCK_MONOTONIC moment; if it is past, once all that is ready was served."""
        self._set(t_ns)
        self._waiting = getcurrent()
        self._hub.switch()

    def no_later_than(self, t_ns: int) -> None:
        """Have the greenlet that waits, if one does, return at this moment where it would later."""
        if self._waiting is not None and t_ns < self._due_ns:
            self._set(t_ns)

    def _set(self, t_ns: int) -> None:
        self._due_ns = t_ns
        self._setting[2], self._setting[3] = divmod(max(t_ns, 1), _S_NS)
        # Setting it anew also takes back that it has gone off: it need never be read.
        if _settime(self._descriptor, _TFD_TIMER_ABSTIME, self._reference, None):
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_settime: {os.strerror(number)}")

    def _go_off(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.dead:  # it was killed while it waited: be quiet
            _settime(self._descriptor, 0, ctypes.byref((ctypes.c_long * 4)()), None)
        else:
            waiting.switch()

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

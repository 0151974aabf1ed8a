# SPDX-License-Identifier: Apache-2.0
"""Alarm: a timer that an event loop wakes from within microseconds.

Event loops round their own timers to milliseconds, which is longer than a quick server takes. A
timerfd of Linux is a file descriptor that becomes readable at an instant of the monotonic clock.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_CLOCK_MONOTONIC: Final = 1
_ABSOLUTE: Final = 1
_SECOND: Final = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """Calls *ring* in *loop* at the instant of `time.perf_counter_ns` it was last `set` to.

    It goes on ringing until it is set anew: a ring that does not set it would be a busy loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self._fd = int(libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "no timer of the system")
        self._spec = _Timerspec()
        self._value = self._spec.value
        self._pointer = ctypes.byref(self._spec)
        loop.add_reader(self._fd, ring)

    def __repr__(self) -> str:
        return f"<Alarm at {self._value.seconds}.{self._value.nanoseconds:09} s>"

    def set(self, instant: int) -> None:
        """Ring at *instant*; one in the past rings at once."""
        self._value.seconds, self._value.nanoseconds = divmod(max(instant, 1), _SECOND)
        # Setting it anew also takes back a ring that was not answered.
        self._settime(self._fd, _ABSOLUTE, self._pointer, None)

    def off(self) -> None:
        """Ring no more, until it is set."""
        self._value.seconds = self._value.nanoseconds = 0
        self._settime(self._fd, 0, self._pointer, None)

    def close(self) -> None:
        """Give the timer back."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

# SPDX-License-Identifier: Apache-2.0
"""BusyPoll: keeps an event loop looking for a while after each event, instead of sleeping.

A process that sleeps is woken by an interrupt, on a core that has dropped its clock and its caches:
on virtual machines that costs more than a small inference. As Linux's ``net.core.busy_poll`` does
for sockets, this trades processor time for latency, and gives the core to whoever else wants it.
"""

from __future__ import annotations

import os
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class BusyPoll:
    """Looks for *seconds* after the latest call; call it whenever something has happened.

    *clock* gives seconds, *give_way* lets others run who wait for this core.
    """

    __slots__ = ("_clock", "_give_way", "_looking", "_loop", "_seconds", "_until")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        *,
        clock: Callable[[], float] = perf_counter,
        give_way: Callable[[], None] = os.sched_yield,
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._clock = clock
        self._give_way = give_way
        self._looking = False
        self._until = 0.0

    def __repr__(self) -> str:
        return f"<BusyPoll {self._seconds * 1e6:.0f} us {'looking' if self._looking else 'asleep'}>"

    def __call__(self) -> None:
        """Something has happened: more may follow soon."""
        self._until = self._clock() + self._seconds
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        if self._clock() < self._until:
            self._give_way()
            # A loop with a callback to run asks the kernel for events and does not wait for one.
            self._loop.call_soon(self._look)
        else:
            self._looking = False

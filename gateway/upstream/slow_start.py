# SPDX-License-Identifier: Apache-2.0
"""Slow start: an endpoint that came back is sent a little at first, and more as time goes by.

Its cap grows, not its weight: with least outstanding an idle endpoint is picked whatever it weighs.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.upstream.endpoint import Endpoint

# Steps from the first to the whole cap; more of them would be timers without an effect.
_STEPS: Final = 20


class SlowStart:
    """Ramps caps from the share *floor* to the whole over *window* seconds, 0 for never.

    *changed* is called whenever an endpoint may be sent more. While no other endpoint has been up
    for a whole window nobody is spared: there is nobody who could do the work instead.
    """

    def __init__(
        self,
        changed: Callable[[Endpoint], None],
        *,
        window: float = 15.0,
        floor: float = 0.1,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._changed = changed
        self._window = window
        self._floor = floor
        self._clock = clock
        # Weakly: endpoints that have left the pool need nobody to forget them.
        self._since: WeakKeyDictionary[Endpoint, float] = WeakKeyDictionary()
        self._ramps: dict[Endpoint, asyncio.TimerHandle] = {}

    def __repr__(self) -> str:
        return f"<SlowStart {self._window:g} s, {[each.name for each in self._ramps]}>"

    def returned(self, endpoint: Endpoint, others: Iterable[Endpoint]) -> None:
        """*endpoint* is back with its whole cap; lower that if one of *others* is warm."""
        self.forget(endpoint)
        self._since[endpoint] = self._clock()
        endpoint.cap = whole = endpoint.whole
        first = max(1, int(whole * self._floor))
        if not self._window or first >= whole:
            return
        if self._is_warm(other for other in others if other is not endpoint):
            endpoint.cap = first
            self._wait(endpoint, min(whole, _STEPS), 0)

    def review(self, endpoints: Iterable[Endpoint]) -> None:
        """Spare nobody any more if no warm one is left among *endpoints*: the work is theirs."""
        if self._ramps and not self._is_warm(endpoints):
            for endpoint in list(self._ramps):
                self._ramps.pop(endpoint).cancel()
                if not endpoint.resting:
                    endpoint.cap = endpoint.whole
                self._changed(endpoint)

    def _is_warm(self, endpoints: Iterable[Endpoint]) -> bool:
        """Whether any of *endpoints* could do the work of the others."""
        now = self._clock()
        return any(
            each.healthy and now - self._since.get(each, now) >= self._window for each in endpoints
        )

    def forget(self, endpoint: Endpoint) -> None:
        """*endpoint* went away, or begins anew: a ramp that has begun is over."""
        self._since.pop(endpoint, None)
        timer = self._ramps.pop(endpoint, None)
        if timer is not None:
            timer.cancel()

    def _wait(self, endpoint: Endpoint, steps: int, done: int) -> None:
        loop = asyncio.get_running_loop()
        self._ramps[endpoint] = loop.call_later(
            self._window / steps, self._raise, endpoint, steps, done + 1
        )

    def _raise(self, endpoint: Endpoint, steps: int, done: int) -> None:
        if not endpoint.resting:
            endpoint.cap = max(endpoint.cap, endpoint.whole * done // steps)
        if done < steps:
            self._wait(endpoint, steps, done)
        else:
            del self._ramps[endpoint]
        self._changed(endpoint)

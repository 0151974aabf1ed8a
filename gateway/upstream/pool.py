# SPDX-License-Identifier: Apache-2.0
"""Pool: the endpoints of one model; it filters by readiness and lets the policy pick.

Endpoints come and go while it serves. One that is held is connected and probed, but gets nothing.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.telemetry import Telemetry
    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.policy import Policy
    from gateway.wire.model import ModelInfo

log = logging.getLogger(__name__)


class Pool:
    """The endpoints that serve *model*.

    *max_ejected* is the share that may be ejected at the same time; at least one may, and the
    last one that is up never is.
    """

    def __init__(
        self,
        model: str,
        *,
        policy: Policy,
        telemetry: Telemetry,
        max_ejected: float = 0.5,
    ) -> None:
        self.model = model
        self.endpoints: list[Endpoint] = []
        # Connected, and sent nothing: what has not been let in yet, or an operator keeps out.
        self.held: list[Endpoint] = []
        # Removed, and still busy with what they had; the event comes with the end of that.
        self.leaving: dict[Endpoint, asyncio.Event] = {}
        # The model as the first endpoint that is up describes it, else as it was last known.
        self.info: ModelInfo | None = None
        self.batched = False
        self._policy = policy
        self._max_ejected = max_ejected
        self._telemetry = telemetry
        self._on_change: list[Callable[[], None]] = []
        self._attempts: dict[tuple[str, str], Callable[[float], None]] = {}
        self._begin: Callable[[Endpoint], None] | None = None
        self._work: dict[Endpoint, tuple[asyncio.Task[None], ...]] = {}

    def __repr__(self) -> str:
        return f"<Pool {self.model} {self.endpoints}>"

    def add(self, endpoints: Iterable[Endpoint], *, held: bool = False) -> None:
        """Take *endpoints* in; they find their own way up. *held*: they get nothing yet."""
        for endpoint in endpoints:
            (self.held if held else self.endpoints).append(endpoint)
            if self._begin is not None:
                self._begin(endpoint)

    def hold(self, endpoint: Endpoint) -> None:
        """Send *endpoint* nothing more; what it has it finishes."""
        if endpoint in self.endpoints:
            # Lists are replaced, not changed: somebody may be going through them.
            self.endpoints = [each for each in self.endpoints if each is not endpoint]
            self.held = [*self.held, endpoint]
            self.learn()

    def release(self, endpoint: Endpoint) -> None:
        """Let *endpoint* take its part of the load."""
        if endpoint in self.held:
            self.held = [each for each in self.held if each is not endpoint]
            self.endpoints = [*self.endpoints, endpoint]
            self.learn()
            self.changed(endpoint)

    def remove(self, endpoint: Endpoint) -> None:
        """Take *endpoint* out: nothing more is sent to it, and its connection ends when idle."""
        if endpoint in self.endpoints or endpoint in self.held:
            self.endpoints = [each for each in self.endpoints if each is not endpoint]
            self.held = [each for each in self.held if each is not endpoint]
            self.leaving[endpoint] = asyncio.Event()
            self.learn()
            self._let_go(endpoint)

    async def emptied(self) -> None:
        """Wait until whatever has been removed until now has finished what it had."""
        for gone in list(self.leaving.values()):
            await gone.wait()

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call *callback* whenever a slot may have become free or an endpoint ready.

        Returns what ends that.
        """
        self._on_change = [*self._on_change, callback]
        return partial(self._forget, callback)

    def _forget(self, callback: Callable[[], None]) -> None:
        self._on_change = [each for each in self._on_change if each != callback]

    @property
    def ready(self) -> bool:
        """Whether any endpoint would take a request, now or once it has a free slot."""
        return any(endpoint.healthy for endpoint in self.endpoints)

    def pick(self, avoid: Sequence[str] = ()) -> Endpoint | None:
        """A ready endpoint, or None; one of *avoid* only if nothing else is healthy."""
        ready = []
        others = False
        for endpoint in self.endpoints:
            if endpoint.healthy:
                if endpoint.name in avoid:
                    continue
                others = True
                if endpoint.pending < endpoint.cap:
                    ready.append(endpoint)
        if not ready:
            if avoid and not others:
                # The one that failed is the only one left; a second try there beats none.
                return self.pick()
            return None
        if len(ready) == 1:
            return ready[0]
        return ready[self._policy.pick(ready)]

    def capacity(self) -> tuple[int, int]:
        """Free slots over all healthy endpoints, and how many of these have any."""
        slots = free = 0
        for endpoint in self.endpoints:
            left = endpoint.cap - endpoint.pending
            if left > 0 and endpoint.healthy:
                slots += left
                free += 1
        return slots, free

    # What endpoints tell.

    def changed(self, endpoint: Endpoint) -> None:
        """Tell whoever waits for a slot."""
        if self.leaving:
            self._let_go(endpoint)
        for callback in self._on_change:
            callback()

    def learn(self) -> None:
        """An endpoint came up or went down: see which model is served now."""
        served = [e.info for e in self.endpoints if e.liveness.up and e.info is not None]
        if not served:
            return
        self.info = served[0]
        self.batched = served[0].batched
        if len({info.digest for info in served}) > 1:
            log.warning(
                "the workers of model %s have different files: clients get answers of either, "
                "until all have been restarted",
                self.model,
            )

    def may_eject(self, endpoint: Endpoint) -> bool:
        """Never more than the share, never the last one that is up."""
        out = sum(other.ejection.until is not None for other in self.endpoints)
        left = sum(other.healthy for other in self.endpoints if other is not endpoint)
        return left > 0 and out < max(1, int(self._max_ejected * len(self.endpoints)))

    def attempted(self, endpoint: Endpoint, result: str, seconds: float) -> None:
        """Count an attempt."""
        key = (endpoint.name, result)
        count = self._attempts.get(key)
        if count is None:
            attempts = self._telemetry.attempts.cell(self.model, endpoint.name, result)
            times = self._telemetry.upstream_seconds.cell(self.model, endpoint.name)

            def count(seconds: float) -> None:
                attempts.value += 1
                times.observe(seconds)

            self._attempts[key] = count
        count(seconds)

    def ejected(self, endpoint: Endpoint, reason: str) -> None:
        """Count an ejection."""
        self._telemetry.ejections.cell(endpoint.name, reason).value += 1

    async def run(self, *, interval: float, timeout: float, jitter: float) -> None:
        """Keep all endpoints connected and probed until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:

                def begin(endpoint: Endpoint) -> None:
                    watch = endpoint.watch(interval=interval, timeout=timeout, jitter=jitter)
                    connection = group.create_task(endpoint.transport.run())
                    self._work[endpoint] = (connection, group.create_task(watch))

                self._begin = begin
                for endpoint in (*self.endpoints, *self.held):
                    begin(endpoint)
                # Endpoints may come at any time, so the group must not end with the last one.
                await asyncio.get_running_loop().create_future()
        finally:
            self._begin = None
            self._work.clear()

    def _let_go(self, endpoint: Endpoint) -> None:
        """End the work for *endpoint* if it was removed and has nothing left to answer."""
        if endpoint.pending or endpoint not in self.leaving:
            return
        self.leaving.pop(endpoint).set()
        for task in self._work.pop(endpoint, ()):
            task.cancel()

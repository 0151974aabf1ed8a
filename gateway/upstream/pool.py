# SPDX-License-Identifier: Apache-2.0
"""Pool: the endpoints of one model, as they come and go, and what they tell.

Endpoints come and go while it serves. One that is held is connected and probed, but gets nothing.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from gateway.upstream.choice import Choice
from gateway.upstream.identity import mistaken
from gateway.upstream.laggards import Laggards
from gateway.upstream.policy import Informed, Learning
from gateway.upstream.slow_start import SlowStart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.telemetry import Telemetry
    from gateway.upstream.discovery import Discovery
    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.outstanding import Outstanding
    from gateway.upstream.policy import Policy
    from gateway.wire.frames import Hello
    from gateway.wire.model import ModelInfo

log = logging.getLogger(__name__)


class Pool(Choice):
    """The endpoints that serve *model*.

    *slow_start* and *slow_floor* are those of `SlowStart`. *outstanding* is where several gateway
    processes count together, for whoever makes endpoints.
    """

    def __init__(
        self,
        model: str,
        *,
        policy: Policy,
        telemetry: Telemetry,
        max_ejected: float = 0.5,
        panic_threshold: float = 0.5,
        slow_start: float = 15.0,
        slow_floor: float = 0.1,
        outstanding: Outstanding | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        super().__init__(policy, max_ejected=max_ejected, panic_threshold=panic_threshold)
        self.model = model
        self.outstanding = outstanding
        # Connected, and sent nothing: what has not been let in yet, or an operator keeps out.
        self.held: list[Endpoint] = []
        # Removed, and still busy with what they had; the event comes with the end of that.
        self.leaving: dict[Endpoint, asyncio.Event] = {}
        # The model as the first endpoint that is up describes it, else as it was last known.
        self.info: ModelInfo | None = None
        self.batched = False
        self._learning = policy if isinstance(policy, Learning) else None
        self._informed = policy if isinstance(policy, Informed) else None
        self._slow_start = SlowStart(self.changed, window=slow_start, floor=slow_floor, clock=clock)
        self._telemetry = telemetry
        self._on_change: list[Callable[[], None]] = []
        self._attempts: dict[tuple[str, str], Callable[[float], None]] = {}
        self._followed: dict[Discovery, asyncio.Task[None] | None] = {}
        self._begin: Callable[[Endpoint], None] | None = None
        self._follow: Callable[[Discovery], asyncio.Task[None]] | None = None
        # The life of the last worker at an endpoint's address that was not the expected one.
        self._strangers: dict[Endpoint, str] = {}
        self._laggards = Laggards()
        self._work: dict[Endpoint, tuple[asyncio.Task[None], ...]] = {}

    def __repr__(self) -> str:
        return f"<Pool {self.model} {self.endpoints}>"

    def add(self, endpoints: Iterable[Endpoint], *, held: bool = False) -> None:
        """Take *endpoints* in; they find their own way up. *held*: they get nothing yet."""
        for endpoint in endpoints:
            (self.held if held else self.endpoints).append(endpoint)
            self.look()
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

    def follow(self, name: Discovery) -> None:
        """Have endpoints come and go as the addresses of *name* do."""
        self._followed[name] = None if self._follow is None else self._follow(name)

    def unfollow(self, name: Discovery) -> None:
        """Remove the endpoints of *name*, and ask no more for its addresses."""
        task = self._followed.pop(name, None)
        if task is not None:
            task.cancel()
        name.stop()

    @property
    def followed(self) -> tuple[Discovery, ...]:
        """The names whose addresses are endpoints of it."""
        return tuple(self._followed)

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

    # What endpoints tell.

    def changed(self, endpoint: Endpoint) -> None:
        """Tell whoever waits for a slot."""
        if self.leaving:
            self._let_go(endpoint)
        self.tell()

    def tell(self) -> None:
        """Call whoever waits for a change."""
        for callback in self._on_change:
            callback()

    def learn(self) -> None:
        """An endpoint came up or went down, came or went: see which model is served now."""
        self.look()
        self._slow_start.review(self.endpoints)
        served = [e.info for e in self.endpoints if e.liveness.up and e.info is not None]
        if not served:
            return
        self.info = served[0]
        self.batched = served[0].batched
        # The digest of a server elsewhere may be of its description, and says nothing of the file.
        if len({info.digest for info in served if not info.digest.startswith("~")}) > 1:
            log.warning(
                "the workers of model %s have different files: clients get answers of either, "
                "until all have been restarted",
                self.model,
            )

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

            learning = self._learning
            if learning is not None and result != "cancelled":
                counted, name, good = count, endpoint.name, result == "ok"

                def count(seconds: float) -> None:
                    counted(seconds)
                    learning.attempted(name, seconds, good=good)

            self._attempts[key] = count
        count(seconds)

    def outpaced(self, endpoint: Endpoint, seconds: float) -> bool:
        """See `Laggards.outpaced`."""
        return self._laggards.outpaced(endpoint, self.endpoints, seconds)

    def ejected(self, endpoint: Endpoint, reason: str) -> None:
        """Count an ejection."""
        self._telemetry.ejections.cell(endpoint.name, reason).value += 1

    def stranger(self, endpoint: Endpoint, hello: Hello) -> str:
        """Why the worker that says *hello* at the address of *endpoint* gets nothing, or ""."""
        others = [
            each.info
            for each in (*self.endpoints, *self.held)
            if each is not endpoint and each.liveness.up and each.info is not None
        ]
        why = mistaken(hello.model, endpoint.info, others)
        if not why:
            self._strangers.pop(endpoint, None)
        elif self._strangers.get(endpoint) != hello.instance:
            # It is looked at again and again: told once for each of its lives.
            self._strangers[endpoint] = hello.instance
            log.warning(
                "endpoint %s ejected for as long as another worker is there (identity): %s",
                endpoint.name, why,
            )  # fmt: skip
            self.ejected(endpoint, "identity")
        return why

    def returned(self, endpoint: Endpoint) -> None:
        """Spare *endpoint* for a while if others are warm, and believe nothing old of it."""
        self._slow_start.returned(endpoint, self.endpoints)
        if self._informed is not None:
            self._informed.began(endpoint.name)

    @property
    def informed(self) -> bool:
        """Whether `reported` is to be told what workers say of their load."""
        return self._informed is not None

    def reported(self, endpoint: Endpoint, held: int, rows: int) -> None:
        """A worker holds *held* more requests behind an answer of *rows* rows."""
        if self._informed is None:
            return
        # The answer that tells it still counts as pending.
        ours = endpoint.pending - 1
        if endpoint.elsewhere is not None:
            ours += endpoint.elsewhere()[0]
        self._informed.reported(endpoint.name, max(0, held - ours) * max(1, rows))

    async def run(self, *, interval: float, timeout: float, jitter: float) -> None:
        """Keep all endpoints connected and probed until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:

                def begin(endpoint: Endpoint) -> None:
                    watch = endpoint.watch(interval=interval, timeout=timeout, jitter=jitter)
                    connection = group.create_task(endpoint.transport.run())
                    self._work[endpoint] = (connection, group.create_task(watch))

                def follow(name: Discovery) -> asyncio.Task[None]:
                    return group.create_task(name.run())

                self._begin, self._follow = begin, follow
                for name in self._followed:
                    self._followed[name] = follow(name)
                for endpoint in (*self.endpoints, *self.held):
                    begin(endpoint)
                # Endpoints may come at any time, so the group must not end with the last one.
                await asyncio.get_running_loop().create_future()
        finally:
            self._begin = self._follow = None
            self._work.clear()

    def _let_go(self, endpoint: Endpoint) -> None:
        """End the work for *endpoint* if it was removed and has nothing left to answer."""
        if endpoint.pending or endpoint not in self.leaving:
            return
        self.leaving.pop(endpoint).set()
        self._strangers.pop(endpoint, None)
        self._laggards.forget(endpoint)
        for task in self._work.pop(endpoint, ()):
            task.cancel()
        present = (*self.endpoints, *self.held, *self.leaving)
        if all(other.name != endpoint.name for other in present):
            # Addresses that come and go for ever must not leave a series each.
            self._telemetry.forget_endpoint(endpoint.name)
            for key in [key for key in self._attempts if key[0] == endpoint.name]:
                del self._attempts[key]

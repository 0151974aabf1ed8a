# SPDX-License-Identifier: Apache-2.0
"""Measure: carry out a plan, and give what it measured."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from gateway.lab import LabError
from gateway.lab.load.conversation import Job
from gateway.lab.load.environment import environment
from gateway.lab.load.fleet import Fleet, Watch
from gateway.lab.load.histogram import Histogram
from gateway.lab.load.merge import merged
from gateway.lab.load.recorder import Tally
from gateway.lab.load.run import Plan, Run
from gateway.lab.load.schedule import read_trace
from gateway.lab.load.server import Server, growth
from gateway.lab.load.source import is_bodies, templates
from gateway.lab.load.supply import SALTS, Template
from gateway.lab.load.verdict import BUSY, judge, lag_limit
from gateway.lab.load.warming import Warming

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.lab.load.conversation import Done

# A window begins so long after it was decided on, in seconds: every process knows it by then.
_AHEAD: Final = 0.2
# A process above this in the warm-up would not keep the schedule in the window.
_NEARLY_BUSY: Final = 0.7


class Progress(msgspec.Struct, kw_only=True):
    """How a run goes. *p50* and *p99* are of the last half second, in seconds."""

    phase: Literal["prepare", "warm-up", "measure", "drain"]
    # Seconds in this phase, and how many it takes, 0 where that is not known.
    elapsed: float = 0.0
    total: float = 0.0
    offered: int = 0
    ok: int = 0
    errors: int = 0
    p50: float = 0.0
    p99: float = 0.0
    processes: int = 1


async def measure(
    plan: Plan,
    data: str | None = None,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    stop: asyncio.Event | None = None,
    fleet: Fleet | None = None,
) -> Run:
    """Carry out *plan* with inputs from *data*, a file or directory, or made up where it is None.

    *on_progress* is called about twice a second. When *stop* is set, what was measured so far is
    given. *fleet* has the generating processes, of this host or others; without one, some are
    started and ended. Raises LabError where the plan or the data cannot be, where the server cannot
    be reached, and where it refuses the first request.
    """
    plan.check()
    if fleet is None:
        async with Fleet() as own:
            return await measure(plan, data, on_progress=on_progress, stop=stop, fleet=own)
    tell = on_progress or _nothing
    tell(Progress(phase="prepare"))
    plan = _settled(plan, made_up=data is None)
    trace = read_trace(plan.trace, plan.rate).tobytes() if plan.schedule == "trace" else b""
    async with Server(plan) as server:
        specs = [] if data is not None and is_bodies(data) else await server.specs()
        made = templates(plan, data, specs)
        await server.try_once(made[0])
        before = await server.statistics()
        measuring = _Measuring(plan, made, trace, tell, stop or asyncio.Event())
        run = await measuring.run(fleet)
        after = await server.statistics()
        # What was measured is kept and shown; keys are not.
        hidden = tuple((name, "hidden") for name, _ in plan.headers)
        run.plan = msgspec.structs.replace(plan, headers=hidden)
        run.statistics = growth(before, after) if after else {}
        name, version = await server.name()
    run.environment = environment(run, server=name, server_version=version)
    judge(run)
    tell(Progress(phase="drain", offered=run.offered, ok=run.ok))
    return run


def _settled(plan: Plan, *, made_up: bool) -> Plan:
    """*plan* with what it left open: a salt, and inputs that are all different if made up."""
    changed: dict[str, object] = {}
    if not plan.salt:
        changed["salt"] = 1 + secrets.randbelow(SALTS)
    if plan.repeat is None and made_up:
        changed["repeat"] = 0.0
    if plan.warmup is None and plan.schedule in {"ramp", "burst"}:
        # Their window must begin where the ramp does.
        changed["warmup"] = Plan(url="", model="").warmup
    return msgspec.structs.replace(plan, **changed)


class _TooFew(Exception):
    """The processes do not keep the schedule, and there are cores left."""


class _Measuring:
    """One plan, tried with more processes until they keep the schedule."""

    def __init__(
        self,
        plan: Plan,
        made: list[Template],
        trace: bytes,
        tell: Callable[[Progress], None],
        stop: asyncio.Event,
    ) -> None:
        self._plan = plan
        self._made = made
        self._trace = trace
        self._tell = tell
        self._stop = stop
        self._warming = Warming()
        self._begun = False
        self._recent = Histogram()
        self._fresh: set[int] = set()

    async def run(self, fleet: Fleet) -> Run:
        """The run of the smallest number of processes that keeps the schedule."""
        most = self._most(fleet)
        processes = min(self._plan.processes or 1, most)
        while True:
            try:
                return await self._try(fleet, processes, last=self._plan.processes > 0)
            except _TooFew:
                processes = min(2 * processes, most)
                # What was sent so far may stand in a cache: other inputs from here.
                salt = 1 + (self._plan.salt + SALTS // 2) % SALTS
                self._plan = msgspec.structs.replace(self._plan, salt=salt)

    def _most(self, fleet: Fleet) -> int:
        """Processes on each host: one a core, but no more than there are requests in flight."""
        asked = self._plan.processes or len(os.sched_getaffinity(0))
        share = self._plan.connection_limit // fleet.hosts
        if not self._plan.is_open:
            share = min(share, self._plan.concurrency // fleet.hosts)
        if share < 1:
            raise LabError(
                f"{fleet.hosts} agents for {self._plan.connection_limit} connections and a "
                f"concurrency of {self._plan.concurrency}: expected one for each at least"
            )
        return max(1, min(asked, share))

    async def _try(self, fleet: Fleet, processes: int, *, last: bool) -> Run:
        await fleet.grow(processes)
        shares = processes * fleet.hosts
        plan, warmup = self._plan, self._plan.warmup
        jobs = [
            Job(
                plan=plan, templates=self._made, share=share, shares=shares,
                warmup=warmup or 0.0, trace=self._trace, primes=share == 0,
            )
            for share in range(shares)
        ]  # fmt: skip
        self._warming = Warming()
        self._begun = False
        leading: list[asyncio.Task[bool]] = []
        watches: list[Watch] = []

        def watch(watch: Watch) -> None:
            watches.append(watch)
            watch.seen = lambda place: self._seen(watch, place)
            can_grow = not last and processes < self._most(fleet)
            leading.append(asyncio.create_task(self._lead(watch, can_grow=can_grow)))

        try:
            done = await fleet.run(jobs, begin=warmup, watch=watch)
            if leading[0].done() and not leading[0].cancelled() and not await leading[0]:
                raise _TooFew
        finally:
            for task in leading:
                task.cancel()
            await asyncio.gather(*leading, return_exceptions=True)
        return self._merged(done, watches[0])

    async def _lead(self, watch: Watch, *, can_grow: bool) -> bool:
        """Begin the window, stop when asked; False where it takes more processes."""
        stopping = asyncio.create_task(self._stop.wait())
        try:
            while not self._begun:
                seeing = asyncio.create_task(self._warming.told.wait())
                try:
                    await asyncio.wait({stopping, seeing}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    seeing.cancel()
                if stopping.done():
                    break
                self._warming.told.clear()
                now = perf_counter_ns()
                warm = (now - watch.start) / 1e9
                over = (
                    self._warming.steady(warm)
                    if self._plan.warmup is None
                    else warm >= self._plan.warmup - _AHEAD
                )
                if over:
                    if can_grow and self._is_late(watch):
                        await watch.stop()
                        return False
                    if self._plan.warmup is None:
                        await watch.begin(now + round(_AHEAD * 1e9))
                    self._begun = True
            await stopping
            await watch.stop()
            return True
        finally:
            stopping.cancel()

    def _is_late(self, watch: Watch) -> bool:
        cpu = max(sight.cpu for sight in watch.sights)
        lag = max(sight.lag_p99 for sight in watch.sights)
        late = self._plan.is_open and lag > lag_limit(self._warming.whole)
        return cpu > BUSY or (late and cpu > _NEARLY_BUSY)

    def _seen(self, watch: Watch, place: int) -> None:
        """A process has told how it goes; when all have, it is told on."""
        self._recent.add(watch.sights[place].recent)
        self._fresh.add(place)
        if len(self._fresh) < len(watch.sights):
            return
        self._fresh.clear()
        recent, self._recent = self._recent, Histogram()
        now = perf_counter_ns()
        inside = bool(watch.window) and now >= watch.window
        if not inside:
            self._warming.add(recent)
        since = watch.window if inside else watch.start
        elapsed = max(0.0, (now - since) / 1e9)
        total = self._plan.duration if inside else self._plan.warmup or 0.0
        drains = inside and elapsed > self._plan.duration
        self._tell(
            Progress(
                phase="drain" if drains else "measure" if inside else "warm-up",
                elapsed=min(elapsed, total) if total else elapsed,
                total=total,
                offered=sum(sight.offered for sight in watch.sights),
                ok=sum(sight.ok for sight in watch.sights),
                errors=sum(sight.errors for sight in watch.sights),
                p50=recent.percentile(50),
                p99=recent.percentile(99),
                processes=len(watch.sights),
            )
        )

    def _merged(self, done: list[Done], watch: Watch) -> Run:
        tally = Tally()
        for each in done:
            tally.add(each.tally)
        seconds = max(each.measured for each in done)
        # Instants of this process's clock as Unix time.
        began = watch.window or perf_counter_ns()
        started = time.time() - (perf_counter_ns() - began) / 1e9
        health = [each.health for each in done]
        return merged(
            self._plan, tally, health,
            seconds=seconds, started=started, warmup=max(0.0, (began - watch.start) / 1e9),
            rows=self._made[0].count,
        )  # fmt: skip


def _nothing(_: Progress) -> None:
    """What is told where nobody listens."""

# SPDX-License-Identifier: Apache-2.0
"""Soak: the whole program under load and mixed faults: ``python -m tests.stress.soak``.

Two workers are the supervisor's own, one is behind a relay that spoils its connection. One fault
is made at a time, at random but seeded; clients ask all the while, some of them badly. Every answer
is compared with its question, every error must have been asked for, and at the end nothing may be
left over. Exit code 0 where all of that holds, 1 where it does not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic
from typing import Final

import numpy as np

from tests.stress.clients import Clients
from tests.support import models
from tests.support.metrics import value
from tests.support.relay import Relay
from tests.support.serving import Serving
from tests.support.worker_process import Worker

# What memory may grow by, and from how many requests on a slope means anything.
MOST_SLOPE: Final = 1.0
ENOUGH: Final = 300_000
PER: Final = 100_000
CONFIG = """
server: {{http: "127.0.0.1:0", admin: "127.0.0.1:0", access_log: {{errors: false}}}}
models:
  m:
    backends:
      - worker: {{path: {path}, replicas: 2}}
      - address: "{relay}"
    health: {{interval: 500ms, timeout: 1s, fall: 2}}
    ejection: {{base: 100ms, max: 1s}}
"""
WORKERS: Final = 3


@dataclass
class Memory:
    """The resident memory of the gateway process, by how many requests it had answered."""

    requests: list[int] = field(default_factory=list)
    mebibytes: list[float] = field(default_factory=list)

    def note(self, pid: int, requests: int) -> None:
        """Take a sample."""
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        self.requests.append(requests)
        self.mebibytes.append(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20))

    def slope(self) -> float:
        """MiB for each 100,000 requests, by least squares; the first fifth is warming up."""
        start = len(self.requests) // 5
        requests, mebibytes = self.requests[start:], self.mebibytes[start:]
        if len(set(requests)) < 2:
            return 0.0
        return float(np.polyfit(requests, mebibytes, 1)[0]) * PER


class Soak:
    """Faults on *serving* and *relay*, one after the other, while *clients* ask."""

    def __init__(self, serving: Serving, relay: Relay, clients: Clients, *, seed: int) -> None:
        self._serving = serving
        self._relay = relay
        self._clients = clients
        self._rng = Random(seed)
        self.made: Counter[str] = Counter()
        self.memory = Memory()
        self.text = ""

    async def run(self, seconds: float) -> None:
        """Make faults for so many *seconds*, then let everything come to rest."""
        faults = [
            self.kill, self.drain, self.freeze, self.control, self.refuse, self.stall,
            self.reset, self.half_close, self.truncate, self.babble,
        ]  # fmt: skip
        until = monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._clients.run())
            sampling = group.create_task(self._sample())
            await self.ready()
            deck: list[int] = []
            while monotonic() < until and not asking.done():
                # A shuffled deck: even a short run has most of them.
                deck = deck or self._rng.sample(range(len(faults)), len(faults))
                fault = faults[deck.pop()]
                await fault()
                self.made[fault.__name__] += 1
                await self.ready()
                await self._clients.reaches(self._rng.randrange(100, 1000))
            self._clients.stopped.set()
            await asking
            sampling.cancel()
        await self.idle()

    async def _sample(self) -> None:
        pid = self._serving.children()["gateway.process"]
        while True:
            self.memory.note(pid, self._clients.outcomes.total())
            await asyncio.sleep(1)

    async def scrape(self) -> str:
        """The metrics of all processes."""
        _, self.text = await asyncio.to_thread(self._serving.get, "/metrics")
        return self.text

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series in the last scrape."""
        return value(self.text, f"infergate_{name}", **labels)

    async def ready(self) -> None:
        """Wait until every worker may be asked: one fault at a time."""
        while True:
            await self.scrape()
            if self.metric("endpoint_state", state="ready") == WORKERS:
                return
            await asyncio.sleep(0.05)

    async def idle(self) -> None:
        """Wait until nothing is under way, with every worker back."""
        await self.ready()
        while self.metric("pending") or self.metric("queued_rows"):
            await asyncio.sleep(0.05)
            await self.scrape()

    # The faults; each returns when it has happened.

    def _worker(self) -> int:
        workers = [pid for name, pid in self._serving.children().items() if name.startswith("m-")]
        return self._rng.choice(sorted(workers))

    async def _end(self, pid: int, number: signal.Signals) -> None:
        await self.scrape()
        before = self.metric("worker_restarts_total")
        os.kill(pid, number)
        while self.metric("worker_restarts_total") == before:
            await asyncio.sleep(0.05)
            await self.scrape()

    async def kill(self) -> None:
        """A worker of the supervisor's, by SIGKILL."""
        await self._end(self._worker(), signal.SIGKILL)

    async def drain(self) -> None:
        """A worker of the supervisor's, asked to end."""
        await self._end(self._worker(), signal.SIGTERM)

    async def control(self) -> None:
        """The control process, by SIGKILL: nobody who predicts may notice."""
        await self._end(self._serving.children()["gateway.control"], signal.SIGKILL)

    async def freeze(self) -> None:
        """A worker stops for a moment, or for longer than its probes bear."""
        pid = self._worker()
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(self._rng.choice([0.2, 1.0, 4.0]))
        finally:
            os.kill(pid, signal.SIGCONT)

    async def refuse(self) -> None:
        """Nobody listens at an address for a while."""
        self._relay.refuse()
        await asyncio.sleep(self._rng.uniform(0.05, 1.0))
        await self._relay.listen()

    async def stall(self) -> None:
        """A network that holds everything back for a while."""
        self._relay.stall()
        await asyncio.sleep(self._rng.choice([0.1, 0.5, 3.5]))
        self._relay.flow()

    async def _again(self) -> None:
        connections = self._relay.connections
        while self._relay.connections == connections:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)

    async def reset(self) -> None:
        """A connection ends with a reset."""
        self._relay.reset()
        await self._again()

    async def half_close(self) -> None:
        """A peer sends nothing more."""
        self._relay.half_close()
        await self._again()

    async def truncate(self) -> None:
        """A connection ends in the middle of a frame."""
        self._relay.truncate()
        await self._again()

    async def babble(self) -> None:
        """Noise in the place of a frame."""
        self._relay.babble()
        await self._again()

    def faults(self) -> list[str]:
        """All that must not be, each in a line."""
        outcomes, slope = self._clients.outcomes, self.memory.slope()
        answered = sum(outcomes[kind] for kind in ("ok", "late", "bad"))
        counted = self.metric("requests_total") - self.metric("requests_total", code="499")
        attempts = self.metric("attempts_total")
        found = [f"unexplained: {what}" for what in self._clients.unexplained]
        # Who left while the answer was on its way has been answered in the gateway's books.
        if not answered <= counted <= answered + outcomes["left"]:
            found.append(f"{counted:.0f} answers counted, {answered} received")
        if attempts > 2 * outcomes.total():
            found.append(f"{attempts:.0f} attempts for {outcomes.total()} requests")
        if outcomes.total() >= ENOUGH and slope > MOST_SLOPE:
            found.append(f"memory grows by {slope:.2f} MiB for each {PER} requests")
        return found

    def report(self) -> str:
        """What happened, for people."""
        memory = self.memory.mebibytes
        retries, ejections = self.metric("retries_total"), self.metric("ejections_total")
        restarts, attempts = self.metric("worker_restarts_total"), self.metric("attempts_total")
        clients = self._clients.outcomes
        lines = [
            f"requests    {clients.total()}",
            f"outcomes    {dict(sorted(clients.items()))}",
            f"faults      {dict(sorted(self.made.items()))}",
            f"upstream    {attempts:.0f} attempts, {retries:.0f} retries",
            f"health      {ejections:.0f} ejections, {restarts:.0f} restarts",
            f"memory      {memory[0]:.1f} MiB at first, {memory[-1]:.1f} at last",
            f"slope       {self.memory.slope():+.3f} MiB for each {PER} requests",
            *[f"FAULT       {fault}" for fault in self.faults()],
        ]
        return "\n".join(lines)


async def soak(directory: Path, *, seconds: float, seed: int, clients: int = 16) -> Soak:
    """Soak the program in *directory* for so many *seconds*."""
    path = models.save(models.identity(), directory / "model" / "m")
    with Worker(path) as remote:
        async with Relay(remote.socket) as relay:
            text = CONFIG.format(path=path, relay=relay.address)
            with Serving(directory, text) as serving:
                quiet = asyncio.get_running_loop().run_in_executor(None, serving.ready)
                await quiet
                drained = asyncio.create_task(asyncio.to_thread(serving.swallow))
                asking = Clients(serving.http, clients=clients, seed=seed)
                run = Soak(serving, relay, asking, seed=seed)
                try:
                    await run.run(seconds)
                finally:
                    serving.process.kill()
                    await drained
                return run


def main() -> int:
    """Soak for as long as the command line says, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        run = asyncio.run(soak(Path(directory), seconds=options.minutes * 60, seed=options.seed))
    sys.stdout.write(run.report() + "\n")
    return 1 if run.faults() else 0


if __name__ == "__main__":
    sys.exit(main())

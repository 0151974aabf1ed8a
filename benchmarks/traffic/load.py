# SPDX-License-Identifier: Apache-2.0
"""Open-loop load: requests leave when they are due, whatever has become of those before."""

import asyncio
import json
import random
from dataclasses import dataclass, field
from time import perf_counter

import aiohttp

PATH = "/v2/models/echo/infer"


@dataclass
class Outcome:
    """One request: when it was due, how long it took from then on, and what came."""

    due: float
    seconds: float
    status: int


@dataclass
class Load:
    """What came of a run; *lag* is by how much the latest request left too late."""

    began: float
    lasted: float
    outcomes: list[Outcome] = field(default_factory=list)
    lag: float = 0.0

    def good(self, slo: float, *, start: float = 0.0, end: float = float("inf")) -> int:
        """Successes within *slo* seconds among those due between *start* and *end*."""
        return sum(
            each.status == 200 and each.seconds <= slo
            for each in self.outcomes
            if start <= each.due - self.began < end
        )

    def percentile(self, share: float, *, accepted: bool, start: float = 0.0) -> float:
        """Of the seconds of those that were answered with 200, or of all others."""
        known = sorted(
            each.seconds
            for each in self.outcomes
            if (each.status == 200) is accepted and each.due - self.began >= start
        )
        return known[min(len(known) - 1, int(share * len(known)))] if known else float("nan")

    def statuses(self) -> dict[int, int]:
        """How many of each; 0 is no answer at all."""
        found: dict[int, int] = {}
        for each in self.outcomes:
            found[each.status] = found.get(each.status, 0) + 1
        return dict(sorted(found.items()))


def body(number: int) -> bytes:
    """A request of one row, with a number by which its answer is recognised."""
    data = [float(number % 100_000), 1.0, 2.0, 3.0]
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


class Client:
    """Sends requests to *url* that are of use for *timeout* seconds."""

    def __init__(self, url: str, session: aiohttp.ClientSession, *, timeout: float) -> None:
        self._url = url + PATH
        self._session = session
        self._patience = aiohttp.ClientTimeout(total=20 * timeout)
        self._headers = {
            "Content-Type": "application/json",
            "X-Request-Timeout-Ms": str(int(timeout * 1000)),
        }

    async def ask(self, number: int, due: float) -> Outcome:
        """One request; an answer that belongs to another counts as status -1."""
        try:
            async with self._session.post(
                self._url, data=body(number), headers=self._headers, timeout=self._patience
            ) as response:
                text = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError):
            return Outcome(due, perf_counter() - due, 0)
        if status == 200 and json.loads(text)["outputs"][0]["data"][0] != number % 100_000:
            status = -1
        return Outcome(due, perf_counter() - due, status)

    async def closed(self, clients: int, seconds: float) -> float:
        """Successes a second of so many clients, each with one request at a time."""
        until = perf_counter() + seconds
        served = 0

        async def one(first: int) -> None:
            nonlocal served
            number = first
            while perf_counter() < until:
                outcome = await self.ask(number, perf_counter())
                served += outcome.status == 200
                number += clients

        await asyncio.gather(*(one(first) for first in range(clients)))
        return served / seconds

    async def open(self, rate: float, seconds: float, *, seed: int = 1) -> Load:
        """Poisson arrivals at *rate* a second for *seconds*."""
        rng = random.Random(seed)
        load = Load(perf_counter(), seconds)
        tasks: set[asyncio.Task[Outcome]] = set()
        due, number = load.began, 0
        while due - load.began < seconds:
            wait = due - perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            load.lag = max(load.lag, perf_counter() - due)
            tasks.add(asyncio.ensure_future(self.ask(number, due)))
            number += 1
            due += rng.expovariate(rate)
        load.outcomes = list(await asyncio.gather(*tasks))
        return load


def session() -> aiohttp.ClientSession:
    """Connections without a bound: an open loop does not wait for one."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    )

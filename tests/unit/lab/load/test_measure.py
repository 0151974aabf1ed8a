# SPDX-License-Identifier: Apache-2.0
"""A run has as many processes as keep its schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.lab import LabError
from gateway.lab.load.conversation import Done, Job
from gateway.lab.load.fleet import Watch
from gateway.lab.load.generator import Sight
from gateway.lab.load.histogram import Histogram
from gateway.lab.load.measure import _Measuring
from gateway.lab.load.recorder import Tally
from gateway.lab.load.run import Health, Plan
from gateway.lab.load.supply import Template


class ScriptedFleet:
    """Processes that fare as *sights* say: one for each attempt, the last one for all further."""

    hosts = 1

    def __init__(self, *sights: Sight) -> None:
        self._sights = list(sights)
        self.attempts: list[list[Job]] = []

    async def grow(self, processes: int) -> None:
        """As many as are asked for."""

    async def run(
        self, jobs: Sequence[Job], *, begin: float | None, watch: Callable[[Watch], None]
    ) -> list[Done]:
        """Tell of the warm-up once, and be done when told to stop, or at once if not."""
        self.attempts.append(list(jobs))
        made = Watch([], 0)
        made.sights = [Sight() for _ in jobs]
        watch(made)
        sight = self._sights.pop(0) if len(self._sights) > 1 else self._sights[0]
        for place in range(len(jobs)):
            made.sights[place] = sight
            made.seen(place)
        # Whoever leads the run has its turns; then it is over.
        for _ in range(100):
            await asyncio.sleep(0)
        return [Done(tally=Tally(offered=1), health=Health(), measured=1.0) for _ in jobs]


def sight(cpu: float, lag: float = 0.0) -> Sight:
    """A process that needs so much, and is so late."""
    recent = Histogram()
    recent.record_seconds(0.001, 100)
    return Sight(cpu=cpu, lag_p99=lag, recent=recent)


def attempts(monkeypatch: pytest.MonkeyPatch, *sights: Sight, **fields: Any) -> list[list[Job]]:
    """The jobs of each attempt, on a machine with four cores."""
    monkeypatch.setattr("gateway.lab.load.measure.os.sched_getaffinity", lambda _: range(4))
    given = {"url": "", "model": "m", "rate": 1000.0, "warmup": 0.1, "salt": 5, **fields}
    fleet = ScriptedFleet(*sights)

    async def run() -> None:
        plan = Plan(**given)
        measuring = _Measuring(plan, [Template(b"", b"x")], b"", lambda _: None, asyncio.Event())
        await measuring.run(fleet)  # type: ignore[arg-type]

    asyncio.run(run())
    return fleet.attempts


def test_one_process_is_enough_where_it_keeps_the_schedule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More would only take cores from the server."""
    assert [len(jobs) for jobs in attempts(monkeypatch, sight(0.5))] == [1]


@pytest.mark.parametrize("late", [sight(0.95), sight(0.8, lag=0.002)])
def test_processes_double_until_they_keep_it(monkeypatch: pytest.MonkeyPatch, late: Sight) -> None:
    """Each attempt sends other inputs: those of the first may stand in a cache by now."""
    made = attempts(monkeypatch, late, sight(0.5))

    assert [len(jobs) for jobs in made] == [1, 2]
    assert made[0][0].plan.salt != made[1][0].plan.salt
    assert [(job.share, job.shares, job.primes) for job in made[1]] == [
        (0, 2, True), (1, 2, False)
    ]  # fmt: skip


def test_a_lag_without_work_asks_for_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine delays any number of processes: the verdict tells of it."""
    assert [len(jobs) for jobs in attempts(monkeypatch, sight(0.2, lag=0.05))] == [1]


@pytest.mark.parametrize(
    ("fields", "counts"),
    [({}, [1, 2, 4]), ({"processes": 1}, [1]), ({"connections": 2}, [1, 2]),
     ({"schedule": "closed", "concurrency": 2}, [1, 2])],
)  # fmt: skip
def test_there_are_no_more_than_cores_or_requests(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], counts: list[int]
) -> None:
    """Nor more than were asked for: then the run is what it is."""
    made = attempts(monkeypatch, sight(1.0), **fields)

    assert [len(jobs) for jobs in made] == counts


async def test_more_agents_than_requests_are_refused() -> None:
    """Each host needs one to send."""
    fleet = ScriptedFleet(sight(0.1))
    fleet.hosts = 3
    plan = Plan(url="", model="m", schedule="closed", concurrency=2)
    measuring = _Measuring(plan, [], b"", lambda _: None, asyncio.Event())
    with pytest.raises(LabError, match="3 agents for 2 connections and a concurrency of 2"):
        await measuring.run(fleet)  # type: ignore[arg-type]

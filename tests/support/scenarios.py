# SPDX-License-Identifier: Apache-2.0
"""Scenarios: what every fault of a worker is put through, with a neighbour and without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.faulty import FaultyWorker, Manner, answer
from tests.support.trial import Trial, trial

# More than two workers have slots for, so that some of them wait.
MANY = 24
# Whoever is ejected comes back soon.
BRIEF = {"base": "50ms", "max": "200ms"}


@asynccontextmanager
async def two_workers(
    directory: Path, **options: Any
) -> AsyncIterator[tuple[Trial, FaultyWorker, FaultyWorker]]:
    """A gateway with two workers that are well, and must be again at the end."""
    options.setdefault("ejection", BRIEF)
    async with (
        FaultyWorker() as one,
        FaultyWorker() as other,
        trial(directory, one.address, other.address, **options) as under,
    ):
        yield under, one, other
        one.manner = other.manner = answer
        check_allowance(under, one, other)


@asynccontextmanager
async def one_worker(directory: Path, **options: Any) -> AsyncIterator[tuple[Trial, FaultyWorker]]:
    """A gateway with one worker that is well, and must be again at the end."""
    options.setdefault("ejection", BRIEF)
    async with FaultyWorker() as worker, trial(directory, worker.address, **options) as under:
        yield under, worker
        worker.manner = answer
        check_allowance(under, worker)


def check_allowance(under: Trial, *workers: FaultyWorker) -> None:
    """No request was sent more often than it may be: its attempts, and one behind a batch."""
    sent: Counter[int] = sum((worker.sent for worker in workers), Counter())
    most = under.attempts + 1
    beyond = {n: times for n, times in sent.items() if times > most * under.times[n]}
    assert not beyond, f"sent more than {most} times: {beyond}"


async def no_client_learns_of(directory: Path, manner: Manner, **options: Any) -> None:
    """One of two workers has the *manner*: all is answered, with the other one's help."""
    async with two_workers(directory, **options) as (under, bad, _):
        bad.manner = manner
        while not bad.done[manner.__name__]:
            assert {reply.code for reply in await under.ask_many(MANY, rows=2)} == {"ok"}
        failed = under.metric("attempts_total", endpoint=bad.address, result="upstream_failed")
        assert failed > 0


async def two_attempts_and_an_error(directory: Path, manner: Manner, *, code: str) -> None:
    """The only worker has the *manner*: each request is sent twice, and ends with *code*."""
    async with one_worker(directory) as (under, worker):
        worker.manner = manner
        replies = [await under.ask(rows=2) for _ in range(3)]
        assert [(reply.status, reply.code) for reply in replies] == [(502, code)] * 3
        assert [worker.sent[reply.number] for reply in replies] == [2] * 3
        assert worker.done[manner.__name__] == 6
        assert under.metric("attempts_total", result="upstream_failed") == 6

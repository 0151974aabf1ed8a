# SPDX-License-Identifier: Apache-2.0
"""Hedge: when a second attempt is made, and which answer counts."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from gateway.errors import ConnectionLost, UpstreamError
from gateway.stages.hedge import Hedge, Typical
from gateway.stages.retry_budget import RetryBudget
from gateway.wire.message import InferRequest, InferResponse
from tests.support.upstream import Clock, Fleet, Sent, request, settle, values


class Instant(Typical):
    """Everything takes longer than usual."""

    @property
    def seconds(self) -> float:
        """No time at all."""
        return 0.0


class Scene:
    """A hedging stage over scripted peers; any attempt is slow from the next turn on."""

    def __init__(self, size: int = 2, **options: Any) -> None:
        self.fleet = Fleet(size, cap=2)
        self.budget = options.pop("budget", None) or RetryBudget(clock=Clock())
        options.setdefault("max_extra_load", 1.0)
        self.hedge = Hedge(
            self.fleet.balance,
            model="m",
            pool=self.fleet.pool,
            telemetry=self.fleet.telemetry,
            budget=self.budget,
            min_delay=0.0,
            **options,
        )
        self.hedge._typical = Instant(95.0)

    def ask(self, asked: InferRequest | None = None) -> asyncio.Task[InferResponse]:
        """Send a request through the stage."""
        return self.fleet.ask(asked, of=self.hedge)

    def attempts(self, asked: InferRequest) -> tuple[Sent, Sent]:
        """The first attempt at *asked*, and the second."""
        one, other = self.fleet.waiting
        return (one, other) if one.request is asked else (other, one)

    def hedged(self) -> tuple[float, float]:
        """How many hedges were won and lost."""
        cells = self.fleet.telemetry.hedges
        return cells.cell("m", "true").value, cells.cell("m", "false").value


async def test_the_second_answer_counts_when_it_comes_first() -> None:
    """On another endpoint; the first attempt is cancelled, and the trace tells of the second."""
    scene = Scene()
    asked = request(5)
    task = scene.ask(asked)
    await settle()
    first, second = scene.attempts(asked)
    second.request.trace.infer = 0.25
    second.respond()
    assert values(await task) == [5]
    assert first.cancelled
    assert asked.trace.infer == 0.25
    answered = scene.fleet.peers[int(asked.trace.endpoint[1])]
    assert second in answered.sent
    assert scene.hedged() == (1, 0)
    await settle()
    scene.fleet.assert_idle()


async def test_the_first_answer_counts_when_it_comes_first() -> None:
    """Then the second attempt is cancelled."""
    scene = Scene()
    task = scene.ask(asked := request(5))
    await settle()
    first, second = scene.attempts(asked)
    first.respond()
    assert values(await task) == [5]
    assert second.cancelled
    assert scene.hedged() == (0, 1)
    await settle()
    scene.fleet.assert_idle()


async def test_a_quick_attempt_is_not_hedged() -> None:
    """What is answered before it is slow is asked once."""
    scene = Scene()
    scene.hedge._typical = Typical(95.0)
    for _ in range(128):
        scene.hedge._typical.observe(1000.0)
    task = scene.ask()
    await settle()
    (only,) = scene.fleet.waiting
    only.respond()
    await task
    assert scene.hedged() == (0, 0)


async def test_only_an_idle_endpoint_is_asked() -> None:
    """A second attempt must not take the place of somebody's first."""
    scene = Scene(2)
    tasks = [scene.ask(request(value)) for value in (1, 2)]
    await settle()
    assert len(scene.fleet.waiting) == 2
    for sent in scene.fleet.waiting:
        sent.respond()
    await asyncio.gather(*tasks)
    assert scene.hedged() == (0, 0)


async def test_a_failure_leaves_the_decision_to_the_other() -> None:
    """Whichever fails first; if both fail, the first attempt's error counts."""
    for loser in (0, 1):
        scene = Scene()
        task = scene.ask(asked := request(5))
        await settle()
        attempts = scene.attempts(asked)
        attempts[loser].fail(UpstreamError("scripted"))
        await settle()
        assert not task.done()
        attempts[1 - loser].respond()
        assert values(await task) == [5]
    scene = Scene()
    task = scene.ask(asked := request(5))
    await settle()
    first, second = scene.attempts(asked)
    second.fail(UpstreamError("the second"))
    first.fail(UpstreamError("the first"))
    with pytest.raises(UpstreamError, match="the first"):
        await task
    scene.fleet.assert_idle()


async def test_both_deaths_count_against_the_request() -> None:
    """Two workers that went away with it are two, though they had it at the same time."""
    scene = Scene()
    asked = request(5)
    task = scene.ask(asked)
    await settle()
    first, second = scene.attempts(asked)
    second.fail(ConnectionLost("the second"))
    first.fail(ConnectionLost("the first"))
    with pytest.raises(ConnectionLost, match="the first"):
        await task
    assert asked.kills == 1  # the other is for Retry to count, which gets the error


async def test_an_empty_budget_allows_none() -> None:
    """Retries and hedges spend the same."""
    scene = Scene(budget=RetryBudget(clock=Clock(), share=0.2, min_per_second=0.0))
    task = scene.ask()
    await settle()
    (only,) = scene.fleet.waiting
    only.respond()
    await task


async def test_hedges_are_a_small_share_of_the_attempts() -> None:
    """One is allowed at the start, and then one in ten."""
    scene = Scene(max_extra_load=0.1)
    hedged = 0
    for _ in range(100):
        task = scene.ask()
        await settle()
        hedged += len(scene.fleet.waiting) - 1
        for sent in scene.fleet.waiting:
            sent.respond()
        await task
        await settle()
    assert 5 <= hedged <= 11


@pytest.mark.parametrize("kind", ["sequence", "suspect", "little known"])
async def test_what_must_not_be_sent_twice_is_not_hedged(kind: str) -> None:
    """Steps of a sequence, suspects; and nothing while it is unknown what is slow."""
    scene = Scene()
    asked = request(5, parameters={"sequence_id": 7} if kind == "sequence" else None)
    if kind == "suspect":
        asked.kills = 1
    if kind == "little known":
        scene.hedge._typical = Typical(95.0)
    task = scene.ask(asked)
    await settle()
    (only,) = scene.fleet.waiting
    only.respond()
    await task


async def test_a_client_that_leaves_ends_both() -> None:
    """Nothing is left running."""
    scene = Scene()
    task = scene.ask()
    await settle()
    attempts = scene.fleet.waiting
    assert len(attempts) == 2
    task.cancel()
    await settle()
    assert all(attempt.cancelled for attempt in attempts)
    scene.fleet.assert_idle()


def test_the_percentile_is_that_of_the_latest() -> None:
    """Of a window of 128, whatever the order."""
    typical, rng = Typical(90.0), Random(3)
    for _ in range(500):
        typical.observe(rng.random() * 100)
    latest = [rng.random() for _ in range(128)]
    for seconds in latest:
        typical.observe(seconds)
    assert typical.seconds == sorted(latest)[115]

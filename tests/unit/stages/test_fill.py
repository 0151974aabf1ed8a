# SPDX-License-Identifier: Apache-2.0
"""Fills: who runs, who waits, for how long, and what happens when one of them goes or fails."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from gateway.errors import (
    BadAnswer,
    ConnectionLost,
    DeadlineExceeded,
    InvalidRequest,
    PoisonInput,
    Shed,
)
from gateway.stages.fill import Fill, Fills
from gateway.wire.message import InferRequest, InferResponse
from tests.support import virtual
from tests.support.service import PromptService, ScriptedService
from tests.support.upstream import request, settle, values

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.wire.message import Service


class Kit:
    """Fills before *inner* that keep nothing; *kept* lists what they would have."""

    def __init__(self, inner: Service, *, lock_timeout: float = 5.0) -> None:
        self.kept: list[InferResponse] = []
        self.clock: Callable[[], float] = asyncio.get_running_loop().time
        self.fills = Fills(inner, self._keep, lock_timeout=lock_timeout, clock=self.clock)

    def _keep(
        self, fill: Fill, response: InferResponse, request: InferRequest
    ) -> tuple[InferResponse, bool]:
        del fill, request
        self.kept.append(response)
        return response, True

    async def ask(self, asked: InferRequest) -> InferResponse | None:
        """Follow what runs, else lead, as the cache does."""
        fill = self.fills.running(b"k", self.clock())
        if fill is not None:
            return await self.fills.follow(fill, asked)
        return (await self.fills.lead(b"k", asked))[0]

    def start(self, asked: InferRequest | None = None) -> asyncio.Task[InferResponse | None]:
        """`ask` as a task."""
        return asyncio.get_running_loop().create_task(self.ask(asked or request(1)))


async def test_an_answer_that_needs_no_waiting_is_there_at_once() -> None:
    """Nothing is left running."""
    kit = Kit(PromptService())
    response, stored = await kit.fills.lead(b"k", request(4))

    assert (values(response), stored) == ([4], True)
    assert repr(kit.fills) == "<Fills 0 running, 0 waiting>"


async def test_followers_get_the_leaders_answer() -> None:
    """It is kept once."""
    inner = ScriptedService()
    kit = Kit(inner)
    tasks = [kit.start() for _ in range(3)]
    await settle()
    assert repr(kit.fills) == "<Fills 1 running, 3 waiting>"
    inner.sent[0].respond()

    responses = await asyncio.gather(*tasks)

    assert len({id(response) for response in responses}) == 1
    assert (len(inner.sent), len(kit.kept)) == (1, 1)
    assert repr(kit.fills) == "<Fills 0 running, 0 waiting>"


async def test_a_leader_that_goes_leaves_its_run_to_the_others() -> None:
    """A client's disconnect is nobody else's failure."""
    inner = ScriptedService()
    kit = Kit(inner)
    leader, follower = kit.start(), kit.start()
    await settle()
    leader.cancel()
    await settle()
    assert not inner.sent[0].cancelled
    inner.sent[0].respond()

    assert await follower is not None
    assert leader.cancelled()
    assert len(inner.sent) == 1


async def test_a_run_that_nobody_waits_for_is_cancelled() -> None:
    """Work for clients that have gone would be taken from those who have not."""
    inner = ScriptedService()
    kit = Kit(inner)
    leader, follower = kit.start(), kit.start()
    await settle()
    for task in (leader, follower):
        task.cancel()
    await settle()

    assert inner.sent[0].cancelled
    assert repr(kit.fills) == "<Fills 0 running, 0 waiting>"
    again = kit.start()
    await settle()
    inner.sent[1].respond()
    assert await again is not None


async def test_a_failed_leader_is_followed_by_one_other() -> None:
    """Not by all at once; the second run's answer is for all who are left."""
    inner = ScriptedService()
    kit = Kit(inner)
    tasks = [kit.start() for _ in range(50)]
    await settle()
    inner.sent[0].fail(ConnectionLost("gone"))
    await settle()
    assert len(inner.sent) == 2
    inner.sent[1].respond()

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[0], ConnectionLost)
    assert all(isinstance(result, InferResponse) for result in results[1:])
    assert len(inner.sent) == 2


async def test_elections_are_bounded() -> None:
    """A model that always fails is asked three times for a hundred equal questions."""
    inner = ScriptedService()
    kit = Kit(inner)
    tasks = [kit.start() for _ in range(100)]
    for run in range(3):
        await settle()
        inner.sent[run].fail(ConnectionLost(f"run {run}"))

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [str(result) for result in results[:3]] == ["run 0", "run 1", "run 2"]
    assert {str(result) for result in results[3:]} == {"run 2"}
    assert len(inner.sent) == 3
    assert repr(kit.fills) == "<Fills 0 running, 0 waiting>"


async def test_failures_that_come_at_once_are_bounded_too() -> None:
    """A run that fails before it waits elects no one, as no one can have joined."""
    asked: list[InferRequest] = []

    async def inner(each: InferRequest) -> InferResponse:
        asked.append(each)
        raise Shed("full")

    kit = Kit(inner)

    with pytest.raises(Shed):
        await kit.ask(request(1))
    assert len(asked) == 1


@pytest.mark.parametrize("error", [InvalidRequest("no"), PoisonInput("deadly")])
async def test_what_is_wrong_with_the_question_is_told_to_all(error: Exception) -> None:
    """Another run would refuse it again, or kill another worker."""
    inner = ScriptedService()
    kit = Kit(inner)
    tasks = [kit.start() for _ in range(3)]
    await settle()
    inner.sent[0].fail(error)

    assert await asyncio.gather(*tasks, return_exceptions=True) == [error] * 3
    assert len(inner.sent) == 1


async def test_a_leader_that_went_before_its_run_failed_is_no_loss() -> None:
    """The follower runs, and gets its own answer."""
    inner = ScriptedService()
    kit = Kit(inner)
    leader, follower = kit.start(), kit.start()
    await settle()
    leader.cancel()
    await settle()
    inner.sent[0].fail(ConnectionLost("gone"))
    await settle()
    inner.sent[1].respond()

    assert await follower is not None


async def test_an_error_told_to_many_does_not_grow() -> None:
    """Each sees where it was raised for itself, not for all before it."""
    inner = ScriptedService()
    kit = Kit(inner)
    tasks = [kit.start() for _ in range(20)]
    await settle()
    inner.sent[0].fail(InvalidRequest("no"))
    depths = []
    for task in tasks:
        with pytest.raises(InvalidRequest) as caught:
            await task
        depths.append(len(caught.traceback))
        del caught

    assert max(depths[1:]) <= depths[1] + 1


async def test_an_unforeseen_error_keeps_its_traceback() -> None:
    """It is a fault of the program, and the log must say where."""

    async def inner(_: InferRequest) -> InferResponse:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        await Kit(inner).ask(request(1))
    assert caught.traceback[-1].name == "inner"


def test_a_follower_waits_no_longer_than_the_lock_timeout() -> None:
    """A leader that hangs holds nobody up: the follower is told to ask for itself."""

    async def scenario() -> None:
        inner = ScriptedService()
        kit = Kit(inner, lock_timeout=5.0)
        leader, follower = kit.start(), kit.start()

        assert await follower is None
        assert asyncio.get_running_loop().time() == pytest.approx(5.0)
        assert not inner.sent[0].cancelled
        inner.sent[0].respond()
        assert await leader is not None

    virtual.run(scenario())


def test_a_run_that_hangs_is_not_followed_any_more() -> None:
    """Who comes after the lock timeout leads a run of its own; both runs end on their own."""

    async def scenario() -> None:
        inner = ScriptedService()
        kit = Kit(inner, lock_timeout=5.0)
        hung = kit.start()
        await asyncio.sleep(5.5)
        second, third = kit.start(), kit.start()
        await settle()
        assert len(inner.sent) == 2
        inner.sent[0].respond()
        assert await hung is not None
        assert repr(kit.fills) == "<Fills 1 running, 2 waiting>"
        inner.sent[1].respond()
        assert await second is await third

    virtual.run(scenario())


def test_a_follower_waits_no_longer_than_its_deadline() -> None:
    """The wait spends the request's own time."""

    async def scenario() -> None:
        inner = ScriptedService()
        kit = Kit(inner, lock_timeout=5.0)
        leader = kit.start()
        await settle()
        with pytest.raises(DeadlineExceeded, match="while an equal request"):
            await kit.ask(request(1, deadline=2.0))
        assert asyncio.get_running_loop().time() == pytest.approx(2.0)
        with pytest.raises(DeadlineExceeded, match="before an equal request"):
            await kit.ask(request(1, deadline=1.0))
        inner.sent[0].respond()
        assert await leader is not None

    virtual.run(scenario())


def test_a_follower_that_took_over_is_not_timed_as_one() -> None:
    """It runs now; its own deadline is watched further down."""

    async def scenario() -> None:
        inner = ScriptedService()
        kit = Kit(inner, lock_timeout=5.0)
        leader, follower = kit.start(), kit.start()
        await asyncio.sleep(1)
        inner.sent[0].fail(BadAnswer("no"))
        with pytest.raises(BadAnswer):
            await leader
        await asyncio.sleep(60)
        assert not inner.sent[1].cancelled
        inner.sent[1].respond()
        assert await follower is not None

    virtual.run(scenario())


async def test_nothing_is_left_when_all_is_over() -> None:
    """Runs, waiters and timers do not stay behind in memory."""
    inner = ScriptedService()
    kit = Kit(inner)
    tasks: list[asyncio.Task[InferResponse | None]] = []
    for number in range(50):
        tasks = [kit.start() for _ in range(3)]
        await settle()
        if number % 2:
            tasks[0].cancel()
        inner.sent[-1].respond()
        await asyncio.gather(*tasks, return_exceptions=True)
    tasks.clear()
    await settle()
    gc.collect()

    assert repr(kit.fills) == "<Fills 0 running, 0 waiting>"
    assert not [e for e in gc.get_objects() if isinstance(e, Fill) and e._fills is kit.fills]

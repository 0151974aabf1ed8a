# SPDX-License-Identifier: Apache-2.0
"""Drive: a coroutine run in place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.drive import drive
from tests.support.upstream import settle

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Ends:
    """What `done` was told, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, BaseException | None]] = []

    def __call__(self, result: object, error: BaseException | None) -> None:
        """Take an end."""
        self.all.append((result, error))

    @property
    def error(self) -> BaseException | None:
        """The error of the only end."""
        ((_, error),) = self.all
        return error


async def waits_for(future: asyncio.Future[Any]) -> Any:
    """The simplest coroutine that can be kept waiting."""
    return await future


async def test_completes_in_place_what_needs_no_waiting() -> None:
    """Without a suspension, `done` is called before `drive` returns."""
    ends = Ends()

    async def at_once() -> int:
        return 7

    drive(at_once(), ends)
    assert ends.all == [(7, None)]


async def test_starts_at_once_and_goes_on_when_the_future_is_done() -> None:
    """The first step runs on the caller's stack, the next when what it waits for is done."""
    ends, future = Ends(), asyncio.get_running_loop().create_future()
    steps = []

    async def two_steps() -> str:
        steps.append("first")
        result: str = await future
        steps.append("second")
        return result

    drive(two_steps(), ends)
    assert steps == ["first"]
    future.set_result("value")
    await settle()
    assert steps == ["first", "second"]
    assert ends.all == [("value", None)]


async def test_awaits_a_done_future_without_suspending() -> None:
    """A future that is done already costs no turn of the loop."""
    ends, future = Ends(), asyncio.get_running_loop().create_future()
    future.set_result(1)
    drive(waits_for(future), ends)
    assert ends.all == [(1, None)]


async def test_passes_on_what_the_coroutine_raises() -> None:
    """An error reaches `done` as it is, whether raised at once or later."""
    ends, future = Ends(), asyncio.get_running_loop().create_future()
    error = ValueError("why")
    drive(waits_for(future), ends)
    future.set_exception(error)
    await settle()
    assert ends.error is error


async def test_resumes_behind_a_bare_yield() -> None:
    """`asyncio.sleep(0)` yields no future; the coroutine goes on in the next turn."""
    ends = Ends()

    async def yields() -> int:
        await asyncio.sleep(0)
        return 3

    drive(yields(), ends)
    assert ends.all == []
    await settle()
    assert ends.all == [(3, None)]


async def test_has_no_current_task() -> None:
    """Behind its first wait a driven coroutine runs in no task."""
    ends, future = Ends(), asyncio.get_running_loop().create_future()

    async def asks() -> object:
        await future
        return asyncio.current_task()

    drive(asks(), ends)
    future.set_result(None)
    await settle()
    assert ends.all == [(None, None)]


async def test_cancel_reaches_the_await_it_waits_in() -> None:
    """The awaited future is cancelled, and CancelledError is raised where it is awaited."""
    ends, future = Ends(), asyncio.get_running_loop().create_future()
    driven = drive(waits_for(future), ends)
    driven.cancel()
    await settle()
    assert future.cancelled()
    assert isinstance(ends.error, asyncio.CancelledError)


async def test_cancel_wins_over_a_future_that_is_done_already() -> None:
    """Between a result and its reading a cancel still ends the coroutine, as with a task."""
    ends, future = Ends(), asyncio.get_running_loop().create_future()
    driven = drive(waits_for(future), ends)
    future.set_result("too late")
    driven.cancel()
    await settle()
    assert isinstance(ends.error, asyncio.CancelledError)


async def test_cancel_at_a_bare_yield_ends_it() -> None:
    """There is no future to cancel; the next step raises instead."""
    ends = Ends()
    driven = drive(asyncio.sleep(0, "slept"), ends)
    driven.cancel()
    await settle()
    assert isinstance(ends.error, asyncio.CancelledError)


async def test_a_coroutine_that_catches_the_cancel_goes_on() -> None:
    """One cancel is one CancelledError: what waits afterwards is not cancelled too."""
    ends, loop = Ends(), asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()

    async def stubborn() -> str:
        try:
            await first
        except asyncio.CancelledError:
            await second
        return "went on"

    driven = drive(stubborn(), ends)
    driven.cancel()
    await settle()
    assert ends.all == []
    second.set_result(None)
    await settle()
    assert ends.all == [("went on", None)]


async def test_cancel_by_its_own_callee_ends_the_next_wait() -> None:
    """Cancelled while it runs, it is cancelled as soon as it waits, not when that wait is over."""
    ends, loop = Ends(), asyncio.get_running_loop()
    first, never = loop.create_future(), loop.create_future()

    async def cancels_itself() -> None:
        await first
        driven.cancel()
        await never

    driven = drive(cancels_itself(), ends)
    first.set_result(None)
    await settle()
    assert never.cancelled()
    assert isinstance(ends.error, asyncio.CancelledError)


async def test_cancel_of_a_finished_one_does_nothing() -> None:
    """`done` is called once."""
    ends = Ends()
    driven = drive(asyncio.sleep(0, 1), ends)
    await settle()
    driven.cancel()
    await settle()
    assert ends.all == [(1, None)]


async def test_cleans_up_behind_a_cancel() -> None:
    """`finally` blocks may wait; `done` is told when they are through."""
    ends, loop = Ends(), asyncio.get_running_loop()
    future, cleaning = loop.create_future(), loop.create_future()

    async def careful() -> None:
        try:
            await future
        finally:
            await cleaning

    driven = drive(careful(), ends)
    driven.cancel()
    await settle()
    assert ends.all == []
    cleaning.set_result(None)
    await settle()
    assert isinstance(ends.error, asyncio.CancelledError)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_lets_the_end_of_the_program_through(kind: type[BaseException]) -> None:
    """KeyboardInterrupt and SystemExit end the loop; they are nobody's answer."""
    ends = Ends()

    async def ends_all() -> None:
        raise kind

    ending: Coroutine[Any, Any, None] = ends_all()
    with pytest.raises(kind):
        drive(ending, ends)
    assert ends.all == []


async def test_locks_and_executors_work_in_it() -> None:
    """What needs futures alone, such as a lock or a thread's result, is awaited as in a task."""
    ends, loop = Ends(), asyncio.get_running_loop()
    ended = loop.create_future()
    lock = asyncio.Lock()

    async def locked(value: int) -> int:
        async with lock:
            return await loop.run_in_executor(None, abs, value)

    def done(result: object, error: BaseException | None) -> None:
        ends(result, error)
        if len(ends.all) == 2:
            ended.set_result(None)

    drive(locked(-1), done)
    drive(locked(-2), done)
    await ended
    assert ends.all == [(1, None), (2, None)]

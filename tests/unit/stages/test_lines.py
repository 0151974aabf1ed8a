# SPDX-License-Identifier: Apache-2.0
"""Lines: the queue by compatibility class."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import ContextVar
from random import Random

import pytest

from gateway.drive import drive
from gateway.stages.entry import Entry, enqueued
from gateway.stages.lines import Lines
from gateway.wire.message import NEVER, InferResponse
from tests.support.upstream import request, settle


@pytest.fixture(name="loop")
def make_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that makes futures and never runs."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def entry(loop: asyncio.AbstractEventLoop, rows: int = 1, deadline: float = NEVER) -> Entry:
    """An entry of *rows* rows of 8 bytes."""
    return enqueued(request(*[1.0] * rows, deadline=deadline), loop, 0.0)


def always(deadline: float, rows: int) -> bool:
    """Every batch is in time."""
    return True


def test_takes_a_class_in_order(loop: asyncio.AbstractEventLoop) -> None:
    """First come, first served."""
    lines, entries = Lines(), [entry(loop) for _ in range(3)]
    for each in entries:
        lines.append(each, ("a",))
    assert lines.take(2, always) == entries[:2]
    assert lines.take(2, always) == entries[2:]
    assert not lines


def test_takes_the_class_whose_head_has_waited_longest(loop: asyncio.AbstractEventLoop) -> None:
    """A busy class does not starve a rare one."""
    lines = Lines()
    first, rare, *more = [entry(loop) for _ in range(5)]
    for instant, each in enumerate((first, rare, *more), 1):
        each.queued_at = float(instant)
    lines.append(first, ("busy",))
    lines.append(rare, ("rare",))
    for each in more:
        lines.append(each, ("busy",))
    assert lines.take(2, always) == [first, more[0]]
    assert lines.take(2, always) == [rare]
    assert lines.take(2, always) == more[1:]


def test_an_entry_without_a_class_goes_alone(loop: asyncio.AbstractEventLoop) -> None:
    """None is not a class that two could share."""
    lines, entries = Lines(), [entry(loop) for _ in range(2)]
    for each in entries:
        lines.append(each, None)
    assert lines.take(64, always) == entries[:1]
    assert lines.take(64, always) == entries[1:]


def test_an_entry_beyond_the_bound_goes_alone(loop: asyncio.AbstractEventLoop) -> None:
    """It is not cut up, and nothing joins it."""
    lines, large, small = Lines(), entry(loop, rows=9), entry(loop)
    lines.append(large, ("a",))
    lines.append(small, ("a",))
    assert lines.take(4, always) == [large]


def test_what_was_on_its_way_comes_first(loop: asyncio.AbstractEventLoop) -> None:
    """Given back entries stand before all others, of any class."""
    lines = Lines()
    waiting, back, before = entry(loop), entry(loop), entry(loop)
    lines.append(waiting, ("a",))
    lines.push_front(back, ("b",))
    lines.push_front(before, ("b",))
    assert lines.take(64, always) == [before, back]


def test_an_entry_can_be_taken_out_of_the_middle(loop: asyncio.AbstractEventLoop) -> None:
    """Removing it again, or removing what was never in, does nothing."""
    lines, entries = Lines(), [entry(loop) for _ in range(3)]
    for each in entries:
        lines.append(each, ("a",))
    lines.remove(entries[1])
    lines.remove(entries[1])
    lines.remove(entry(loop))
    assert list(lines) == [entries[0], entries[2]]
    assert (len(lines), lines.rows, lines.bytes) == (2, 2, 16)


def test_a_batch_ends_before_it_is_too_slow_for_anyone_in_it(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """The tightest deadline counts, whether it joined first or last."""

    def in_time(deadline: float, rows: int) -> bool:
        return rows <= deadline

    for deadlines in ([2, 9, 9, 9], [9, 2, 9, 9], [9, 9, 2, 9]):
        lines = Lines()
        for deadline in deadlines:
            lines.append(entry(loop, deadline=deadline), ("a",))
        assert len(lines.take(64, in_time)) == 2


def test_who_is_late_in_any_case_holds_nobody_up(loop: asyncio.AbstractEventLoop) -> None:
    """A member that cannot be in time even alone does not make the batch small."""

    def in_time(deadline: float, rows: int) -> bool:
        return rows <= deadline

    lines = Lines()
    for deadline in (0, 9, 9):
        lines.append(entry(loop, deadline=deadline), ("a",))
    assert len(lines.take(64, in_time)) == 3


def test_counts_agree_after_any_sequence(loop: asyncio.AbstractEventLoop) -> None:
    """Rows, bytes and entries are those of what is in it, and go back to nothing."""
    rng = Random(7)
    lines = Lines()
    inside: list[Entry] = []
    for _ in range(2000):
        choice = rng.random()
        if choice < 0.5:
            new = entry(loop, rows=rng.randint(1, 4))
            put = lines.append if rng.random() < 0.8 else lines.push_front
            put(new, rng.choice([None, ("a",), ("b",)]))
            inside.append(new)
        elif choice < 0.7 and inside:
            lines.remove(inside.pop(rng.randrange(len(inside))))
        elif lines:
            for taken in lines.take(rng.randint(1, 8), always):
                inside.remove(taken)
        assert len(lines) == len(inside) == len(list(lines))
        assert lines.rows == sum(each.rows for each in inside)
        assert lines.bytes == sum(each.nbytes for each in inside)
    for each in inside:
        lines.remove(each)
    assert repr(lines) == "<Lines 0 entries, 0 rows, 0 bytes>"
    assert lines._lines == {}


# An entry is what its coroutine awaits.


async def awaiting(waited_for: Entry) -> InferResponse:
    """A coroutine behind *waited_for*."""
    return await waited_for


def response() -> InferResponse:
    """Any answer."""
    return InferResponse(())


async def test_a_driven_coroutine_goes_on_at_once() -> None:
    """On the stack of whoever answers, without a turn of the loop."""
    waited_for, ends = entry(asyncio.get_running_loop()), []
    drive(awaiting(waited_for), lambda answer, error: ends.append((answer, error)))
    answer = response()
    waited_for.answer(answer)
    assert ends == [(answer, None)]
    waited_for.answer(response())
    waited_for.fail(ValueError())
    assert len(ends) == 1


async def test_a_task_goes_on_in_a_later_turn() -> None:
    """In its own context, as behind any future."""
    waited_for, context = entry(asyncio.get_running_loop()), ContextVar("context", default="")
    seen = []

    async def behind() -> None:
        context.set("its own")
        await waited_for
        seen.append(context.get())

    task = asyncio.ensure_future(behind())
    await settle()
    waited_for.answer(response())
    assert seen == []
    await task
    assert seen == ["its own"]


async def test_an_answer_before_the_wait_is_not_missed() -> None:
    """Nor is a failure; neither costs a turn."""
    loop = asyncio.get_running_loop()
    answered, failed, ends = entry(loop), entry(loop), []
    answer = response()
    answered.answer(answer)
    failed.fail(ValueError("before"))
    for each in (answered, failed):
        drive(awaiting(each), lambda answer, error: ends.append((answer, repr(error))))
    assert ends == [(answer, "None"), (None, "ValueError('before')")]


@pytest.mark.parametrize("as_task", [False, True])
async def test_a_failure_is_raised_where_it_is_awaited(*, as_task: bool) -> None:
    """The very object."""
    waited_for, ends = entry(asyncio.get_running_loop()), list[BaseException | None]()
    fault = ValueError("why")
    if as_task:
        task = asyncio.ensure_future(awaiting(waited_for))
        await settle()
        waited_for.fail(fault)
        await asyncio.gather(task, return_exceptions=True)
        ends.append(task.exception())
    else:
        drive(awaiting(waited_for), lambda _, error: ends.append(error))
        waited_for.fail(fault)
    assert ends == [fault]


@pytest.mark.parametrize("as_task", [False, True])
async def test_a_cancel_ends_the_wait(*, as_task: bool) -> None:
    """And an answer that comes afterwards is nobody's."""
    waited_for, ends = entry(asyncio.get_running_loop()), list[BaseException | None]()
    if as_task:
        task = asyncio.ensure_future(awaiting(waited_for))
        await settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
    else:
        drive(awaiting(waited_for), lambda _, error: ends.append(error)).cancel()
        assert [type(error) for error in ends] == [asyncio.CancelledError]
    assert not waited_for.waits
    waited_for.answer(response())
    assert not waited_for.cancel()


async def test_a_cancel_behind_the_answer_still_ends_a_task() -> None:
    """The task had not gone on yet."""
    waited_for = entry(asyncio.get_running_loop())
    task = asyncio.ensure_future(awaiting(waited_for))
    await settle()
    waited_for.answer(response())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_the_result_is_not_there_before_the_answer() -> None:
    """As with any future."""
    waited_for = entry(asyncio.get_running_loop())
    with pytest.raises(asyncio.InvalidStateError):
        waited_for.result()
    assert not waited_for.done()
    assert waited_for.get_loop() is asyncio.get_running_loop()

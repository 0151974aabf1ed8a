# SPDX-License-Identifier: Apache-2.0
"""Lines: the queue by compatibility class."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random

import pytest

from gateway.stages.lines import Entry, Lines, enqueued
from gateway.wire.message import NEVER
from tests.support.upstream import request


@pytest.fixture(name="loop")
def make_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that makes futures and never runs."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def entry(loop: asyncio.AbstractEventLoop, rows: int = 1, deadline: float = NEVER) -> Entry:
    """An entry of *rows* rows of 8 bytes."""
    return enqueued(request(*[1.0] * rows, deadline=deadline), loop.create_future(), 0.0)


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

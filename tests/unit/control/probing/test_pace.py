# SPDX-License-Identifier: Apache-2.0
"""Pace: a probe takes no more than its share, and waits for clients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from gateway.control.probing.ask import Answered, Crowded, NoAnswer
from gateway.control.probing.pace import PATIENCE, Pace
from gateway.wire.tensor import Tensor


class Path:
    """A path that takes a second a request, and refuses *refusals* times first."""

    def __init__(self, refusals: int = 0) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.asked = 0
        self.busy = False
        self._refusals = refusals

    async def ask(self, inputs: tuple[Tensor, ...]) -> Answered:
        """Echo, from one of two endpoints in turn."""
        self.asked += 1
        self.now += 1.0
        if self._refusals:
            self._refusals -= 1
            raise Crowded("the data port says 503")
        return Answered(inputs, f"e{self.asked % 2}", cached=self.asked % 2 == 0)

    async def sleep(self, seconds: float) -> None:
        """Let time pass; whoever waited is served after half a minute."""
        self.slept.append(seconds)
        self.now += seconds
        if self.now > 30:
            self.busy = False

    def pace(self, share: float) -> Pace:
        """At this *share*."""
        return Pace(share, busy=lambda: self.busy, sleep=self.sleep, clock=lambda: self.now)


def requests(count: int) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
    """So many requests of two rows."""
    for number in range(count):
        yield 2, (Tensor.of("x", np.full((2, 1), number, np.float32)),)


async def test_pauses_make_the_share() -> None:
    """A second of work at a quarter is followed by three of rest."""
    path = Path()
    answers = await path.pace(0.25).ask_all(path, requests(3))
    assert path.slept == [3.0, 3.0, 3.0]
    assert answers.outputs[0].array()[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert answers.endpoints == ["e1", "e1", "e0", "e0", "e1", "e1"]
    assert (answers.cached, answers.rows) == (2, 6)


async def test_waits_while_clients_do() -> None:
    """Nothing is asked meanwhile."""
    path = Path()
    path.busy = True
    await path.pace(1.0).ask_all(path, requests(1))
    assert path.asked == 1
    assert path.now > 30


async def test_gives_up_where_there_is_never_room() -> None:
    """After a minute, with what stood in the way."""
    path = Path(refusals=10_000)
    with pytest.raises(NoAnswer, match="no capacity to spare for 60 s: the data port says 503"):
        await path.pace(1.0).ask_all(path, requests(1))
    assert path.now < PATIENCE + 5


async def test_a_refusal_is_asked_again() -> None:
    """The same rows, so that none is left out."""
    path = Path(refusals=2)
    answers = await path.pace(1.0).ask_all(path, requests(2))
    assert answers.rows == 4


async def test_rows_without_a_first_dimension_get_one() -> None:
    """Each request is a row."""
    path = Path()
    bare = iter([(1, (Tensor.of("x", np.full(3, value, np.float32)),)) for value in (1, 2)])
    answers = await path.pace(1.0).ask_all(path, bare, bare=True)
    assert answers.outputs[0].shape == (2, 3)


async def test_a_set_without_a_whole_request_is_told() -> None:
    """There is nothing to compare."""
    path = Path()
    with pytest.raises(NoAnswer, match="no whole request"):
        await path.pace(1.0).ask_all(path, iter([]))

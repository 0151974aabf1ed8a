# SPDX-License-Identifier: Apache-2.0
"""Batch: input steps that were left to it run once for all members."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from gateway.errors import ConnectionLost, InvalidRequest
from gateway.wire.tensor import Tensor
from tests.support.upstream import Fleet, gather_behind, request, settle, values

TOO_MUCH = 100


class Doubling:
    """Doubles rows of numbers, and refuses those above TOO_MUCH; counts its *runs*."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One run over all rows."""
        self.runs += 1
        (tensor,) = tensors
        array = tensor.array()
        if (array > TOO_MUCH).any():
            raise InvalidRequest("too much")
        return (Tensor.of(tensor.name, np.asarray(array * 2, array.dtype)),)


async def test_the_steps_of_a_batch_run_once() -> None:
    """Over the rows of all members; each gets the answer to its own."""
    fleet, steps = Fleet(), Doubling()
    asked = [request(1), request(2, 3)]
    for one in asked:
        one.finish = steps
    tasks, batch = await gather_behind(fleet, asked)
    assert steps.runs == 1
    batch.respond()

    assert [values(response) for response in await asyncio.gather(*tasks)] == [[2], [4, 6]]
    # What was asked is as it was: another attempt would double it again.
    assert asked[1].inputs[0].array()[:, 0].tolist() == [2, 3]
    assert all(one.trace.gather().preprocess > 0 for one in asked)


async def test_a_row_that_a_step_refuses_fails_its_request_alone() -> None:
    """The others of its batch are answered."""
    fleet, steps = Fleet(), Doubling()
    asked = [request(1), request(TOO_MUCH + 1), request(3)]
    for one in asked:
        one.finish = steps
    blockers = [fleet.ask() for _ in fleet.peers]
    await settle()
    tasks = [fleet.ask(one) for one in asked]
    await settle()
    for sent in fleet.waiting:
        sent.respond()
    await asyncio.gather(*blockers)
    while not all(task.done() for task in tasks):
        for sent in fleet.waiting:
            sent.respond()
        await settle()

    assert values(tasks[0].result()) == [2]
    assert isinstance(tasks[1].exception(), InvalidRequest)
    assert values(tasks[2].result()) == [6]
    fleet.assert_idle()


async def test_a_lone_request_is_finished_too_and_once_for_all_its_attempts() -> None:
    """A retry sends what the steps made, not what they would make of that."""
    fleet, steps = Fleet(2), Doubling()
    asked = request(5)
    asked.finish = steps
    task = fleet.ask(asked)
    await settle()
    (first,) = fleet.waiting
    first.fail(ConnectionLost("gone"))
    await settle()
    (second,) = fleet.waiting
    second.respond()

    assert values(await task) == [10]
    assert steps.runs == 1


async def test_a_lone_request_that_a_step_refuses_is_answered_so() -> None:
    """Nothing is sent."""
    fleet = Fleet()
    asked = request(TOO_MUCH + 1)
    asked.finish = Doubling()

    with pytest.raises(InvalidRequest, match="too much"):
        await fleet.ask(asked)
    assert fleet.sent == []

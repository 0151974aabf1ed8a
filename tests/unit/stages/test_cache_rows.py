# SPDX-License-Identifier: Apache-2.0
"""RowCache: a batch of cached and fresh rows equals the uncached answer, in every mix."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    BadAnswer,
    ConnectionLost,
    DeadlineExceeded,
    InvalidRequest,
    NoReadyEndpoint,
    OnlyIfCached,
)
from gateway.stages.freshness import Freshness
from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.tensor import Tensor
from tests.support import virtual
from tests.support.caching import Kit, now, ruled
from tests.support.service import PromptService, ScriptedService
from tests.support.upstream import request, settle, values

if TYPE_CHECKING:
    from gateway.wire.message import Service


def kit_for(inner: Service, **options: Any) -> Kit:
    """A cache that looks at rows."""
    return Kit(inner, rowwise=lambda: True, **options)


def rows_asked(inner: PromptService | ScriptedService) -> list[list[float]]:
    """The first number of each row, for each request that reached the model."""
    asked = inner.asked if isinstance(inner, PromptService) else [s.request for s in inner.sent]
    return [[float(v) for v in each.inputs[0].array()[:, 0]] for each in asked]


# What travels.


def test_only_the_rows_that_are_missing_travel() -> None:
    """In their order; the answer has all rows in theirs."""
    inner = PromptService()
    kit = kit_for(inner)
    now(kit.cache, request(1, 2, 3))
    asked = request(4, 2, 5, 1, 3)

    assert values(now(kit.cache, asked)) == [4, 2, 5, 1, 3]
    assert rows_asked(inner) == [[1, 2, 3], [4, 5]]
    assert asked.trace.cache == 'fwd=partial; stored; detail="3 of 5 rows"'
    assert kit.counted("partial") == 1


def test_equal_rows_travel_once() -> None:
    """And all of them get the answer."""
    inner = PromptService()
    kit = kit_for(inner)
    asked = request(7, 8, 7, 7)

    assert values(now(kit.cache, asked)) == [7, 8, 7, 7]
    assert rows_asked(inner) == [[7, 8]]
    assert kit.telemetry.cache_rows.cell("m", "merged").value == 2


def test_a_row_and_a_request_for_it_alone_meet() -> None:
    """Both ways round."""
    inner = PromptService()
    kit = kit_for(inner)
    now(kit.cache, request(1))
    now(kit.cache, request(1, 2))
    now(kit.cache, request(2))

    assert rows_asked(inner) == [[1], [2]]


def test_a_batch_that_is_known_is_a_hit() -> None:
    """With the age of its oldest row and the time of the one that ends first."""
    inner = PromptService()
    kit = kit_for(inner)
    now(kit.cache, request(1))
    kit.clock.now += 20
    now(kit.cache, request(2))
    kit.clock.now += 5
    asked = request(1, 2)

    assert values(now(kit.cache, asked)) == [1, 2]
    assert (asked.trace.cache, asked.trace.age) == ("hit; ttl=35", 25)
    assert len(inner.asked) == 2


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.sets(st.integers(0, 6)))
def test_any_mix_of_rows_gives_the_uncached_answer(batch: list[int], known: set[int]) -> None:
    """Whatever was asked before."""
    kit = kit_for(PromptService())
    for number in known:
        now(kit.cache, request(number))
    assert values(now(kit.cache, request(*batch))) == batch


@pytest.mark.parametrize("known", [(), (0,), (1,), (0, 1)])
def test_rows_of_text_are_split_too(known: tuple[int, ...]) -> None:
    """Their elements are of different sizes."""
    texts = np.array([["a", "long one"], ["", "b"]], dtype=object)

    def ask(rows: list[int]) -> InferRequest:
        return InferRequest("m", (Tensor.of("x", texts[rows]),))

    kit = kit_for(PromptService())
    for row in known:
        now(kit.cache, ask([row]))
    (output,) = now(kit.cache, ask([0, 1])).outputs
    assert output.array().tolist() == [[b"a", b"long one"], [b"", b"b"]]


def test_inputs_that_disagree_on_their_rows_are_one_question() -> None:
    """The model may know what to do with them."""
    inner = PromptService()
    kit = kit_for(inner)
    inputs = (Tensor("a", "UINT8", (2,), b"ab"), Tensor("b", "UINT8", (3,), b"abc"))
    for _ in range(2):
        now(kit.cache, InferRequest("m", inputs))
    assert len(inner.asked) == 1


def test_rows_that_cannot_be_put_together_go_to_the_model_together() -> None:
    """Each row's answer may have a size of its own."""

    def respond(asked: InferRequest) -> InferResponse:
        rows = asked.rows
        width = rows if rows > 1 else int(asked.inputs[0].array()[0, 0])
        return InferResponse((Tensor("y", "UINT8", (rows, width), bytes(rows * width)),))

    kit = kit_for(PromptService(respond))
    now(kit.cache, request(3))
    now(kit.cache, request(4))
    asked = request(3, 4)

    assert now(kit.cache, asked).outputs[0].shape == (2, 2)
    assert asked.trace.cache == "fwd=bypass; detail=uneven-rows"


# Directives, time and failures.


def test_directives_hold_for_every_row() -> None:
    """As they do for a single question."""
    inner = PromptService()
    kit = kit_for(inner)
    now(kit.cache, request(1, 2))
    now(kit.cache, ruled("no-cache", 1, 2))
    assert rows_asked(inner) == [[1, 2], [1, 2]]
    kit.clock.now += 10
    now(kit.cache, ruled("max-age=5", 1, 2))
    assert len(inner.asked) == 3
    with pytest.raises(OnlyIfCached):
        now(kit.cache, ruled("only-if-cached", 1, 3))
    assert values(now(kit.cache, ruled("only-if-cached", 2, 1))) == [2, 1]


async def test_stale_rows_are_made_anew_one_by_one() -> None:
    """And given meanwhile."""
    inner = PromptService()
    kit = kit_for(inner, freshness=Freshness(revalidate=10, if_error=100))
    now(kit.cache, request(1, 2))
    kit.clock.now += 61
    asked = request(1, 2)

    assert values(now(kit.cache, asked)) == [1, 2]
    assert asked.trace.cache == "hit; ttl=-1"
    assert rows_asked(inner) == [[1, 2], [1], [2]]


def test_old_rows_are_better_than_none() -> None:
    """But all that are missing must have one."""
    inner = PromptService()
    kit = kit_for(inner, freshness=Freshness(if_error=100))
    now(kit.cache, request(1, 2))
    kit.clock.now += 61

    def fail(_: InferRequest) -> InferResponse:
        raise NoReadyEndpoint("none")

    inner.respond = fail
    asked = request(2, 1)
    assert values(now(kit.cache, asked)) == [2, 1]
    assert asked.trace.cache == "hit; ttl=-1; detail=stale-if-error"
    with pytest.raises(NoReadyEndpoint):
        now(kit.cache, request(1, 3))


def test_an_answer_of_two_model_files_is_none() -> None:
    """While workers are replaced, known rows are of one file and the rest of another."""
    inner = PromptService()
    kit = kit_for(inner)
    now(kit.cache, request(1))

    def by_another(asked: InferRequest) -> InferResponse:
        asked.trace.digest = "another"
        (given,) = asked.inputs
        return InferResponse((Tensor("y", "FP32", given.shape, bytes(given.nbytes)),))

    inner.respond = by_another
    asked = request(1, 2)
    assert values(now(kit.cache, asked)) == [0, 0]
    assert asked.trace.cache == "fwd=bypass; detail=model-changed"
    assert rows_asked(inner) == [[1], [2], [1, 2]]


def test_a_failure_is_the_batch_s() -> None:
    """Nothing is stored, and nothing is left running."""

    def fail(_: InferRequest) -> InferResponse:
        raise InvalidRequest("no")

    kit = kit_for(PromptService(fail))
    with pytest.raises(InvalidRequest):
        now(kit.cache, request(1, 2))
    assert len(kit.store) == 0
    assert "<Fills 0 running, 0 waiting>" in repr(kit.cache)


def test_an_answer_with_other_rows_reaches_nobody() -> None:
    """It does not line up."""
    kit = kit_for(PromptService(lambda _: InferResponse((Tensor("y", "UINT8", (3,), b"abc"),))))
    with pytest.raises(BadAnswer):
        now(kit.cache, request(1, 2))
    assert len(kit.store) == 0


# Rows under way.


async def test_rows_under_way_are_waited_for() -> None:
    """Whoever asked first, alone or in a batch."""
    inner = ScriptedService()
    kit = kit_for(inner)
    tasks = [
        asyncio.ensure_future(kit.cache(each))
        for each in (request(1), request(1, 2), request(2, 3), request(3))
    ]
    await settle()
    assert rows_asked(inner) == [[1], [2], [3]]
    for sent in reversed(inner.sent):
        sent.respond()

    answers = await asyncio.gather(*tasks)
    assert [values(answer) for answer in answers] == [[1], [1, 2], [2, 3], [3]]
    assert kit.telemetry.cache_rows.cell("m", "collapsed").value == 2
    assert "<Fills 0 running, 0 waiting>" in repr(kit.cache)


async def test_a_batch_that_goes_leaves_the_rows_that_others_want() -> None:
    """Their run goes on, until the last of them goes."""
    inner = ScriptedService()
    kit = kit_for(inner)
    batch = asyncio.ensure_future(kit.cache(request(1, 2)))
    other = asyncio.ensure_future(kit.cache(request(2)))
    await settle()
    batch.cancel()
    await settle()
    assert not inner.sent[0].cancelled
    inner.sent[0].respond()
    assert values(await other) == [2]


async def test_a_batch_that_all_have_left_is_cancelled() -> None:
    """Its work would be taken from others."""
    inner = ScriptedService()
    kit = kit_for(inner)
    tasks = [asyncio.ensure_future(kit.cache(each)) for each in (request(1, 2), request(2))]
    await settle()
    for task in tasks:
        task.cancel()
    await settle()
    assert inner.sent[0].cancelled
    assert "<Fills 0 running, 0 waiting>" in repr(kit.cache)


async def test_a_follower_of_a_failed_batch_asks_for_its_row_alone() -> None:
    """The leader gets the failure."""
    inner = ScriptedService()
    kit = kit_for(inner)
    batch = asyncio.ensure_future(kit.cache(request(1, 2)))
    others = [asyncio.ensure_future(kit.cache(each)) for each in (request(2), request(2, 5))]
    await settle()
    inner.sent[0].fail(ConnectionLost("gone"))
    await settle()
    with pytest.raises(ConnectionLost):
        await batch
    for sent in inner.sent[1:]:
        sent.respond()
    answers = await asyncio.gather(*others)

    assert rows_asked(inner) == [[1, 2], [5], [2]]
    assert [values(answer) for answer in answers] == [[2], [2, 5]]


def test_rows_of_a_run_that_hangs_are_asked_for_again() -> None:
    """A batch waits for others as long as any follower does."""

    async def scenario() -> None:
        inner = ScriptedService()
        kit = kit_for(inner, lock_timeout=5.0)
        kit.clock.now = 0.0
        hung = asyncio.ensure_future(kit.cache(request(1)))
        await settle()
        batch = asyncio.ensure_future(kit.cache(request(1, 2)))
        await settle()
        inner.sent[1].respond()
        await asyncio.sleep(5.5)
        assert rows_asked(inner) == [[1], [2], [1]]
        inner.sent[2].respond()
        assert values(await batch) == [1, 2]
        inner.sent[0].respond()
        assert values(await hung) == [1]

    virtual.run(scenario())


def test_rows_that_come_too_late_are_a_deadline_exceeded() -> None:
    """The wait spends the batch's own time."""

    async def scenario() -> None:
        inner = ScriptedService()
        kit = kit_for(inner, lock_timeout=5.0)
        kit.clock.now = 0.0
        hung = asyncio.ensure_future(kit.cache(request(1)))
        await settle()
        batch = asyncio.ensure_future(kit.cache(request(1, 2, deadline=2.0)))
        await settle()
        inner.sent[1].respond()
        with pytest.raises(DeadlineExceeded, match="rows of the batch"):
            await batch
        assert asyncio.get_running_loop().time() == pytest.approx(2.0)
        inner.sent[0].respond()
        await hung

    virtual.run(scenario())

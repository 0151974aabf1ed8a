# SPDX-License-Identifier: Apache-2.0
"""Cache: what a request may ask of it, and which requests it leaves alone."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import OnlyIfCached
from tests.support.caching import Kit, now, ruled
from tests.support.service import PromptService, ScriptedService
from tests.support.upstream import echo, request, settle, values


def test_no_store_neither_looks_nor_stores() -> None:
    """The answer exists for this request alone."""
    inner = PromptService()
    kit = Kit(inner)
    now(kit.cache, request(1))
    asked = ruled("no-store", 1)

    now(kit.cache, asked)
    now(kit.cache, ruled("no-store", 2))

    assert (len(inner.asked), len(kit.store)) == (3, 1)
    assert asked.trace.cache == "fwd=request"
    assert kit.counted("bypass") == 2


def test_no_cache_asks_the_model_and_stores() -> None:
    """The next one gets the new answer."""
    answers = iter([1.0, 2.0])
    inner = PromptService(lambda _: echo(request(next(answers))))
    kit = Kit(inner)
    now(kit.cache, request(7))
    asked = ruled("no-cache", 7)

    assert values(now(kit.cache, asked)) == [2]
    assert values(now(kit.cache, request(7))) == [2]
    assert asked.trace.cache == "fwd=request; stored"


def test_only_if_cached_never_asks_the_model() -> None:
    """504, as RFC 9111 has it."""
    inner = PromptService()
    kit = Kit(inner)
    with pytest.raises(OnlyIfCached):
        now(kit.cache, ruled("only-if-cached", 1))
    with pytest.raises(OnlyIfCached):
        now(kit.cache, ruled("only-if-cached, no-store", 1))
    assert inner.asked == []
    now(kit.cache, request(1))

    assert values(now(kit.cache, ruled("only-if-cached", 1))) == [1]


def test_max_age_declines_an_older_answer() -> None:
    """And stores the new one."""
    inner = PromptService()
    kit = Kit(inner)
    now(kit.cache, request(1))
    kit.clock.now += 10
    young, old = ruled("max-age=10", 1), ruled("max-age=9", 1)

    now(kit.cache, young)
    assert len(inner.asked) == 1
    now(kit.cache, old)

    assert len(inner.asked) == 2
    assert old.trace.cache == "fwd=request; stored"
    assert now(kit.cache, ruled("max-age=0", 1)) is now(kit.cache, request(1))


@pytest.mark.parametrize("name", ["sequence_id", "sequence_start", "sequence_end"])
def test_a_request_of_a_sequence_is_not_cached(name: str) -> None:
    """Its answer depends on those before it."""
    inner = PromptService()
    kit = Kit(inner)
    now(kit.cache, request(1, parameters={name: 1}))
    asked = request(1, parameters={name: 1})
    now(kit.cache, asked)

    assert (len(inner.asked), len(kit.store)) == (2, 0)
    assert asked.trace.cache == "fwd=bypass; detail=sequence"


async def test_who_wants_a_new_answer_does_not_join_an_old_run() -> None:
    """no-cache means asked after this request came."""
    inner = ScriptedService()
    kit = Kit(inner)
    first = asyncio.ensure_future(kit.cache(request(5)))
    second = asyncio.ensure_future(kit.cache(ruled("no-cache", 5)))
    await settle()

    assert len(inner.sent) == 2
    for sent in inner.sent:
        sent.respond()
    await asyncio.gather(first, second)

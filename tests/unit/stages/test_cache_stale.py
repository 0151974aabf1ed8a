# SPDX-License-Identifier: Apache-2.0
"""Cache: answers behind their time, hits that are checked, and what is not worth a look."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import ConnectionLost, InvalidRequest, NoReadyEndpoint, OnlyIfCached
from gateway.stages.freshness import Freshness
from gateway.stages.payoff import Payoff
from gateway.stages.upkeep import same
from gateway.wire.message import InferResponse
from gateway.wire.tensor import Tensor
from tests.support.caching import Kit, now, ruled
from tests.support.service import PromptService, ScriptedService
from tests.support.upstream import echo, request, settle, values

if TYPE_CHECKING:
    from gateway.wire.message import InferRequest

STALE = Freshness(revalidate=10.0, if_error=100.0)


# Stale while revalidate.


async def test_a_stale_answer_is_given_while_a_new_one_is_made() -> None:
    """Once, however many ask meanwhile; it is marked by a time to live below nothing."""
    inner = ScriptedService()
    kit = Kit(inner, freshness=STALE)
    first = settled(kit, request(1))
    await settle()
    inner.sent[0].respond()
    await first
    kit.clock.now += 62.5

    stale = [request(1) for _ in range(3)]
    assert [values(now(kit.cache, asked)) for asked in stale] == [[1]] * 3
    assert [asked.trace.cache for asked in stale] == ["hit; ttl=-3"] * 3
    assert stale[0].trace.age == 62.5
    await settle()
    assert len(inner.sent) == 2
    inner.sent[1].respond(echo(request(2)))
    await settle()

    fresh = request(1)
    assert values(now(kit.cache, fresh)) == [2]
    assert fresh.trace.cache == "hit; ttl=60"
    assert (kit.counted("hit"), kit.counted("stale")) == (1, 3)


async def test_who_says_how_fresh_gets_no_staler_answer() -> None:
    """max-stale takes it, min-fresh and max-age do not."""
    inner = PromptService()
    kit = Kit(inner, freshness=STALE)
    now(kit.cache, request(1))
    kit.clock.now += 65.0

    now(kit.cache, ruled("max-stale=10", 1))
    now(kit.cache, ruled("max-stale", 1))
    assert len(inner.asked) == 2  # the second one renewed it
    now(kit.cache, ruled("min-fresh=60", 1))
    assert len(inner.asked) == 2
    kit.clock.now += 1
    now(kit.cache, ruled("min-fresh=60", 1))
    assert len(inner.asked) == 3


async def test_behind_its_grace_an_answer_is_gone() -> None:
    """The model is asked, and the caller waits."""
    inner = PromptService()
    kit = Kit(inner, freshness=STALE)
    now(kit.cache, request(1))
    kit.clock.now += 60 + 100
    asked = request(1)
    now(kit.cache, asked)

    assert asked.trace.cache == "fwd=uri-miss; stored"
    assert len(inner.asked) == 2


async def test_a_refresh_that_fails_leaves_the_old_answer() -> None:
    """The next one tries again."""
    outcomes: list[Exception | None] = [None, ConnectionLost("gone"), None]

    def respond(asked: InferRequest) -> InferResponse:
        error = outcomes.pop(0)
        if error is not None:
            raise error
        return echo(asked)

    kit = Kit(PromptService(respond), freshness=STALE)
    now(kit.cache, request(1))
    kit.clock.now += 61
    assert values(now(kit.cache, request(1))) == [1]
    again = request(1)
    now(kit.cache, again)

    assert again.trace.cache == "hit; ttl=-1"
    assert outcomes == []


# Stale if error.


@pytest.mark.parametrize("error", [ConnectionLost("gone"), NoReadyEndpoint("none")])
def test_an_old_answer_is_better_than_none(error: Exception) -> None:
    """It says that it is old, and why."""
    inner = PromptService()
    kit = Kit(inner, freshness=STALE)
    now(kit.cache, request(1))
    kit.clock.now += 80

    def fail(_: InferRequest) -> InferResponse:
        raise error

    inner.respond = fail
    asked = request(1)
    assert values(now(kit.cache, asked)) == [1]
    assert asked.trace.cache == "hit; ttl=-20; detail=stale-if-error"
    with pytest.raises(type(error)):
        now(kit.cache, request(2))
    kit.clock.now += 80
    with pytest.raises(type(error)):
        now(kit.cache, request(1))


def test_a_wrong_question_gets_no_old_answer() -> None:
    """The model could be asked, and refused."""
    inner = PromptService()
    kit = Kit(inner, freshness=STALE)
    now(kit.cache, request(1))
    kit.clock.now += 80

    def fail(_: InferRequest) -> InferResponse:
        raise InvalidRequest("no")

    inner.respond = fail
    with pytest.raises(InvalidRequest):
        now(kit.cache, request(1))


# Hits that are checked.


def counts(kit: Kit) -> tuple[float, ...]:
    """Checks by result: match, mismatch, failed."""
    cells = kit.telemetry.cache_verified
    return tuple(cells.cell("m", result).value for result in ("match", "mismatch", "failed"))


async def test_hits_are_checked_at_the_given_rate() -> None:
    """The model gives the same: nothing changes, and no caller waits."""
    inner = PromptService()
    kit = Kit(inner, verify=0.1, rng=Random(3))
    for _ in range(2001):
        now(kit.cache, request(1))

    match, mismatch, failed = counts(kit)
    assert (mismatch, failed) == (0, 0)
    assert 130 < match < 270
    assert len(inner.asked) == match + 1
    assert all(asked.rules.no_store and asked.priority for asked in inner.asked[1:])


async def test_a_wrong_entry_is_found_and_dropped() -> None:
    """And the log names the model, never the question or the answer."""
    inner = PromptService()
    kit = Kit(inner, verify=1.0, rng=Random(3))
    now(kit.cache, request(1))
    inner.respond = lambda _: echo(request(9))
    while not counts(kit)[1]:
        now(kit.cache, request(1))

    assert values(now(kit.cache, request(1))) == [9]


async def test_last_digits_do_not_matter_and_others_do() -> None:
    """Other batch sizes run other kernels."""
    inner = PromptService()
    kit = Kit(inner, verify=1.0, rng=Random(3))
    now(kit.cache, request(1))
    inner.respond = lambda _: echo(request(1.000001))
    for _ in range(10):
        now(kit.cache, request(1))
    match, mismatch, _ = counts(kit)
    assert match > 0
    assert mismatch == 0


async def test_a_check_that_fails_is_no_mismatch() -> None:
    """The model could not be asked; the hit stands."""
    inner = PromptService()
    kit = Kit(inner, verify=1.0, rng=Random(3))
    now(kit.cache, request(1))

    def fail(_: InferRequest) -> InferResponse:
        raise ConnectionLost("gone")

    inner.respond = fail
    for _ in range(10):
        assert values(now(kit.cache, request(1))) == [1]
    assert counts(kit)[2] > 0


# What is not worth a look.


def idle() -> Payoff:
    """A cache that does not pay, and explores nothing."""
    payoff = Payoff(explored=0.0)
    payoff.idle = True
    return payoff


def test_a_cache_that_does_not_pay_is_passed_by() -> None:
    """Nothing is looked up or stored, and the answer says so."""
    inner = PromptService()
    kit = Kit(inner, payoff=idle())
    asked = [request(1), request(1)]
    for each in asked:
        now(kit.cache, each)

    assert (len(inner.asked), len(kit.store)) == (2, 0)
    assert asked[0].trace.cache == "fwd=bypass; detail=no-gain"
    assert kit.counted("bypass") == 2


def test_only_if_cached_is_looked_up_all_the_same() -> None:
    """Whoever asks for it knows what he wants."""
    payoff = idle()
    payoff.idle = False
    kit = Kit(PromptService(), payoff=payoff)
    now(kit.cache, request(1))
    payoff.idle = True
    assert values(now(kit.cache, ruled("only-if-cached", 1))) == [1]
    with pytest.raises(OnlyIfCached):
        now(kit.cache, ruled("only-if-cached", 2))


def test_a_directive_that_is_not_obeyed_looks_nothing_up() -> None:
    """Whoever it is from, it must not bring the cache back."""
    kit = Kit(PromptService(), payoff=idle(), obeys=frozenset())
    asked = ruled("only-if-cached", 1)
    assert values(now(kit.cache, asked)) == [1]
    assert asked.trace.cache == "fwd=bypass; detail=no-gain"


# Whose directives are obeyed, and who shares.


@pytest.mark.parametrize(("obeys", "asked"), [(None, 2), (frozenset({"ops"}), 1), (frozenset(), 1)])
def test_directives_of_others_are_ignored(obeys: frozenset[str] | None, asked: int) -> None:
    """Else a client can defeat the cache."""
    inner = PromptService()
    kit = Kit(inner, obeys=obeys)
    now(kit.cache, request(1))
    now(kit.cache, ruled("no-cache", 1))
    assert len(inner.asked) == asked

    trusted = ruled("no-store", 1)
    trusted.tenant = "ops"
    now(kit.cache, trusted)
    assert len(inner.asked) == asked + (obeys is None or "ops" in obeys)


def test_tenants_share_nothing() -> None:
    """Unless the scope says so."""
    apart = Kit(PromptService(), scope=str.encode)
    together = Kit(PromptService())
    inner: dict[str, Any] = {}
    for name, kit in (("apart", apart), ("together", together)):
        for tenant in ("a", "b", "a"):
            asked = request(1)
            asked.tenant = tenant
            now(kit.cache, asked)
        inner[name] = kit.counted("hit")
    assert inner == {"apart": 1, "together": 2}


def test_what_it_saved_is_counted() -> None:
    """The time that the model took, for each hit."""
    kit: Kit

    def respond(asked: InferRequest) -> InferResponse:
        kit.clock.now += 0.5
        return echo(asked)

    kit = Kit(PromptService(respond))
    for _ in range(3):
        now(kit.cache, request(1))

    assert kit.telemetry.cache_saved_seconds.cell("m").value == pytest.approx(1.0)


def test_answers_that_differ_in_form_are_different() -> None:
    """Whatever their values."""
    one = InferResponse((Tensor("y", "INT32", (1,), bytes(4)),))
    for other in (
        InferResponse((Tensor("z", "INT32", (1,), bytes(4)),)),
        InferResponse((Tensor("y", "INT32", (1, 1), bytes(4)),)),
        InferResponse((Tensor("y", "INT32", (1,), b"\1\0\0\0"),)),
        InferResponse(()),
    ):
        assert not same(one, other)
    assert same(one, one)


def settled(kit: Kit, asked: InferRequest) -> Any:
    """The answer to *asked* as a future."""
    return asyncio.ensure_future(kit.cache(asked))

# SPDX-License-Identifier: Apache-2.0
"""Shared: two gateways over one store, each with a cache of its own above."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import ConnectionLost, NoReadyEndpoint, OnlyIfCached
from gateway.stages.cache import Cache
from gateway.stages.freshness import Freshness
from gateway.stages.payoff import Payoff
from gateway.stages.shared import Shared
from gateway.stages.shared_tier import SharedTier
from gateway.stores.memory import MemoryStore
from gateway.telemetry import Telemetry
from tests.support.caching import now, ruled
from tests.support.service import PromptService, ScriptedService
from tests.support.shared_store import SharedMemory
from tests.support.upstream import Clock, echo, request, settle, values

if TYPE_CHECKING:
    from gateway.stages.shelf import Cached
    from gateway.wire.message import InferRequest, InferResponse, Service


class Gateway:
    """The two stages before *inner*, as one gateway process has them."""

    def __init__(self, inner: Service, store: SharedMemory, clock: Clock, **options: Any) -> None:
        self.telemetry = Telemetry(["m"])
        freshness = options.pop("freshness", Freshness())
        self.tier = SharedTier(
            store, model="m", ttl=60.0, jitter=0.0, grace=freshness.grace,
            max_entry_bytes=options.pop("max_entry_bytes", 1 << 20), rng=Random(1),
        )  # fmt: skip
        self.memory: MemoryStore[Cached] = MemoryStore(max_bytes=1 << 20, clock=clock)
        self.shared = Shared(
            inner, model="m", tier=self.tier, freshness=freshness, telemetry=self.telemetry,
            payoff=options.pop("payoff", None), clock=clock,
        )  # fmt: skip
        self.cache = Cache(
            self.shared, model="m", store=self.memory, digest=lambda: b"d", secret=b"s" * 32,
            telemetry=self.telemetry, ttl=60.0, jitter=0.0, freshness=freshness,
            shared=self.tier, rowwise=lambda: True, clock=clock, **options,
        )  # fmt: skip

    def counted(self, result: str) -> float:
        """How many requests had this *result* in the shared tier."""
        return self.telemetry.cache.cell("m", "redis", result).value


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="store")
def _store(clock: Clock) -> SharedMemory:
    return SharedMemory(clock)


@pytest.fixture(name="inner")
def _inner() -> PromptService:
    return PromptService()


@pytest.fixture(name="one")
def _one(inner: PromptService, store: SharedMemory, clock: Clock) -> Gateway:
    return Gateway(inner, store, clock)


@pytest.fixture(name="other")
def _other(inner: PromptService, store: SharedMemory, clock: Clock) -> Gateway:
    return Gateway(inner, store, clock)


def test_what_one_knows_the_other_finds(
    one: Gateway, other: Gateway, inner: PromptService, clock: Clock
) -> None:
    """Even at once; the answer has the age and the time that it has there."""
    now(one.cache, request(1))
    clock.now += 1
    asked = request(1)

    assert values(now(other.cache, asked)) == [1]
    assert len(inner.asked) == 1
    assert asked.trace.cache.startswith("hit; ttl=")
    assert asked.trace.cache.endswith("; detail=shared")
    assert asked.trace.age == 1
    assert other.counted("hit") == 1


def test_a_find_is_kept_nearer(one: Gateway, other: Gateway, store: SharedMemory) -> None:
    """The next look is not far, and the time to live does not begin anew."""
    now(one.cache, request(1))
    now(one.cache, request(1))
    now(other.cache, request(1))
    asked = store.asked
    again = request(1)
    now(other.cache, again)

    assert store.asked == asked
    assert again.trace.cache == "hit; ttl=60"


def test_what_is_asked_for_once_stays_for_a_moment(
    one: Gateway, other: Gateway, inner: PromptService, clock: Clock
) -> None:
    """For those who wait for it elsewhere; it fills no store."""
    now(one.cache, request(1))
    clock.now += 3
    now(other.cache, request(1))
    assert len(inner.asked) == 2


def test_what_is_asked_for_again_stays_for_its_time(
    one: Gateway, other: Gateway, inner: PromptService, clock: Clock
) -> None:
    """The second sight may be a hit nearby."""
    now(one.cache, request(1))
    clock.now += 20
    now(one.cache, request(1))
    clock.now += 30
    asked = request(1)
    now(other.cache, asked)

    assert len(inner.asked) == 1
    assert asked.trace.cache == "hit; ttl=10; detail=shared"


def test_a_second_sight_may_be_a_second_miss(
    one: Gateway, inner: PromptService, store: SharedMemory, clock: Clock
) -> None:
    """Of what the nearer tier has given up meanwhile."""
    now(one.cache, request(1))
    one.memory.clear()
    clock.now += 3
    now(one.cache, request(1))
    one.memory.clear()
    clock.now += 30
    now(one.cache, request(1))

    assert len(inner.asked) == 2
    assert len(store.values) == 1


async def test_equal_questions_in_two_places_are_one_inference(
    store: SharedMemory, clock: Clock
) -> None:
    """Who comes second waits for the first one's answer to turn up."""
    inner = ScriptedService()
    gateways = [Gateway(inner, store, clock) for _ in range(2)]
    asked = [request(5) for _ in range(100)]
    tasks = [
        asyncio.ensure_future(gateways[number % 2].cache(each)) for number, each in enumerate(asked)
    ]
    await settle()
    (sent,) = inner.sent
    sent.respond()
    answers = await asyncio.gather(*tasks)

    assert [values(answer) for answer in answers] == [[5]] * 100
    assert len(inner.sent) == 1
    assert not store.leases


async def test_one_of_those_who_wait_is_next_when_the_first_fails(
    store: SharedMemory, clock: Clock
) -> None:
    """Its lease ends with its failure."""
    inner = ScriptedService()
    gateways = [Gateway(inner, store, clock) for _ in range(3)]
    tasks = [asyncio.ensure_future(each.cache(request(5))) for each in gateways]
    await settle()
    inner.sent[0].fail(ConnectionLost("gone"))
    await settle()
    assert len(inner.sent) >= 2
    for sent in inner.sent[1:]:
        sent.respond()
    await settle()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(result).__name__ for result in results] == [
        "ConnectionLost", "InferResponse", "InferResponse"
    ]  # fmt: skip


async def test_nobody_waits_longer_than_he_can(store: SharedMemory, clock: Clock) -> None:
    """For the deadline or the lock timeout, whichever is sooner; then he asks himself."""
    inner = ScriptedService()
    gateways = [Gateway(inner, store, clock) for _ in range(3)]
    tasks = [asyncio.ensure_future(gateways[0].cache(request(5)))]
    await settle()
    for gateway, deadline in ((gateways[1], clock.now + 2), (gateways[2], clock.now + 60)):
        tasks.append(asyncio.ensure_future(gateway.cache(request(5, deadline=deadline))))
    await settle()
    assert store.patience == [2, 5]
    for future in store.waiting:
        future.set_result(None)
    await settle()
    assert len(inner.sent) == 3
    for sent in inner.sent:
        sent.respond()
    assert [values(answer) for answer in await asyncio.gather(*tasks)] == [[5]] * 3


def test_a_store_that_is_away_is_not_asked(
    one: Gateway, inner: PromptService, store: SharedMemory
) -> None:
    """The nearer tier goes on."""
    store.available = False
    for _ in range(2):
        assert values(now(one.cache, request(1))) == [1]

    assert (store.asked, len(inner.asked), one.counted("bypass")) == (0, 1, 1)
    with pytest.raises(OnlyIfCached):
        now(one.cache, ruled("only-if-cached", 2))


def test_a_store_that_does_not_answer_is_not_asked_twice(
    one: Gateway, store: SharedMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request waits for its budget once: it looks, and leases nothing."""
    leased = store.lease
    asked: list[bytes] = []

    async def silent(_: list[bytes]) -> Any:
        return None

    async def lease(key: bytes, ttl: float) -> bytes | None:
        asked.append(key)
        return await leased(key, ttl)

    monkeypatch.setattr(store, "lease", lease)
    now(one.cache, request(1))
    monkeypatch.setattr(store, "fetch_many", silent)
    now(one.cache, request(2))
    assert len(asked) == 1


def test_a_store_that_is_slow_is_asked_who_fills(
    one: Gateway, store: SharedMemory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a look took long may be the gateway's own doing, and the model is asked once all the
    same.
    """
    look = store.fetch_many
    leased: list[bytes] = []
    lease = store.lease

    async def slow(keys: list[bytes]) -> Any:
        clock.now += 0.5
        return await look(keys)

    async def noted(key: bytes, ttl: float) -> bytes | None:
        leased.append(key)
        return await lease(key, ttl)

    monkeypatch.setattr(store, "fetch_many", slow)
    monkeypatch.setattr(store, "lease", noted)
    now(one.cache, request(1))
    assert len(leased) == 1


def test_a_far_look_that_does_not_pay_is_left_out(store: SharedMemory, clock: Clock) -> None:
    """Whatever the nearer tier does."""
    payoff = Payoff(explored=0.0)
    payoff.idle = True
    gateway = Gateway(PromptService(), store, clock, payoff=payoff)
    for _ in range(2):
        now(gateway.cache, request(1))
    assert (store.asked, gateway.counted("bypass")) == (0, 1)


def test_only_if_cached_looks_far_too(one: Gateway, other: Gateway, inner: PromptService) -> None:
    """And asks no model."""
    with pytest.raises(OnlyIfCached):
        now(other.cache, ruled("only-if-cached", 1))
    now(one.cache, request(1))
    assert values(now(other.cache, ruled("only-if-cached", 1))) == [1]
    assert len(inner.asked) == 1


def test_no_cache_makes_a_new_answer_for_all(
    one: Gateway, other: Gateway, inner: PromptService, clock: Clock
) -> None:
    """It is looked for nowhere."""
    for _ in range(2):
        now(one.cache, request(1))
    inner.respond = lambda _: echo(request(2))
    clock.now += 1
    asked = ruled("no-cache", 1)
    assert values(now(one.cache, asked)) == [2]
    assert asked.trace.cache == "fwd=request; stored"
    assert values(now(other.cache, request(1))) == [2]


def test_no_store_leaves_nothing_anywhere(one: Gateway, store: SharedMemory) -> None:
    """Neither look nor value."""
    now(one.cache, ruled("no-store", 1))
    assert (store.asked, store.values) == (0, {})


def test_an_old_answer_from_afar_is_better_than_none(
    inner: PromptService, store: SharedMemory, clock: Clock
) -> None:
    """A gateway that has just started knows none of its own."""
    stale = Freshness(revalidate=10, if_error=100)
    one, other = (Gateway(inner, store, clock, freshness=stale) for _ in range(2))
    for _ in range(2):
        now(one.cache, request(1))
    clock.now += 80

    def fail(_: InferRequest) -> InferResponse:
        raise NoReadyEndpoint("none")

    inner.respond = fail
    asked = request(1)
    assert values(now(other.cache, asked)) == [1]
    assert asked.trace.cache == "hit; ttl=-20; detail=shared"
    with pytest.raises(NoReadyEndpoint):
        now(other.cache, request(2))


def test_rows_are_found_one_by_one(
    one: Gateway, other: Gateway, inner: PromptService, store: SharedMemory
) -> None:
    """In one look; only those that nobody has travel."""
    now(one.cache, request(1, 2))
    looks = store.asked
    asked = request(3, 2, 4, 1)

    assert values(now(other.cache, asked)) == [3, 2, 4, 1]
    assert store.asked == looks + 1
    assert [float(v) for v in inner.asked[-1].inputs[0].array()[:, 0]] == [3, 4]
    known = request(2, 1)
    assert values(now(other.cache, known)) == [2, 1]
    assert len(inner.asked) == 2


def test_a_batch_that_is_known_afar_is_a_hit(one: Gateway, other: Gateway, clock: Clock) -> None:
    """As old as its oldest row."""
    now(one.cache, request(1, 2))
    clock.now += 1
    asked = request(2, 1)
    assert values(now(other.cache, asked)) == [2, 1]
    assert (asked.trace.cache, asked.trace.age) == ("hit; detail=shared", 1)


def test_an_answer_of_another_model_file_is_not_stored(
    one: Gateway, inner: PromptService, store: SharedMemory
) -> None:
    """While workers are replaced."""

    def by_another(asked: InferRequest) -> InferResponse:
        asked.trace.digest = "another"
        return echo(asked)

    inner.respond = by_another
    now(one.cache, request(1))
    now(one.cache, request(1, 2))
    assert store.values == {}


def test_a_large_answer_is_not_stored(store: SharedMemory, clock: Clock) -> None:
    """It would fill the store."""
    gateway = Gateway(PromptService(), store, clock, max_entry_bytes=4)
    now(gateway.cache, request(1))
    assert store.values == {}


async def test_a_wrong_entry_is_dropped_everywhere(
    inner: PromptService, store: SharedMemory, clock: Clock
) -> None:
    """Where it was checked, and where others would find it."""
    gateway = Gateway(inner, store, clock, verify=1.0, rng=Random(1))
    for _ in range(2):
        now(gateway.cache, request(1))
    inner.respond = lambda _: echo(request(9))
    cell = gateway.telemetry.cache_verified.cell("m", "mismatch")
    while not cell.value:
        now(gateway.cache, request(1))
    clock.now += 0.01

    assert values(now(gateway.cache, request(1))) == [9]

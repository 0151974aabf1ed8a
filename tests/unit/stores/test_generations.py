# SPDX-License-Identifier: Apache-2.0
"""Generations: purges only grow, whatever becomes of what Redis knows of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.stores.generations import LONGEST_TTL, Generations
from gateway.stores.line import Command
from tests.support.channels import ScriptedChannel
from tests.support.upstream import Clock
from tests.support.virtual import run

DAY = 86400.0


class Redis:
    """The one hash that several gateways share."""

    def __init__(self) -> None:
        self.hash: dict[bytes, bytes] = {}

    def __call__(self, command: Command) -> object:
        """Do what *command* says."""
        name, _, *rest = command
        if name == "HGETALL":
            return [part for pair in self.hash.items() for part in pair]
        if name == "HSET":
            for field, value in zip(rest[::2], rest[1::2], strict=True):
                assert isinstance(field, bytes)
                self.hash[field] = str(value).encode()
        elif name == "HDEL":
            for field in rest:
                assert isinstance(field, bytes)
                del self.hash[field]
        else:
            assert name == "PEXPIRE"
        return 1


class Gateway:
    """One gateway's view, with a clock of its own."""

    def __init__(self, redis: Redis, *, now: float = 1e9) -> None:
        self.clock = Clock()
        self.clock.now = now
        self.channel = ScriptedChannel()
        self.channel.server = redis
        self.generations = Generations(
            self.channel, self.channel, key=b"purges", now=self.clock, secret=b"s"
        )
        self.of = self.generations.of
        self.purge = self.generations.purge
        self.refresh = self.generations.refresh


async def test_a_purge_touches_what_it_names() -> None:
    """A model, a tenant, what a tenant has of a model, or everything."""
    one = Gateway(Redis())
    assert one.of("m", "t") == 0
    assert await one.purge(model="m")
    assert (one.of("m"), one.of("n")) == (10**15, 0)
    assert await one.purge(tenant="t")
    assert (one.of("m", "t"), one.of("n", "t"), one.of("m")) == (10**15 + 1, 10**15 + 1, 10**15)
    assert await one.purge()
    assert one.of("m") == one.of("n", "u") == 10**15 + 2
    assert await one.purge("m", "t")
    assert one.of("m", "t") == 10**15 + 3
    assert one.of("m", "u") == one.of("n", "t") == one.of("m") == 10**15 + 2


async def test_a_purge_is_later_than_others_whatever_the_clocks_say() -> None:
    """A host whose clock is an hour behind must still get rid of what is there now."""
    redis = Redis()
    fast, slow = Gateway(redis, now=1e9 + 3600), Gateway(redis)
    await fast.purge(model="m")
    before = fast.of("m")
    await slow.purge(model="m")
    await fast.refresh()

    assert fast.of("m") == slow.of("m") > before


async def test_a_purge_holds_while_redis_is_away_and_is_told_later() -> None:
    """What is known stays known."""
    redis = Redis()
    one, other = Gateway(redis), Gateway(redis)
    await one.purge(model="before")
    one.channel.works = False
    assert not await one.purge(model="m")
    assert not await one.refresh()
    assert one.of("m") > one.of("before") > 0
    one.channel.works = True
    assert await one.refresh()
    assert await other.refresh()
    assert other.of("m") == one.of("m")


async def test_a_hash_that_was_lost_is_restored() -> None:
    """Evicted, or gone with a master: no purge is undone."""
    redis = Redis()
    one = Gateway(redis)
    await one.purge(model="m")
    was = one.of("m")
    redis.hash.clear()
    await one.refresh()
    late = Gateway(redis)
    known = [late.generations.known]
    await late.refresh()

    assert [*known, late.generations.known] == [False, True]
    assert one.of("m") == late.of("m") == was


async def test_purges_are_forgotten_when_nothing_from_before_is_left() -> None:
    """By every gateway, and in Redis with the next purge."""
    redis = Redis()
    one, other = Gateway(redis), Gateway(redis)
    await one.purge(model="m")
    await other.refresh()
    for each in (one, other):
        each.clock.now += LONGEST_TTL + DAY + 1
        await each.refresh()
        assert each.of("m") == 0
    assert redis.hash == {}


async def test_what_is_not_ours_in_the_hash_is_passed_over() -> None:
    """Nobody's mistake there stops a gateway."""
    redis = Redis()
    one = Gateway(redis)
    redis.hash = {b"model:m": b"12", b"model:n": b"soon", b"all": b"9" * 30, b"tenant:": b"-4"}
    one.clock.now = 0
    assert await one.refresh()
    assert (one.of("m"), one.of("n")) == (12, 0)


async def test_whoever_subscribed_is_told_of_changes_alone() -> None:
    """Not with each look."""
    redis = Redis()
    one, other = Gateway(redis), Gateway(redis)
    told: list[int] = []
    one.generations.subscribe(lambda: told.append(one.of("m")))
    await other.purge(model="m")
    for _ in range(3):
        await one.refresh()
    assert told == [other.of("m")]


async def test_tenants_are_not_readable_in_redis() -> None:
    """Their names may be those of people."""
    redis = Redis()
    await Gateway(redis).purge(tenant="alice")
    assert len(redis.hash) == 1
    assert b"alice" not in b"".join(redis.hash)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["purge", "look", "lose", "away", "back"]),
            st.integers(0, 2),
            st.sampled_from([("m", None), (None, "t"), ("m", "t"), (None, None), ("n", None)]),
            st.integers(-3, 3),
        ),
        max_size=30,
    )
)
def test_no_generation_ever_goes_back(
    steps: list[tuple[str, int, tuple[str | None, str | None], int]],
) -> None:
    """Whatever happens to three gateways with wrong clocks and to their Redis; then they agree."""

    async def trial() -> None:
        redis = Redis()
        gateways = [Gateway(redis) for _ in range(3)]
        seen = [0] * 3
        for what, which, (model, tenant), seconds in steps:
            gateway = gateways[which]
            gateway.clock.now += seconds
            if what == "purge":
                before = gateway.of("m", "t")
                await gateway.purge(model, tenant)
                assert gateway.of("m", "t") > before or model == "n"
            elif what == "look":
                await gateway.refresh()
            elif what == "lose":
                redis.hash.clear()
            else:
                gateway.channel.works = what == "back"
            for place, each in enumerate(gateways):
                assert each.of("m", "t") >= seen[place]
                seen[place] = each.of("m", "t")
        for _ in range(2):
            for each in gateways:
                each.channel.works = True
                assert await each.refresh()
        assert len({each.of("m", "t") for each in gateways}) == 1

    run(trial())

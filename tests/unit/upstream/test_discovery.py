# SPDX-License-Identifier: Apache-2.0
"""Names whose addresses come and go."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from random import Random

import pytest

from gateway.telemetry import Telemetry
from gateway.upstream.discovery import Discovery
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Ejection
from gateway.upstream.policy import LeastOutstanding
from gateway.upstream.pool import Pool
from tests.support.upstream import Clock, ScriptedPeer, request, settle

AGAIN = socket.gaierror(socket.EAI_AGAIN, "try again")
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "no such name")


class Names:
    """A name server that a test answers for, and the pool that follows it."""

    def __init__(self, *, most: int = 64) -> None:
        self.telemetry = Telemetry(models=["m"])
        self.pool = Pool("m", policy=LeastOutstanding(rng=Random(1)), telemetry=self.telemetry)
        self.peers: dict[str, ScriptedPeer] = {}
        self.slept: list[float] = []
        self.answers: asyncio.Queue[Sequence[str] | OSError] = asyncio.Queue()
        self.discovery = Discovery(
            "workers",
            9000,
            self.make,
            self.pool,
            interval=5.0,
            most=most,
            resolver=self.resolve,
            sleep=self.sleep,
            rng=Random(1),
        )

    def make(self, address: str) -> Endpoint:
        """An endpoint at *address*, which is up at once."""
        peer = self.peers[address] = ScriptedPeer()
        ejection = Ejection(clock=Clock(), rng=Random(1))
        endpoint = Endpoint(f"m#{address}", peer.attach, self.pool, ejection=ejection, cap=2)
        peer.comes_up()
        return endpoint

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """What the test says next."""
        assert (host, port) == ("workers", 9000)
        answer = await self.answers.get()
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        """Keep the time."""
        self.slept.append(seconds)

    @property
    def names(self) -> list[str]:
        """The endpoints that there are, by their addresses."""
        return sorted(endpoint.name.removeprefix("m#") for endpoint in self.pool.endpoints)


async def test_every_address_is_an_endpoint() -> None:
    """Once, in whatever order and however often it is named."""
    names = Names()
    names.discovery.found(["10.0.0.2", "10.0.0.1", "10.0.0.2"])
    assert names.names == ["10.0.0.1", "10.0.0.2"]


async def test_an_address_that_stays_keeps_its_endpoint() -> None:
    """With its health and all that is known of it."""
    names = Names()
    names.discovery.found(["10.0.0.1"])
    (first,) = names.pool.endpoints
    names.discovery.found(["10.0.0.1", "10.0.0.2"])
    assert first in names.pool.endpoints
    assert names.names == ["10.0.0.1", "10.0.0.2"]


async def test_an_address_goes_when_it_was_missing_twice() -> None:
    """Name servers answer with a part of what they have, now and then."""
    names = Names()
    names.discovery.found(["10.0.0.1", "10.0.0.2"])
    names.discovery.found(["10.0.0.1"])
    assert names.names == ["10.0.0.1", "10.0.0.2"]
    names.discovery.found(["10.0.0.1", "10.0.0.2"])
    names.discovery.found(["10.0.0.1"])
    assert names.names == ["10.0.0.1", "10.0.0.2"]
    names.discovery.found(["10.0.0.1"])
    assert names.names == ["10.0.0.1"]


async def test_what_goes_answers_what_it_has() -> None:
    """It gets nothing new, and its series are gone with its last answer."""
    names = Names()
    names.discovery.found(["10.0.0.1"])
    (endpoint,) = names.pool.endpoints
    asking = asyncio.ensure_future(endpoint(request(3)))
    sent = await names.peers["10.0.0.1"].request()
    names.telemetry.pending.cell(endpoint.name).value = 1
    for _ in range(2):
        names.discovery.found(["10.0.0.2"])
    assert names.names == ["10.0.0.2"]
    assert names.telemetry.pending.cells
    sent.respond()
    await asking
    await names.pool.emptied()
    for family in names.telemetry.families.values():
        assert not [values for values in family.cells if endpoint.name in values], family.name


async def test_addresses_that_change_for_ever_leave_nothing_behind() -> None:
    """No series, no endpoint, no task."""
    names = Names()
    running = asyncio.ensure_future(names.pool.run(interval=60, timeout=1, jitter=0))
    await settle()
    for number in range(200):
        address = f"10.0.{number // 250}.{number % 250 + 1}"
        names.discovery.found([address])
        endpoint = names.pool.endpoints[-1]
        asking = asyncio.ensure_future(endpoint(request()))
        (await names.peers[address].request()).respond()
        await asking
    await settle()
    assert len(names.pool.endpoints) <= 2
    assert len(names.pool._work) == len(names.pool.endpoints)
    assert len(names.pool._attempts) <= 2
    assert len(names.telemetry.attempts.cells) <= 2
    assert len(names.telemetry.upstream_seconds.cells) <= 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("error", [AGAIN, UNKNOWN, OSError("no network")])
async def test_what_was_known_last_is_kept_while_nothing_is_known(error: OSError) -> None:
    """Endpoints that answer are better evidence than a name server that does not."""
    names = Names()
    names.discovery.found(["10.0.0.1", "10.0.0.2"])
    for _ in range(10):
        names.discovery.failed(error)
        names.discovery.found([])
    assert names.names == ["10.0.0.1", "10.0.0.2"]


async def test_what_the_name_no_longer_has_and_does_not_answer_goes() -> None:
    """Only where the name server knows; that it cannot be asked proves nothing."""
    names = Names()
    names.discovery.found(["10.0.0.1", "10.0.0.2"])
    names.peers["10.0.0.1"].goes_down()
    names.discovery.failed(AGAIN)
    assert names.names == ["10.0.0.1", "10.0.0.2"]
    names.discovery.failed(UNKNOWN)
    assert names.names == ["10.0.0.2"]


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "224.0.0.1", "::", "x"])
async def test_an_address_that_is_of_no_server_is_left_out(address: str) -> None:
    """Whoever answers for the name must not send us to the keys of the machine."""
    names = Names()
    names.discovery.found([address, "10.0.0.1"])
    assert names.names == ["10.0.0.1"]


async def test_there_are_no_more_endpoints_than_allowed() -> None:
    """And those that there are stay among them."""
    names = Names(most=2)
    names.discovery.found(["10.0.0.5", "10.0.0.6"])
    for _ in range(3):
        names.discovery.found([f"10.0.0.{number}" for number in range(1, 9)])
    assert names.names == ["10.0.0.5", "10.0.0.6"]


async def test_asks_again_and_again_at_about_the_interval() -> None:
    """Whatever the answers are."""
    names = Names()
    names.pool.follow(names.discovery)
    running = asyncio.ensure_future(names.pool.run(interval=60, timeout=1, jitter=0))
    answers: list[Sequence[str] | OSError] = [["10.0.0.1"], AGAIN, [], ["10.0.0.1", "10.0.0.2"]]
    for answer in answers:
        names.answers.put_nowait(answer)
    await settle()
    assert names.names == ["10.0.0.1", "10.0.0.2"]
    assert len(names.slept) == len(answers)
    assert all(4.5 <= seconds <= 5.5 for seconds in names.slept)
    assert len(set(names.slept)) == len(answers)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_name_that_is_no_longer_followed_takes_its_endpoints_along() -> None:
    """As when a reload has removed it; the others stay."""
    names = Names()
    running = asyncio.ensure_future(names.pool.run(interval=60, timeout=1, jitter=0))
    await settle()
    names.pool.add([names.make("10.9.9.9")])
    names.pool.follow(names.discovery)
    names.answers.put_nowait(["10.0.0.1", "10.0.0.2"])
    await settle()
    assert names.names == ["10.0.0.1", "10.0.0.2", "10.9.9.9"]
    names.pool.unfollow(names.discovery)
    names.answers.put_nowait(["10.0.0.3"])
    await settle()
    assert names.names == ["10.9.9.9"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

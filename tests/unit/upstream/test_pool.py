# SPDX-License-Identifier: Apache-2.0
"""Pool: who is ready, who is picked, who may be ejected."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.errors import UpstreamError
from gateway.upstream.policy import LeastOutstanding
from gateway.wire.model import ModelInfo
from tests.support.upstream import MODEL, Fleet, request, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.upstream.policy import Loaded


def busy(fleet: Fleet, index: int, requests: int = 1) -> None:
    """Give an endpoint something to do, as far as counts go."""
    endpoint = fleet.pool.endpoints[index]
    endpoint.pending += requests
    endpoint.pending_rows += requests


def picked(fleet: Fleet, avoid: tuple[str, ...] = (), *, times: int = 60) -> set[str]:
    """The names that are picked over *times* tries."""
    chosen = [fleet.pool.pick(avoid) for _ in range(times)]
    return {endpoint.name for endpoint in chosen if endpoint is not None}


async def test_picks_among_those_that_are_ready() -> None:
    """Down, draining, ejected and full endpoints get nothing."""
    fleet = Fleet(6)
    fleet.peers[0].goes_down()
    fleet.pool.endpoints[1].drains()
    fleet.pool.endpoints[2].ejection.eject()
    busy(fleet, 3)
    assert picked(fleet) == {"e4", "e5"}
    assert fleet.pool.capacity() == (2, 2)


async def test_picks_none_when_all_are_full_or_away() -> None:
    """Waiting is the queue's task."""
    fleet = Fleet(2)
    busy(fleet, 0)
    fleet.peers[1].goes_down()
    assert fleet.pool.pick() is None
    assert fleet.pool.capacity() == (0, 0)
    assert fleet.pool.ready


async def test_avoids_the_endpoints_that_failed_the_request() -> None:
    """As long as there is another that is healthy, be it full."""
    fleet = Fleet(3)
    assert picked(fleet, ("e1",)) == {"e0", "e2"}
    busy(fleet, 0)
    busy(fleet, 2)
    assert fleet.pool.pick(("e1",)) is None


async def test_goes_back_to_an_avoided_endpoint_when_no_other_is_healthy() -> None:
    """A second try there beats none."""
    fleet = Fleet(2)
    fleet.peers[0].goes_down()
    assert picked(fleet, ("e1",)) == {"e1"}
    assert picked(fleet, ("e0", "e1")) == {"e1"}


async def test_capacity_counts_slots_and_endpoints() -> None:
    """Free slots over all, and over how many endpoints they are spread."""
    fleet = Fleet(3, cap=3)
    busy(fleet, 0, 1)
    busy(fleet, 1, 3)
    assert fleet.pool.capacity() == (5, 2)


async def test_is_ready_while_any_endpoint_is_healthy() -> None:
    """Load does not make it less so."""
    fleet = Fleet(2, up=False)
    assert not fleet.pool.ready
    fleet.peers[1].comes_up()
    assert fleet.pool.ready


async def test_describes_the_model_as_an_endpoint_that_is_up_does() -> None:
    """What a dead one said counts only when there is nobody else."""
    fleet = Fleet(2, up=False)
    known = [fleet.pool.info]
    newer = ModelInfo("m", "2", "p", "1", MODEL.inputs, MODEL.outputs, batched=True)
    fleet.peers[0].comes_up("1", MODEL)
    fleet.peers[1].comes_up("1", newer)
    known.append(fleet.pool.info)
    fleet.peers[0].goes_down()
    known.append(fleet.pool.info)
    fleet.peers[1].goes_down()
    known.append(fleet.pool.info)
    assert known == [None, MODEL, newer, newer]


@pytest.mark.parametrize(("size", "ejected"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
async def test_ejects_at_most_its_share_and_never_the_last(size: int, ejected: int) -> None:
    """With every request failing, most of the pool stays in."""
    fleet = Fleet(size, consecutive=1, attempts=1)
    for _ in range(50):
        task = fleet.ask(of=fleet.retry)
        await settle()
        fleet.waiting[0].fail(UpstreamError("scripted"))
        await asyncio.gather(task, return_exceptions=True)
    states = Counter(endpoint.state for endpoint in fleet.pool.endpoints)
    assert states["ejected"] == ejected
    cells = [fleet.telemetry.ejections.cell(f"e{i}", "consecutive").value for i in range(size)]
    assert sum(cells) == ejected


async def test_the_last_one_up_is_not_ejected_though_others_are_down() -> None:
    """A pool of five with one alive has one endpoint, not five."""
    fleet = Fleet(5)
    for peer in fleet.peers[1:]:
        peer.goes_down()
    assert not fleet.pool.may_eject(fleet.pool.endpoints[0])


async def test_who_waits_is_told_when_an_ejection_is_over() -> None:
    """Nothing else may happen until then: no request, no probe."""
    fleet = Fleet(2, consecutive=1, attempts=1)
    fleet.pool.endpoints[0].ejection._base = 0.001
    fleet.pool.endpoints[1].ejection._base = 0.001
    task = fleet.ask(of=fleet.retry)
    await settle()
    fleet.waiting[0].fail(UpstreamError("scripted"))
    await asyncio.gather(task, return_exceptions=True)
    told = asyncio.Event()
    fleet.pool.on_change(told.set)
    await told.wait()


async def test_counts_attempts_by_endpoint_and_result() -> None:
    """One line for each outcome, and the time of all."""
    fleet = Fleet(1, attempts=1)
    for error in (None, UpstreamError("scripted"), None):
        task = fleet.ask(request(), of=fleet.retry)
        await settle()
        if error is None:
            fleet.waiting[0].respond()
        else:
            fleet.waiting[0].fail(error)
        await asyncio.gather(task, return_exceptions=True)
    attempts = fleet.telemetry.attempts
    assert attempts.cell("m", "e0", "ok").value == 2
    assert attempts.cell("m", "e0", "upstream_failed").value == 1


async def test_keeps_all_connected_until_cancelled() -> None:
    """Each endpoint has a connection to keep and a watch."""
    fleet = Fleet(2)
    running = asyncio.ensure_future(fleet.pool.run(interval=60, timeout=1, jitter=0))
    await settle()
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


async def test_a_held_endpoint_gets_nothing_until_it_is_released() -> None:
    """It stays connected, so that it serves at once when it may."""
    fleet = Fleet(2)
    first, second = fleet.pool.endpoints
    fleet.pool.hold(first)
    assert picked(fleet) == {"e1"}
    assert fleet.pool.capacity() == (1, 1)
    fleet.pool.release(first)
    assert picked(fleet) == {"e0", "e1"}
    assert fleet.pool.endpoints == [second, first]


async def test_who_waits_is_told_of_a_released_endpoint() -> None:
    """A queue that found all endpoints held would wait for ever otherwise."""
    fleet = Fleet(1)
    (endpoint,) = fleet.pool.endpoints
    fleet.pool.hold(endpoint)
    task = fleet.ask()
    await settle()
    assert fleet.waiting == []
    fleet.pool.release(endpoint)
    await settle()
    fleet.waiting[0].respond()
    await task


async def test_a_removed_endpoint_finishes_what_it_has() -> None:
    """Nothing new goes there, what is pending is answered, and then its work ends."""
    fleet = Fleet(2)
    running = asyncio.ensure_future(fleet.pool.run(interval=60, timeout=1, jitter=0))
    tasks = [fleet.ask(), fleet.ask()]
    await settle()
    gone = fleet.pool.endpoints[0]
    fleet.pool.remove(gone)
    emptied = asyncio.ensure_future(fleet.pool.emptied())
    await settle()
    assert picked(fleet) == set()
    assert not emptied.done()
    for sent in fleet.waiting:
        sent.respond()
    await asyncio.gather(*tasks)
    await emptied
    assert picked(fleet) == {"e1"}
    assert not fleet.pool.leaving
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_work_of_a_removed_endpoint_ends_and_that_of_the_others_goes_on() -> None:
    """Connections are kept for those that are left."""
    fleet = Fleet(2)
    running = asyncio.ensure_future(fleet.pool.run(interval=60, timeout=1, jitter=0))
    await settle()
    first, second = fleet.pool.endpoints
    fleet.pool.remove(first)
    await settle()
    assert list(fleet.pool._work) == [second]
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_endpoint_that_is_added_later_is_connected_at_once() -> None:
    """Even into a pool that had none."""
    fleet = Fleet(1)
    (endpoint,) = fleet.pool.endpoints
    running = asyncio.ensure_future(fleet.pool.run(interval=60, timeout=1, jitter=0))
    fleet.pool.remove(endpoint)
    await settle()
    fleet.pool.add([endpoint], held=True)
    await settle()
    assert endpoint in fleet.pool._work
    assert picked(fleet) == set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_describes_the_model_by_those_that_take_part() -> None:
    """A held endpoint with another model file is not what clients are told of."""
    fleet = Fleet(2, up=False)
    newer = ModelInfo("m", "2", "p", "1", MODEL.inputs, MODEL.outputs, batched=True)
    first, second = fleet.pool.endpoints
    fleet.pool.hold(second)
    fleet.peers[0].comes_up("1", MODEL)
    fleet.peers[1].comes_up("1", newer)
    assert fleet.pool.info == MODEL
    fleet.pool.release(second)
    fleet.pool.remove(first)
    assert fleet.pool.info == newer


async def test_who_no_longer_listens_is_not_told() -> None:
    """The others are."""
    fleet = Fleet(1)
    told: list[str] = []
    end = fleet.pool.on_change(lambda: told.append("first"))
    fleet.pool.on_change(lambda: told.append("second"))
    end()
    fleet.pool.changed(fleet.pool.endpoints[0])
    assert told == ["second"]


class Curious(LeastOutstanding):
    """A policy that keeps what it is told, and goes by a key."""

    header = "x-user"

    def __init__(self) -> None:
        super().__init__(rng=Random(1))
        self.told: list[tuple[object, ...]] = []
        self.keys: list[bytes] = []

    def pick(self, ready: Sequence[Loaded], key: bytes = b"") -> int:
        """Keep the key."""
        self.keys.append(key)
        return super().pick(ready, key)

    def attempted(self, name: str, seconds: float, *, good: bool) -> None:
        """Keep it."""
        assert seconds >= 0
        self.told.append(("attempted", name, good))

    def began(self, name: str) -> None:
        """Keep it."""
        self.told.append(("began", name))

    def reported(self, name: str, rows: int) -> None:
        """Keep it."""
        self.told.append(("reported", name, rows))


def curious() -> tuple[Fleet, Curious]:
    """A fleet of two with a curious policy."""
    policy = Curious()
    fleet = Fleet(2, cap=4, up=False, attempts=1, policy=policy)
    for peer in fleet.peers:
        peer.comes_up()
    return fleet, policy


async def test_tells_its_policy_what_became_of_attempts() -> None:
    """Who left says nothing of the endpoint."""
    fleet, policy = curious()
    assert policy.told == [("began", "e0"), ("began", "e1")]
    policy.told.clear()
    for error in (None, UpstreamError("scripted")):
        task = fleet.ask(of=fleet.retry)
        await settle()
        (sent,) = fleet.waiting
        if error is None:
            sent.respond()
        else:
            sent.fail(error)
        await asyncio.gather(task, return_exceptions=True)
    task = fleet.ask(of=fleet.retry)
    await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [(what, good) for what, _, good in policy.told] == [
        ("attempted", True), ("attempted", False),
    ]  # fmt: skip


async def test_tells_its_policy_what_others_have_at_a_worker() -> None:
    """What the worker holds less what is ours, this server's other processes included."""
    fleet, policy = curious()
    endpoint = fleet.pool.endpoints[0]
    policy.told.clear()
    endpoint.pending = 3
    fleet.pool.reported(endpoint, 7, 2)
    endpoint.elsewhere = lambda: (4, 40)
    fleet.pool.reported(endpoint, 7, 2)
    fleet.pool.reported(endpoint, 3, 2)
    assert policy.told == [
        ("reported", "e0", 10), ("reported", "e0", 2), ("reported", "e0", 0),
    ]  # fmt: skip


async def test_gives_its_policy_the_key_of_the_request() -> None:
    """And only where it asks for one."""
    fleet, policy = curious()
    asked = request()
    asked.trace.affinity = b"ann"
    task = fleet.ask(asked, of=fleet.balance)
    await settle()
    fleet.waiting[0].respond()
    await task
    assert policy.keys == [b"ann"]
    plain = Fleet(2)
    assert not plain.pool.keyed
    assert not plain.pool.informed


async def test_what_belongs_to_two_places_is_not_merged() -> None:
    """One batch goes to one place."""
    fleet, _ = curious()
    tasks = []
    for number in range(6):
        asked = request(float(number))
        asked.trace.affinity = b"ann" if number % 2 else b"bob"
        tasks.append(fleet.ask(asked))
    await settle()
    batches = fleet.waiting
    assert max(sent.request.members for sent in batches) == 3
    for sent in batches:
        odd = {value % 2 for value in sent.request.inputs[0].array()[:, 0]}
        assert odd == {1.0 if sent.request.trace.affinity == b"ann" else 0.0}
    for sent in batches:
        sent.respond()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(("down", "allowed"), [(0, 3), (2, 2), (4, 1)])
async def test_ejects_a_share_of_those_that_are_up(down: int, allowed: int) -> None:
    """Half of six is three, but of the four that are left it is two."""
    fleet = Fleet(6)
    for peer in fleet.peers[:down]:
        peer.goes_down()
    ejected = 0
    for endpoint in fleet.pool.endpoints[down:]:
        if fleet.pool.may_eject(endpoint):
            endpoint.ejection.eject()
            ejected += 1
    assert ejected == allowed

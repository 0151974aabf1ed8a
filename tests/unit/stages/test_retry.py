# SPDX-License-Identifier: Apache-2.0
"""Retry: what is tried again, where, how often, and what for."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from gateway.errors import (
    AttemptTimeout,
    BadAnswer,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    Draining,
    GatewayError,
    InvalidRequest,
    NoReadyEndpoint,
    PoisonInput,
    UpstreamError,
)
from gateway.stages.merge import merge
from gateway.stages.retry_budget import RetryBudget
from tests.support.upstream import Clock, Fleet, Sent, request, settle, values


async def fail_all(fleet: Fleet, error: type[GatewayError], *, at_most: int = 20) -> int:
    """Fail every attempt of one request; returns how many there were."""
    attempts = 0
    await settle()
    while fleet.waiting and attempts < at_most:
        (sent,) = fleet.waiting
        sent.fail(error("scripted"))
        attempts += 1
        await settle()
    return attempts


# Attempts.


@pytest.mark.parametrize("kind", [UpstreamError, AttemptTimeout, BadAnswer, ConnectionLost])
async def test_tries_another_endpoint_and_answers(kind: type[UpstreamError]) -> None:
    """The second attempt goes to an endpoint that has not failed this request."""
    for seed in range(5):
        fleet = Fleet(3, seed=seed)
        task = fleet.ask(request(2), of=fleet.retry)
        await settle()
        (first,) = fleet.waiting
        first.fail(kind("scripted"))
        await settle()
        (second,) = fleet.waiting
        assert endpoint_of(fleet, first) != endpoint_of(fleet, second)
        second.respond()
        assert values(await task) == [2]
        fleet.assert_idle()


def endpoint_of(fleet: Fleet, sent: Sent) -> int:
    """The number of the peer that got *sent*."""
    return next(index for index, peer in enumerate(fleet.peers) if sent in peer.sent)


async def test_tries_the_only_endpoint_again() -> None:
    """A second try at the one that failed beats none."""
    fleet = Fleet(1)
    task = fleet.ask(of=fleet.retry)
    assert await fail_all(fleet, UpstreamError) == 2
    with pytest.raises(UpstreamError, match="scripted"):
        await task


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_makes_as_many_attempts_as_configured(attempts: int) -> None:
    """The last attempt's error is the answer."""
    fleet = Fleet(5, attempts=attempts)
    asked = request()
    task = fleet.ask(asked, of=fleet.retry)
    assert await fail_all(fleet, UpstreamError) == attempts
    with pytest.raises(UpstreamError, match="scripted"):
        await task
    assert asked.trace.attempts == attempts
    assert fleet.telemetry.retries.cell("m", "upstream_failed").value == attempts - 1
    fleet.assert_idle()


async def test_a_failed_connect_allows_one_attempt_more() -> None:
    """Nothing was sent, so nothing was lost, and there is no back-off."""
    fleet = Fleet(5, attempts=2)
    task = fleet.ask(of=fleet.retry)
    assert await fail_all(fleet, ConnectFailed) == 3
    with pytest.raises(ConnectFailed):
        await task
    assert fleet.slept == []


@pytest.mark.parametrize("kind", [InvalidRequest, DeadlineExceeded, Draining])
async def test_does_not_repeat_what_another_endpoint_would_say_too(
    kind: type[GatewayError],
) -> None:
    """A client's error, a passed deadline and a refusal are not failures of an endpoint."""
    fleet = Fleet(2)
    task = fleet.ask(of=fleet.retry)
    assert await fail_all(fleet, kind) == 1
    with pytest.raises(kind):
        await task


async def test_a_step_of_a_sequence_is_not_taken_twice() -> None:
    """A worker that failed it may have taken it; only one that was never reached has not."""
    for kind, attempts in ((ConnectionLost, 1), (UpstreamError, 1), (ConnectFailed, 3)):
        fleet = Fleet(3)
        asked = request()
        asked.parameters = {"sequence_id": 7}
        task = fleet.ask(asked, of=fleet.retry)
        assert await fail_all(fleet, kind) == attempts
        with pytest.raises(kind):
            await task


async def test_backs_off_with_jitter_between_attempts() -> None:
    """Waits are drawn from 0 to base * 2^n, at most *most*."""
    fleet = Fleet(9, attempts=8)
    task = fleet.ask(of=fleet.retry)
    await fail_all(fleet, UpstreamError)
    with pytest.raises(UpstreamError):
        await task
    bounds = [0.02, 0.04, 0.08, 0.1, 0.1, 0.1, 0.1]
    assert len(fleet.slept) == len(bounds)
    assert all(0 <= slept <= bound for slept, bound in zip(fleet.slept, bounds, strict=True))
    assert len(set(fleet.slept)) == len(bounds)


# Deadline.


async def test_stops_when_the_deadline_has_passed() -> None:
    """No attempt begins behind the deadline; the message says what went wrong before."""
    fleet = Fleet(2)
    asked = request()
    task = fleet.ask(asked, of=fleet.retry)
    await settle()
    asked.deadline = perf_counter()
    fleet.waiting[0].fail(ConnectionLost("gone"))
    with pytest.raises(DeadlineExceeded, match="gone"):
        await task
    assert len(fleet.sent) == 1


async def test_does_not_back_off_beyond_the_deadline() -> None:
    """Sleeping until the time is over helps nobody."""
    fleet = Fleet(2)
    asked = request()
    task = fleet.ask(asked, of=fleet.retry)
    await settle()
    fleet.retry._random = lambda: 1e6
    asked.deadline = perf_counter() + 3600
    fleet.waiting[0].fail(UpstreamError("slow"))
    with pytest.raises(DeadlineExceeded):
        await task
    assert fleet.slept == []


# Budget.


async def test_stops_when_the_budget_is_empty() -> None:
    """Without budget the first failure is the answer, and it is counted."""
    budget = RetryBudget(clock=Clock(), share=0.2, min_per_second=0)
    fleet = Fleet(2, budget=budget)
    task = fleet.ask(of=fleet.retry)
    assert await fail_all(fleet, UpstreamError) == 1
    with pytest.raises(UpstreamError):
        await task
    assert fleet.telemetry.retry_budget_exhausted.cell("m").value == 1


def test_budget_allows_a_share_of_the_requests() -> None:
    """One retry for five requests at a share of 20 %."""
    budget = RetryBudget(clock=Clock(), share=0.2, min_per_second=0)
    for _ in range(14):
        budget.deposit()
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]


def test_budget_allows_some_retries_without_traffic() -> None:
    """10 a second over 10 s: a hundred, and then no more."""
    budget = RetryBudget(clock=Clock(), share=0.2, min_per_second=10, ttl=10)
    assert sum(budget.withdraw() for _ in range(200)) == 100


def test_budget_forgets_after_its_time() -> None:
    """Deposits older than ten seconds count no more, and neither do withdrawals."""
    clock = Clock()
    budget = RetryBudget(clock=clock, share=0.2, min_per_second=1, ttl=10)
    for _ in range(100):
        budget.deposit()
    assert budget.balance == 100
    clock.now += 5
    assert budget.balance == 100
    clock.now += 5.5
    assert budget.balance == 50
    while budget.withdraw():
        pass
    assert budget.balance == 0
    clock.now += 10.5
    assert budget.balance == 50
    clock.now += 1e6
    assert budget.balance == 50


def test_budget_of_no_share_leaves_the_minimum() -> None:
    """A share of 0 pays nothing in; the minimum a second stays."""
    budget = RetryBudget(clock=Clock(), share=0, min_per_second=1, ttl=10)
    for _ in range(1000):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(100)) == 10


# Poison.


async def test_a_request_that_killed_two_workers_is_not_tried_on_a_third() -> None:
    """It answers 502 poison_input, whatever attempts are left."""
    fleet = Fleet(5, attempts=5)
    task = fleet.ask(of=fleet.retry)
    assert await fail_all(fleet, ConnectionLost) == 2
    with pytest.raises(PoisonInput, match="2 workers") as refused:
        await task
    assert (refused.value.status, refused.value.code) == (502, "poison_input")


async def test_a_timeout_kills_nobody() -> None:
    """Only a lost connection is a death."""
    fleet = Fleet(5, attempts=4)
    asked = request()
    task = fleet.ask(asked, of=fleet.retry)
    assert await fail_all(fleet, AttemptTimeout) == 4
    with pytest.raises(AttemptTimeout):
        await task
    assert asked.kills == 0


async def test_a_lost_batch_is_not_sent_again_as_it_is() -> None:
    """Whoever killed the worker is in it; `Batch` finds out who."""
    fleet = Fleet(2)
    merged = merge([request(1), request(2)])
    task = fleet.ask(merged, of=fleet.retry)
    assert await fail_all(fleet, ConnectionLost) == 1
    with pytest.raises(ConnectionLost):
        await task
    assert merged.kills == 1


async def test_suspects_are_tried_one_at_a_time() -> None:
    """While one is in flight the others wait, so that a second death has one cause."""
    fleet = Fleet(3, cap=4)
    suspects = [request(value) for value in (1, 2, 3)]
    for suspect in suspects:
        suspect.kills = 1
    tasks = [fleet.ask(suspect, of=fleet.retry) for suspect in suspects]
    innocent = fleet.ask(request(9), of=fleet.retry)
    for value in (1, 2, 3):
        await settle()
        waiting = [sent for sent in fleet.waiting if sent.request.kills]
        assert [values_of(sent) for sent in waiting] == [[value]]
        waiting[0].respond()
    await asyncio.gather(*tasks)
    fleet.waiting[0].respond()
    await innocent


def values_of(sent: Sent) -> list[float]:
    """What was asked."""
    return [float(value) for value in sent.request.inputs[0].array()[:, 0]]


# Coming back.


async def test_a_request_that_found_no_endpoint_keeps_its_attempts() -> None:
    """Nothing was sent, so nothing is counted; what was sent before stays counted."""
    fleet = Fleet(1, attempts=2)
    asked = request()
    task = fleet.ask(asked, of=fleet.retry)
    await settle()
    fleet.peers[0].dies(lambda: ConnectionLost("gone"))
    with pytest.raises(NoReadyEndpoint):
        await task
    assert (asked.attempts, asked.kills) == (1, 1)
    fleet.peers[0].comes_up("2")
    asked.kills = 0
    again = fleet.ask(asked, of=fleet.retry)
    assert await fail_all(fleet, UpstreamError) == 1
    with pytest.raises(UpstreamError):
        await again


async def test_a_request_pays_into_the_budget_once() -> None:
    """Coming back from the queue is not a new request."""
    budget = RetryBudget(clock=Clock(), min_per_second=0)
    fleet = Fleet(1, budget=budget)
    asked = request()
    asked.attempts = 1
    task = fleet.ask(asked, of=fleet.retry)
    await settle()
    fleet.waiting[0].respond()
    await task
    assert budget.balance == 0

# SPDX-License-Identifier: Apache-2.0
"""Endpoint: attempts that take too long, and probes."""

import asyncio
from random import Random

import pytest

from gateway.drive import drive
from gateway.errors import (
    AttemptTimeout,
    Busy,
    ConnectFailed,
    DeadlineExceeded,
    UpstreamError,
)
from gateway.promise import Promise
from gateway.upstream.gradient import Gradient
from gateway.wire.message import InferRequest, InferResponse
from tests.support.endpoint_bench import Bench
from tests.support.upstream import request, settle

# Attempt timeout.


async def test_an_attempt_that_takes_too_long_is_given_up() -> None:
    """The worker is told, and the error is one that may be retried."""
    bench = Bench(attempt_timeout=0.001)
    with pytest.raises(AttemptTimeout, match=r"endpoint e took more than 0\.001 s"):
        await bench.send()
    assert bench.peer.sent[0].cancelled
    assert bench.notes.attempts == ["upstream_failed"]


async def test_a_promise_that_is_given_up_is_a_timeout_too() -> None:
    """A driven coroutine goes on within the call that cancels what it waits for."""
    bench = Bench(attempt_timeout=0.001)
    loop = asyncio.get_running_loop()
    bench.peer.send = lambda _: Promise(loop)  # type: ignore[method-assign,assignment,return-value]
    ended = asyncio.Event()
    ends: list[BaseException | None] = []

    def note(_: object, error: BaseException | None) -> None:
        ends.append(error)
        ended.set()

    drive(bench.endpoint(request()), note)
    await ended.wait()
    assert [type(error) for error in ends] == [AttemptTimeout]
    assert bench.notes.attempts == ["upstream_failed"]


# Deadlines that pass.


async def missed(bench: Bench, *, by: str) -> None:
    """A request's deadline passes while the worker has it, told *by* the queue or the worker."""
    asked = request(deadline=0.0)
    task = asyncio.ensure_future(answer_of(bench, asked))
    sent = await bench.peer.request()
    if by == "queue":
        task.cancel()
    else:
        sent.fail(DeadlineExceeded("too late"))
    await asyncio.gather(task, return_exceptions=True)


async def answer_of(bench: Bench, asked: InferRequest) -> InferResponse:
    """What the endpoint says to *asked*."""
    return await bench.endpoint(asked)


@pytest.mark.parametrize("by", ["queue", "worker"])
async def test_deadlines_that_pass_eject_a_worker_that_alone_is_slow(by: str) -> None:
    """Like failures: as many in a row, and then a probe decides."""
    bench = Bench()
    bench.notes.outpaces = True
    await missed(bench, by=by)
    assert bench.endpoint.state == "ready"
    await missed(bench, by=by)
    assert bench.endpoint.state == "ejected"
    assert bench.notes.ejections == ["consecutive"]
    bench.clock.now += 1.1
    await missed(bench, by=by)
    assert bench.notes.ejections == ["consecutive", "probe"]
    bench.clock.now += 2.1
    await bench.attempt()
    assert bench.endpoint.state == "ready"


@pytest.mark.parametrize("by", ["queue", "worker"])
async def test_deadlines_that_pass_everywhere_eject_nobody(by: str) -> None:
    """There is nobody better to ask."""
    bench = Bench()
    for _ in range(10):
        await missed(bench, by=by)
    assert bench.endpoint.state == "ready"
    assert bench.notes.ejections == []


async def test_a_client_that_leaves_before_its_deadline_says_nothing_of_the_worker() -> None:
    """However often, and however slow the worker is."""
    bench = Bench()
    bench.notes.outpaces = True
    for _ in range(10):
        task = bench.send()
        await bench.peer.request()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert bench.endpoint.state == "ready"


async def test_a_client_that_leaves_is_no_timeout() -> None:
    """The attempt ends as cancelled, and its timer with it."""
    bench = Bench(attempt_timeout=60)
    task = bench.send()
    await settle()
    task.cancel()
    await settle()
    assert task.cancelled()
    assert bench.notes.attempts == ["cancelled"]


async def test_an_answer_in_time_passes() -> None:
    """The timer is for those that are late."""
    bench = Bench(attempt_timeout=60)
    await bench.attempt()
    assert bench.notes.attempts == ["ok"]


# Probes.


async def watched(bench: Bench, probes: list[float | BaseException]) -> None:
    """Watch until all *probes* are used up."""
    bench.peer.probes.extend(probes)
    watch = asyncio.ensure_future(
        bench.endpoint.watch(interval=0.0001, timeout=60, jitter=0.5, rng=Random(1))
    )
    while bench.peer.probes and bench.endpoint.liveness.up:
        await settle()
    await settle()
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)


async def test_bad_probes_in_a_row_drop_the_connection() -> None:
    """What a frozen worker holds must be tried elsewhere before its deadline."""
    bench = Bench()
    bad = ConnectFailed("no pong")
    await watched(bench, [0.1, bad, 0.1, bad, bad])
    assert bench.endpoint.state == "down"
    assert bench.peer.dropped == ["it does not answer probes"]


async def test_a_probe_without_an_answer_is_a_bad_one() -> None:
    """Silence is what a frozen worker says."""
    bench = Bench()
    watch = asyncio.ensure_future(
        bench.endpoint.watch(interval=0.0001, timeout=0.0001, jitter=0, rng=Random(1))
    )
    while bench.endpoint.liveness.up:
        await settle()
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    assert bench.peer.dropped == ["it does not answer probes"]


async def test_good_probes_change_nothing() -> None:
    """Neither its state nor an ejection."""
    bench = Bench()
    for _ in range(2):
        await bench.attempt(UpstreamError("scripted"))
    await watched(bench, [0.1] * 5)
    assert bench.endpoint.state == "ejected"
    assert bench.peer.dropped == []


# Adaptive cap.


async def test_the_cap_follows_what_the_gradient_finds() -> None:
    """Up with answers as quick as ever, and no further than what is used asks for."""
    gradient = Gradient(initial=2)
    bench = Bench(gradient=gradient)
    assert bench.endpoint.cap == 2
    for _ in range(30):
        together = [bench.endpoint(request()) for _ in range(bench.endpoint.cap)]
        answers = [asyncio.ensure_future(each) for each in together]
        await settle()
        for sent in bench.peer.sent:
            if not sent.answer.done():
                sent.respond()
        await asyncio.gather(*answers)
    assert bench.endpoint.cap == gradient.limit > 2


async def test_a_busy_server_gets_a_tenth_less() -> None:
    """And nothing while it wants to be spared."""
    gradient = Gradient(initial=20)
    bench = Bench(gradient=gradient)
    task = asyncio.ensure_future(bench.endpoint(request()))
    await settle()
    bench.peer.sent[0].fail(Busy("full", retry_after=0.01))
    with pytest.raises(Busy):
        await task
    assert bench.endpoint.cap == 0
    assert gradient.limit == 18

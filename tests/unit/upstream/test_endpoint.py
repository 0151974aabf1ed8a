# SPDX-License-Identifier: Apache-2.0
"""Endpoint: what it counts, when it is healthy, and what its transport tells it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.errors import (
    BadAnswer,
    DeadlineExceeded,
    Draining,
    GatewayError,
    InvalidRequest,
    UpstreamError,
)
from gateway.wire.message import InferResponse
from gateway.wire.model import ModelInfo
from tests.support.endpoint_bench import Bench
from tests.support.upstream import MODEL, echo, request, settle, values


async def test_counts_requests_and_rows_while_they_are_out() -> None:
    """The load that balancing goes by is exact at every moment."""
    bench = Bench()
    tasks = [bench.send(1, 2), bench.send(3)]
    await settle()
    assert (bench.endpoint.pending, bench.endpoint.pending_rows) == (2, 3)
    (await bench.peer.request()).respond()
    await tasks[0]
    assert (bench.endpoint.pending, bench.endpoint.pending_rows) == (1, 1)
    tasks[1].cancel()
    await settle()
    assert (bench.endpoint.pending, bench.endpoint.pending_rows) == (0, 0)
    assert bench.notes.attempts == ["ok", "cancelled"]


async def test_notes_in_the_trace_who_answered_and_how_long_it_took() -> None:
    """Failed attempts count in time, but did not answer."""
    bench = Bench()
    asked = request()
    for error in (UpstreamError("scripted"), None):
        task = asyncio.ensure_future(bench.endpoint(asked))
        sent = await bench.peer.request()
        if error is None:
            sent.respond()
            assert values(await task) == [1]
            assert asked.trace.endpoint == "e"
            assert asked.trace.digest == MODEL.digest
        else:
            sent.fail(error)
            with pytest.raises(UpstreamError):
                await task
            assert asked.trace.endpoint == asked.trace.digest == ""
    assert asked.trace.upstream > 0


async def test_gives_the_load_back_when_the_transport_cannot_send() -> None:
    """Even a fault of the program leaves no load behind."""
    bench = Bench()

    def broken(_: object) -> asyncio.Future[object]:
        raise OverflowError

    bench.peer.send = broken  # type: ignore[method-assign,assignment]
    with pytest.raises(OverflowError):
        await bench.endpoint(request())
    assert (bench.endpoint.pending, bench.endpoint.pending_rows) == (0, 0)


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        (echo(request(1)), r"'y' with the shape \[1, 2\] to 2 rows"),
        (echo(request(1, 2, 3)), r"'y' with the shape \[3, 2\] to 2 rows"),
        (InferResponse(()), "without any output"),
    ],
    ids=["fewer", "more", "none"],
)
async def test_an_answer_with_other_rows_is_a_failure(answered: InferResponse, said: str) -> None:
    """It was made for another request, or for none; the endpoint that made it is to blame."""
    bench = Bench()
    for _ in range(2):
        task = bench.send(1, 2)
        (await bench.peer.request()).respond(answered)
        with pytest.raises(BadAnswer, match=f"endpoint e answered .*{said}"):
            await task
    assert bench.notes.attempts == ["upstream_failed"] * 2
    assert bench.notes.ejections == ["consecutive"]


async def test_rows_mean_nothing_to_a_model_without_a_batch_dimension() -> None:
    """Its first dimension is whatever it likes."""
    bench = Bench()
    bench.peer.comes_up(info=msgspec.structs.replace(MODEL, batched=False))
    task = bench.send(1, 2)
    (await bench.peer.request()).respond(echo(request(7)))
    assert values(await task) == [7]


# Health.


async def test_is_ejected_after_failures_in_a_row() -> None:
    """Then it is not healthy until its time is over and a probe has succeeded."""
    bench = Bench()
    for _ in range(2):
        await bench.attempt(UpstreamError("scripted"))
    assert bench.endpoint.state == "ejected"
    assert not bench.endpoint.healthy
    assert bench.notes.ejections == ["consecutive"]
    bench.clock.now += 1
    assert bench.endpoint.ejection.allows()
    await bench.attempt()
    assert bench.endpoint.healthy


async def test_a_failed_probe_lets_in_what_the_pool_cannot_do_without() -> None:
    """The others may have gone since: then a bad worker is better than none."""
    bench = Bench()
    for _ in range(2):
        await bench.attempt(UpstreamError("scripted"))
    bench.clock.now += 1
    bench.notes.spare = False
    await bench.attempt(UpstreamError("scripted"))
    assert bench.notes.ejections == ["consecutive"]
    assert bench.endpoint.healthy
    assert bench.endpoint.state == "ready"


async def test_what_is_sent_during_an_ejection_is_no_probe() -> None:
    """In a panic requests come although the time is not over; they change nothing about it."""
    bench = Bench()
    for _ in range(2):
        await bench.attempt(UpstreamError("scripted"))
    await bench.attempt(UpstreamError("scripted"))
    await bench.attempt()
    assert bench.notes.ejections == ["consecutive"]
    assert not bench.endpoint.healthy
    bench.clock.now += 1
    await bench.attempt()
    assert bench.endpoint.state == "ready"


async def test_tells_the_pool_when_it_is_back() -> None:
    """From a connection and from an ejection, so that it is spared at first."""
    bench = Bench()
    assert bench.notes.returns == 1
    for _ in range(2):
        await bench.attempt(UpstreamError("scripted"))
    bench.clock.now += 1
    await bench.attempt()
    assert bench.notes.returns == 2


async def test_a_failed_probe_ejects_again() -> None:
    """What is out and still fails stays out, for longer."""
    bench = Bench()
    for _ in range(2):
        await bench.attempt(UpstreamError("scripted"))
    bench.clock.now += 1
    await bench.attempt(UpstreamError("scripted"))
    assert bench.notes.ejections == ["consecutive", "probe"]
    bench.clock.now += 1
    assert not bench.endpoint.healthy
    bench.clock.now += 1
    assert bench.endpoint.healthy


async def test_a_cancelled_probe_lets_the_next_request_probe() -> None:
    """Nothing was learned."""
    bench = Bench()
    for _ in range(2):
        await bench.attempt(UpstreamError("scripted"))
    bench.clock.now += 1
    probe = bench.send()
    await bench.peer.request()
    assert not bench.endpoint.healthy
    probe.cancel()
    await settle()
    assert bench.endpoint.healthy


async def test_is_not_ejected_when_the_pool_cannot_do_without_it() -> None:
    """A bad endpoint beats none."""
    bench = Bench()
    bench.notes.spare = False
    for _ in range(5):
        await bench.attempt(UpstreamError("scripted"))
    assert bench.endpoint.state == "ready"
    assert bench.notes.ejections == []


@pytest.mark.parametrize("error", [InvalidRequest("bad"), DeadlineExceeded("late")])
async def test_a_clients_fault_is_not_the_endpoints(error: GatewayError) -> None:
    """Bad input and passed deadlines eject nobody."""
    bench = Bench()
    for _ in range(9):
        await bench.attempt(error)
    assert bench.endpoint.state == "ready"
    assert set(bench.notes.attempts) == {error.code}


async def test_a_refusal_because_it_drains_is_believed() -> None:
    """It gets no more requests until it says hello again."""
    bench = Bench()
    await bench.attempt(Draining("no more"))
    assert bench.endpoint.state == "draining"
    assert not bench.endpoint.healthy
    bench.peer.comes_up("2")
    assert bench.endpoint.healthy


async def test_a_new_life_is_not_ejected_and_the_same_one_still_is() -> None:
    """The instance in the hello tells a restart from a reconnect."""
    bench = Bench()
    for _ in range(2):
        await bench.attempt(UpstreamError("scripted"))
    bench.peer.goes_down()
    assert bench.endpoint.state == "down"
    bench.peer.comes_up("1")
    assert bench.endpoint.state == "ejected"
    bench.peer.goes_down()
    bench.peer.comes_up("2")
    assert bench.endpoint.state == "ready"


async def test_every_change_is_told() -> None:
    """Whoever waits for a slot hears of each reason to look again."""
    bench = Bench()
    told = [bench.notes.changes]
    bench.endpoint.drains()
    told.append(bench.notes.changes)
    bench.peer.goes_down()
    told.append(bench.notes.changes)
    bench.peer.comes_up("2")
    told.append(bench.notes.changes)
    await bench.attempt()
    told.append(bench.notes.changes)
    assert told == [1, 2, 3, 4, 5]


# Cap.


@pytest.mark.parametrize(("cap", "expected"), [(None, 5), (1, 1), (9, 9)])
async def test_takes_its_cap_from_the_worker_unless_told(cap: int | None, expected: int) -> None:
    """One more than the worker runs at once hides the way there and back."""
    bench = Bench(cap=cap)
    info = ModelInfo("m", "1", "p", "0", MODEL.inputs, MODEL.outputs, batched=True, parallelism=4)
    bench.peer.comes_up("2", info)
    assert bench.endpoint.cap == expected
    assert bench.endpoint.info is info

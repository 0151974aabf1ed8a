# SPDX-License-Identifier: Apache-2.0
"""Endpoint: what it counts, when it is healthy, and what its transport tells it."""

from __future__ import annotations

import asyncio
from random import Random

import msgspec
import pytest

from gateway.drive import drive
from gateway.errors import (
    AttemptTimeout,
    BadAnswer,
    ConnectFailed,
    DeadlineExceeded,
    Draining,
    GatewayError,
    InvalidRequest,
    UpstreamError,
)
from gateway.promise import Promise
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Ejection, Liveness
from gateway.wire.message import InferResponse
from gateway.wire.model import ModelInfo
from tests.support.upstream import MODEL, Clock, ScriptedPeer, echo, request, settle, values


class Notes:
    """A watcher that keeps what it is told, and allows or forbids ejections."""

    def __init__(self) -> None:
        self.changes = 0
        self.learned = 0
        self.attempts: list[str] = []
        self.ejections: list[str] = []
        self.spare = True

    def changed(self, endpoint: Endpoint) -> None:
        """Count."""
        self.changes += 1

    def learn(self) -> None:
        """Count."""
        self.learned += 1

    def may_eject(self, endpoint: Endpoint) -> bool:
        """As the test says."""
        return self.spare

    def attempted(self, endpoint: Endpoint, result: str, seconds: float) -> None:
        """Keep the result."""
        assert seconds >= 0
        self.attempts.append(result)

    def ejected(self, endpoint: Endpoint, reason: str) -> None:
        """Keep the reason."""
        self.ejections.append(reason)


class Bench:
    """One endpoint over a scripted peer."""

    def __init__(self, *, attempt_timeout: float = 0.0, cap: int | None = None) -> None:
        self.clock = Clock()
        self.notes = Notes()
        self.peer = ScriptedPeer()
        self.endpoint = Endpoint(
            "e",
            self.peer.attach,
            self.notes,
            ejection=Ejection(clock=self.clock, consecutive=2, jitter=0),
            liveness=Liveness(fall=2),
            cap=cap,
            attempt_timeout=attempt_timeout,
        )
        self.peer.comes_up()

    def send(self, *rows: float) -> asyncio.Task[InferResponse]:
        """A request as a task."""

        async def answer() -> InferResponse:
            return await self.endpoint(request(*rows))

        return asyncio.ensure_future(answer())

    async def attempt(self, error: GatewayError | None = None) -> None:
        """One request from end to end."""
        task = self.send()
        sent = await self.peer.request()
        if error is None:
            sent.respond()
            await task
        else:
            sent.fail(error)
            with pytest.raises(type(error)):
                await task


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


async def test_a_failed_probe_ejects_again_whatever_the_pool_says() -> None:
    """What is out and still fails stays out."""
    bench = Bench()
    for _ in range(2):
        await bench.attempt(UpstreamError("scripted"))
    bench.clock.now += 1
    bench.notes.spare = False
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

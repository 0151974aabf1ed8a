# SPDX-License-Identifier: Apache-2.0
"""Observe counts every outcome once, times hits apart, and sees clients leave."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from gateway.access_log import AccessLog
from gateway.errors import InvalidRequest
from gateway.exchange import Answer, Exchange, ExchangeService
from gateway.stages.gate import Gate
from gateway.stages.observe import Observe
from gateway.telemetry import Telemetry
from tests.support.exchanges import Scripted, make_exchange


def observe(
    inner: ExchangeService, telemetry: Telemetry, *, gate: Gate | None = None, **log: Any
) -> Observe:
    """The stage over *inner* for the model ``digits``."""
    log.setdefault("errors", False)
    access_log = AccessLog(telemetry=telemetry, **log)
    return Observe(
        inner,
        gate=gate or Gate(),
        telemetry=telemetry,
        access_log=access_log,
        models=["digits"],
        probe_token="right",
    )


def counts(telemetry: Telemetry) -> dict[tuple[str, ...], float]:
    """The requests counted so far."""
    return {labels: cell.value for labels, cell in telemetry.requests.cells.items()}


@pytest.mark.parametrize("status", [200, 400, 503])
async def test_every_answer_is_counted_by_its_status(status: int) -> None:
    """What is refused counts as well as what is answered."""
    telemetry = Telemetry(["digits"])
    stage = observe(Scripted(status=status), telemetry)

    for _ in range(3):
        await stage(make_exchange())

    assert counts(telemetry) == {("digits", "v2", str(status)): 3}


async def test_the_answer_passes_unchanged() -> None:
    """Measuring changes nothing."""
    inner = Scripted(status=418)
    answer = await observe(inner, Telemetry(["digits"]))(make_exchange())

    assert (answer.status, answer.body) == (418, b"answer")
    assert len(inner.seen) == 1


@pytest.mark.parametrize("status", [200, 503])
async def test_a_quality_probe_is_counted_by_itself(status: int) -> None:
    """It is nobody's traffic: no request, no time, and what is below is told."""
    telemetry = Telemetry(["digits"])
    inner = Scripted(status=status)
    stage = observe(inner, telemetry)

    await stage(make_exchange(headers={"infergate-probe": "right"}))

    assert counts(telemetry) == {}
    assert telemetry.request_seconds.cells == {}
    assert telemetry.probes.requests.cell("digits", str(status)).value == 1
    assert inner.seen[0].trace.probe


async def test_who_does_not_know_the_token_is_a_client() -> None:
    """A header alone takes nobody out of the figures."""
    telemetry = Telemetry(["digits"])
    inner = Scripted()
    stage = observe(inner, telemetry)

    for said in ("", "wrong", "right\udcff"):
        await stage(make_exchange(headers={"infergate-probe": said}))

    assert counts(telemetry) == {("digits", "v2", "200"): 3}
    assert not any(exchange.trace.probe for exchange in inner.seen)


async def test_models_that_are_not_configured_share_one_series() -> None:
    """Made-up names cannot fill the memory."""
    telemetry = Telemetry(["digits"])
    stage = observe(Scripted(status=404), telemetry)

    for number in range(50):
        await stage(make_exchange(model=f"made-up-{number}"))

    assert counts(telemetry) == {("unknown", "v2", "404"): 50}
    assert sum(telemetry.request_seconds.cell("unknown").counts) == 50


async def test_a_model_that_a_reload_adds_has_series_of_its_own() -> None:
    """Also where it was asked for before, in vain."""
    telemetry = Telemetry(["digits"])
    stage = Observe(
        Scripted(status=200),
        gate=Gate(),
        telemetry=telemetry,
        access_log=AccessLog(telemetry=telemetry, errors=False),
        models=telemetry.models,
    )
    await stage(make_exchange(model="later"))
    telemetry.models |= {"later"}
    await stage(make_exchange(model="later"))
    assert counts(telemetry) == {("unknown", "v2", "200"): 1, ("later", "v2", "200"): 1}


async def test_time_counts_from_the_arrival() -> None:
    """What a request spent before the stages is part of its time."""
    telemetry = Telemetry(["digits"])

    await observe(Scripted(), telemetry)(make_exchange(arrived=perf_counter() - 20))

    assert telemetry.request_seconds.cell("digits").sum == pytest.approx(20, abs=5)


async def test_a_cache_hit_is_timed_apart() -> None:
    """Quick hits must not make a slow model look quick."""
    telemetry = Telemetry(["digits"])

    def hit(exchange: Exchange) -> None:
        exchange.trace.cache, exchange.trace.age = "hit; ttl=376", 1.0

    await observe(Scripted(note=hit), telemetry)(make_exchange())

    assert sum(telemetry.cache_hit_seconds.cell("digits").counts) == 1
    assert sum(telemetry.request_seconds.cell("digits").counts) == 0
    assert sum(telemetry.overhead_seconds.cell("digits").counts) == 0


async def test_overhead_is_the_time_that_was_not_upstream() -> None:
    """The gateway's own share of a request, queueing included."""
    telemetry = Telemetry(["digits"])

    def upstream(exchange: Exchange) -> None:
        exchange.trace.upstream = 15.0

    exchange = make_exchange(arrived=perf_counter() - 20)
    await observe(Scripted(note=upstream), telemetry)(exchange)

    assert telemetry.overhead_seconds.cell("digits").sum == pytest.approx(5, abs=2)


async def test_a_request_that_never_went_upstream_has_no_overhead() -> None:
    """Refusals would drown the figure that it is for."""
    telemetry = Telemetry(["digits"])

    await observe(Scripted(status=503), telemetry)(make_exchange())

    assert sum(telemetry.overhead_seconds.cell("digits").counts) == 0
    assert sum(telemetry.request_seconds.cell("digits").counts) == 1


@pytest.mark.parametrize(("attempts", "phase"), [(0, "waiting"), (1, "upstream")])
async def test_a_client_that_leaves_counts_by_where_its_request_was(
    attempts: int, phase: str
) -> None:
    """Cancellation passes on, is counted with status 499, and is no latency of ours."""
    telemetry = Telemetry(["digits"])

    def note(exchange: Exchange) -> None:
        exchange.trace.attempts = attempts

    stage = observe(Scripted(error=asyncio.CancelledError(), note=note), telemetry)
    with pytest.raises(asyncio.CancelledError):
        await stage(make_exchange())

    assert counts(telemetry) == {("digits", "v2", "499"): 1}
    assert telemetry.client_disconnects.cell(phase).value == 1
    assert sum(cell.value for cell in telemetry.client_disconnects.cells.values()) == 1
    assert sum(telemetry.request_seconds.cell("digits").counts) == 0


@pytest.mark.parametrize(
    ("inner", "status", "error", "sent"),
    [
        (Scripted, 200, "", 6),
        (lambda: Scripted(error=asyncio.CancelledError()), 499, "client_closed", 0),
    ],
    ids=["answered", "client gone"],
)
async def test_what_the_log_wants_is_written(
    tmp_path: Path, inner: Callable[[], Scripted], status: int, error: str, sent: int
) -> None:
    """The line has the status, the reason and the bytes of what was answered."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        log = AccessLog(telemetry=Telemetry(), fd=file.fileno(), sample=1.0)
        telemetry = Telemetry(["digits"])
        stage = Observe(
            inner(), gate=Gate(), telemetry=telemetry, access_log=log, models=["digits"]
        )
        try:
            await stage(make_exchange())
        except asyncio.CancelledError:
            assert status == 499
        log.close(patience=60)

    line = json.loads(path.read_bytes())
    assert (line["status"], line["error"], line["bytes_out"]) == (status, error, sent)
    assert line["total_ms"] > 0


async def test_counts_who_is_inside() -> None:
    """In with the request, out with its answer."""
    gate, release = Gate(), asyncio.get_running_loop().create_future()

    async def held(exchange: Exchange) -> Answer:
        await release
        return Answer(200, b"", [])

    task = asyncio.ensure_future(observe(held, Telemetry(["digits"]), gate=gate)(make_exchange()))
    waiter = asyncio.ensure_future(gate.wait_empty())
    await asyncio.sleep(0)
    assert gate.inside == 1
    release.set_result(None)
    await task
    assert gate.inside == 0
    await waiter


@pytest.mark.parametrize("error", [InvalidRequest("bad"), ZeroDivisionError()])
async def test_counts_out_whoever_fails(error: BaseException) -> None:
    """An error leaves by the same gate."""
    gate = Gate()
    with pytest.raises(type(error)):
        await observe(Scripted(error=error), Telemetry(["digits"]), gate=gate)(make_exchange())
    assert gate.inside == 0

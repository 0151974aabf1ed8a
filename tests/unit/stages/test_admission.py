# SPDX-License-Identifier: Apache-2.0
"""Admission: who is let in, and the gate that counts them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import Draining, InvalidRequest, Shed, TooLarge
from gateway.exchange import Answer
from gateway.stages.admission import Admission, Gate
from gateway.telemetry import Telemetry
from tests.support.exchanges import Scripted, make_exchange
from tests.support.upstream import settle

if TYPE_CHECKING:
    from gateway.exchange import Exchange


class Held:
    """A service that answers when told to."""

    def __init__(self) -> None:
        self.release = asyncio.get_running_loop().create_future()

    async def __call__(self, exchange: Exchange) -> Answer:
        """Wait for the release."""
        await asyncio.shield(self.release)
        return Answer(200, b"", [])


@pytest.fixture(name="gate")
def make_gate() -> Gate:
    """An open gate."""
    return Gate()


@pytest.fixture(name="telemetry")
def make_telemetry() -> Telemetry:
    """Metrics of one model."""
    return Telemetry(models=["digits"])


async def test_counts_who_is_inside(gate: Gate, telemetry: Telemetry) -> None:
    """In with the request, out with its answer."""
    held = Held()
    task = asyncio.ensure_future(Admission(held, gate=gate, telemetry=telemetry)(make_exchange()))
    await settle()
    assert gate.inside == 1
    held.release.set_result(None)
    await task
    assert gate.inside == 0


@pytest.mark.parametrize("error", [InvalidRequest("bad"), ZeroDivisionError()])
async def test_counts_out_whoever_fails(
    gate: Gate, telemetry: Telemetry, error: BaseException
) -> None:
    """An error leaves by the same gate."""
    admission = Admission(Scripted(error=error), gate=gate, telemetry=telemetry)
    with pytest.raises(type(error)):
        await admission(make_exchange())
    assert gate.inside == 0


async def test_refuses_a_body_above_the_limit(gate: Gate, telemetry: Telemetry) -> None:
    """One byte more is too much, and the message names size and limit."""
    inner = Scripted()
    admission = Admission(inner, gate=gate, telemetry=telemetry, max_body=4)
    await admission(make_exchange(body=b"1234"))
    with pytest.raises(TooLarge, match="has 5 bytes; the limit is 4"):
        await admission(make_exchange(body=b"12345"))
    assert len(inner.seen) == 1


async def test_sheds_above_the_number_inside(gate: Gate, telemetry: Telemetry) -> None:
    """The bound is on what is in progress; who leaves makes room."""
    held = Held()
    admission = Admission(held, gate=gate, telemetry=telemetry, max_inside=1)
    task = asyncio.ensure_future(admission(make_exchange()))
    await settle()
    with pytest.raises(Shed, match="1 requests"):
        await admission(make_exchange())
    assert telemetry.shed.cell("digits", "too_many").value == 1
    held.release.set_result(None)
    await task
    await admission(make_exchange())


async def test_a_closed_gate_lets_nobody_in(gate: Gate, telemetry: Telemetry) -> None:
    """Draining is a refusal of its own, so that clients go elsewhere."""
    gate.closed = True
    with pytest.raises(Draining):
        await Admission(Scripted(), gate=gate, telemetry=telemetry)(make_exchange())
    assert telemetry.shed.cell("digits", "draining").value == 1


async def test_the_gate_tells_all_who_wait_that_it_is_empty(
    gate: Gate, telemetry: Telemetry
) -> None:
    """Any number may wait, one may give up, and nobody waits for an empty one."""
    await gate.emptied()
    held = Held()
    inside = asyncio.ensure_future(Admission(held, gate=gate, telemetry=telemetry)(make_exchange()))
    await settle()
    waiters = [asyncio.ensure_future(gate.emptied()) for _ in range(3)]
    await settle()
    waiters[0].cancel()
    await settle()
    assert [waiter.done() for waiter in waiters] == [True, False, False]
    held.release.set_result(None)
    await asyncio.gather(*waiters[1:])
    await inside

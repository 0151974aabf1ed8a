# SPDX-License-Identifier: Apache-2.0
"""Admission: who is let in."""

from __future__ import annotations

import pytest

from gateway.errors import Draining, Shed, TooLarge
from gateway.stages.admission import Admission
from gateway.stages.gate import Gate
from gateway.telemetry import Telemetry
from tests.support.exchanges import Scripted, make_exchange


@pytest.fixture(name="gate")
def make_gate() -> Gate:
    """An open gate."""
    return Gate()


@pytest.fixture(name="telemetry")
def make_telemetry() -> Telemetry:
    """Metrics of one model."""
    return Telemetry(models=["digits"])


async def test_refuses_a_body_above_the_limit(gate: Gate, telemetry: Telemetry) -> None:
    """One byte more is too much, and the message names size and limit."""
    inner = Scripted()
    admission = Admission(inner, gate=gate, telemetry=telemetry, max_body=4)
    await admission(make_exchange(body=b"1234"))
    with pytest.raises(TooLarge, match="has 5 bytes; the limit is 4"):
        await admission(make_exchange(body=b"12345"))
    assert len(inner.seen) == 1


async def test_sheds_above_the_number_inside(gate: Gate, telemetry: Telemetry) -> None:
    """The bound is on what is in progress, the one that is judged included."""
    admission = Admission(Scripted(), gate=gate, telemetry=telemetry, max_inside=2)
    gate.inside = 3
    with pytest.raises(Shed, match="2 requests"):
        await admission(make_exchange())
    assert telemetry.shed.cell("digits", "too_many").value == 1
    gate.inside = 2
    await admission(make_exchange())


async def test_a_closed_gate_lets_nobody_in(gate: Gate, telemetry: Telemetry) -> None:
    """Draining is a refusal of its own, so that clients go elsewhere."""
    gate.closed = True
    with pytest.raises(Draining):
        await Admission(Scripted(), gate=gate, telemetry=telemetry)(make_exchange())
    assert telemetry.shed.cell("digits", "draining").value == 1

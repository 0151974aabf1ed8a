# SPDX-License-Identifier: Apache-2.0
"""Profiler: what was drawn is sent, and what cannot be is counted."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import numpy as np

from gateway.profiler import Profiler
from gateway.sampling.outlet import Outlet
from gateway.telemetry import Telemetry
from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.samples import LENGTH, Observed, decode
from gateway.wire.tensor import Tensor


class Way:
    """An outlet that keeps what it is given, or is full."""

    def __init__(self) -> None:
        self.sent: list[Observed] = []
        self.full = False

    def offer(self, message: bytes) -> bool:
        """Keep it."""
        got = decode(message[LENGTH.size :])
        assert isinstance(got, Observed)
        if not self.full:
            self.sent.append(got)
        return not self.full


async def answered(request: InferRequest) -> InferResponse:
    """The input as the output, under another name."""
    x = request.inputs[0]
    return InferResponse((Tensor("y", x.datatype, x.shape, x.data),))


async def sleep(seconds: float) -> None:
    """Do not."""
    await asyncio.sleep(0)


def row(*values: float) -> InferRequest:
    """A request with these rows."""
    return InferRequest("m", (Tensor.of("x", np.asarray(values, np.float32)[:, None]),))


def counts(telemetry: Telemetry) -> dict[tuple[str, ...], float]:
    """What became of rows."""
    return {labels: cell.value for labels, cell in telemetry.probes.observed.cells.items()}


async def test_what_was_drawn_is_sent_at_each_look() -> None:
    """With how many rows it stands for; nothing where nothing came."""
    way, telemetry = Way(), Telemetry(["m"])
    profiler = Profiler(cast("Outlet", way), telemetry=telemetry, clock=lambda: 7.0, sleep=sleep)
    stage = profiler.stage(answered, model="m", rows_per_second=4)
    await stage(row(1, 2, 3))
    await stage(row(4))
    await profiler.look()
    (sent,) = way.sent
    assert (sent.model, sent.at, sent.seen, len(sent)) == ("m", 7.0, 4, 2)
    assert sent.number_names == ["x", "y"]
    assert (sent.numbers[:, 0] == sent.numbers[:, 1]).all()
    await profiler.look()
    assert len(way.sent) == 1
    assert counts(telemetry) == {("m", "sent"): 2}


async def test_what_cannot_be_sent_is_counted() -> None:
    """Requests are served as before."""
    way, telemetry = Way(), Telemetry(["m"])
    profiler = Profiler(cast("Outlet", way), telemetry=telemetry, sleep=sleep)
    stage = profiler.stage(answered, model="m", rows_per_second=100)
    way.full = True
    await stage(row(1))
    await profiler.look()
    bare = InferRequest("m", (Tensor.of("x", np.asarray(1, np.float32)),))
    await stage(bare)
    await profiler.look()
    assert counts(telemetry) == {("m", "control_down"): 1, ("m", "unreadable"): 1}


async def test_a_stage_that_is_gone_is_looked_at_no_more() -> None:
    """A reload makes another one."""
    profiler = Profiler(cast("Outlet", Way()), telemetry=Telemetry(["m"]), sleep=sleep)
    stage: Any = profiler.stage(answered, model="m", rows_per_second=100)
    assert len(profiler._draws) == 1
    del stage
    assert profiler._draws == {}

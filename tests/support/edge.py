# SPDX-License-Identifier: Apache-2.0
"""Models without files: descriptions, and a service that answers for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from gateway.errors import GatewayError, ModelNotFound
from gateway.exchange import Answer, Exchange
from gateway.wire.message import InferRequest, InferResponse
from gateway.wire.model import ModelInfo, TensorSpec
from gateway.wire.tensor import Tensor

Spec = tuple[str, str, tuple[int, ...]]


def model(
    inputs: Sequence[Spec] = (("x", "FP32", (-1, 2)),),
    outputs: Sequence[Spec] = (("y", "FP32", (-1, 3)),),
    *,
    batched: bool = True,
    labels: dict[str, tuple[str, ...]] | None = None,
) -> ModelInfo:
    """A model called "m", version "1"."""
    return ModelInfo(
        name="m",
        version="1",
        platform="onnx_onnxv1",
        digest="0123456789abcdef" * 4,
        inputs=tuple(TensorSpec(*spec) for spec in inputs),
        outputs=tuple(TensorSpec(*spec) for spec in outputs),
        batched=batched,
        labels=labels or {},
    )


def sums(request: InferRequest) -> InferResponse:
    """The sum, difference and product of each row of two numbers."""
    rows = request.inputs[0].array()
    first, second = rows[:, 0], rows[:, 1]
    answer = np.stack([first + second, first - second, first * second], axis=1)
    return InferResponse((Tensor.of("y", answer.astype(np.float32)),), version="1")


class Served:
    """A model as the edge knows it."""

    def __init__(self, info: ModelInfo | None, *, ready: bool = True) -> None:
        self.info = info
        self.ready = ready


class Service:
    """An ExchangeService over one model: decode, *compute*, encode, and refuse what fails.

    *before* is awaited first, so that a test can hold an exchange up; it may set the trace.
    """

    def __init__(
        self,
        info: ModelInfo | None = None,
        compute: Callable[[InferRequest], InferResponse] = sums,
        *,
        before: Callable[[Exchange], Awaitable[None]] | None = None,
    ) -> None:
        self.info = info if info is not None else model()
        self.compute = compute
        self.before = before
        self.exchanges: list[Exchange] = []
        self.cancelled = asyncio.Event()

    async def __call__(self, exchange: Exchange, /) -> Answer:
        """Answer *exchange*."""
        self.exchanges.append(exchange)
        try:
            if self.before is not None:
                await self.before(exchange)
            if exchange.model != self.info.name:
                raise ModelNotFound(f"unknown model '{exchange.model}'; this server has: m")
            request = exchange.codec.decode(exchange, self.info)
            return exchange.codec.encode(exchange, request, self.compute(request), self.info)
        except GatewayError as error:
            return exchange.codec.refuse(exchange, error)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

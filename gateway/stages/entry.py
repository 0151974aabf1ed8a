# SPDX-License-Identifier: Apache-2.0
"""Entry: a request that waits in the queue behind `Batch`, and the promise of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.promise import Promised

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.wire.message import InferRequest, InferResponse


class Entry(msgspec.Struct, Promised["InferResponse"], eq=False, gc=False):
    """One request of *rows* rows and *nbytes* bytes, queued at the instant *queued_at*.

    *line* says where it stands while it is queued, *flight* what it is part of while it is on its
    way. Made by `enqueued`, which fills in the size.
    """

    request: InferRequest
    loop: asyncio.AbstractEventLoop
    queued_at: float
    rows: int
    nbytes: int
    gone: Callable[[Entry], None] | None = None
    flight: Any = None
    line: Any = None
    turn: float = 0.0
    returns: int = 0
    alone: bool = False
    waits: bool = True
    response: InferResponse | None = None
    error: BaseException | None = None
    wake: Callable[[Any], object] | None = None
    _asyncio_future_blocking: bool = False

    def __repr__(self) -> str:
        return f"<Entry {self.request!r} {'waits' if self.waits else 'done'}>"


def enqueued(
    request: InferRequest,
    loop: asyncio.AbstractEventLoop,
    queued_at: float,
    gone: Callable[[Entry], None] | None = None,
) -> Entry:
    """The entry of *request*, with its rows and bytes."""
    inputs = request.inputs
    if len(inputs) == 1:
        (tensor,) = inputs
        shape = tensor.shape
        return Entry(request, loop, queued_at, shape[0] if shape else 1, len(tensor.data), gone)
    size = sum([len(tensor.data) for tensor in inputs])
    return Entry(request, loop, queued_at, request.rows, size, gone)

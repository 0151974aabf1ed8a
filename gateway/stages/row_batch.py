# SPDX-License-Identifier: Apache-2.0
"""RowBatch: a batch whose rows are looked up and waited for one by one."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from gateway.stages.fill import Waiter
from gateway.wire.message import NEVER, InferRequest, InferResponse
from gateway.wire.rows import join, taken

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from gateway.stages.fill import Fill
    from gateway.stages.shelf import Cached
    from gateway.stores.memory import Entry


def has_rows(request: InferRequest) -> bool:
    """Whether *request* is a batch of more than one row, all of whose inputs have those rows."""
    rows = {tensor.shape[0] if tensor.shape else 0 for tensor in request.inputs}
    return len(rows) == 1 and rows.pop() > 1


def rows_of(request: InferRequest, rows: Sequence[int]) -> InferRequest:
    """*request* for those *rows* alone."""
    asked = copy(request)
    asked.inputs = tuple([taken(tensor, rows) for tensor in request.inputs])
    return asked


class RowBatch:
    """A batch under way: what each row has so far, and the places of each question missing.

    *left* and *age* are those of the cached rows that end first and are oldest; *old* are answers
    that were too old.
    """

    __slots__ = ("age", "keys", "left", "missing", "old", "parts", "request")

    def __init__(self, request: InferRequest, keys: list[bytes]) -> None:
        self.request = request
        self.keys = keys
        self.parts: list[InferResponse | None] = [None] * len(keys)
        self.missing: dict[bytes, list[int]] = {}
        self.old: dict[bytes, Entry[Cached]] = {}
        self.left = NEVER
        self.age = 0.0

    def __repr__(self) -> str:
        return f"<RowBatch {len(self.missing)} of {len(self.keys)} missing>"

    def use(self, row: int, entry: Entry[Cached], now: float) -> None:
        """Give *row* the answer in *entry*."""
        cached = entry.value
        self.parts[row] = cached.response
        self.age = max(self.age, now - entry.stored)
        self.left = min(self.left, cached.fresh - now)

    def joined(self) -> InferResponse:
        """One response of the rows' own; raises BadAnswer where these are of different sizes."""
        parts = [part for part in self.parts if part is not None]
        outputs = join([part.outputs for part in parts], [1] * len(parts))
        return InferResponse(outputs, parts[0].version, parts[0].parameters)


class Waiting:
    """How many rows a batch waits for still; *future* is done when there are none."""

    __slots__ = ("future", "left")

    def __init__(self, left: int) -> None:
        self.left = left
        self.future: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Waiting {self.left}>"


class RowWaiter(Waiter):
    """The rows *places* of a batch, which are equal, and wait for one answer."""

    __slots__ = ("_waiting", "fill", "key", "led", "places")

    def __init__(
        self, request: InferRequest, key: bytes, places: list[int], waiting: Waiting
    ) -> None:
        super().__init__(request)
        self.key = key
        self.places = places
        self.fill: Fill | None = None
        self.led = False
        self._waiting = waiting

    def question(self) -> InferRequest:
        """The row alone."""
        asked = rows_of(self.request, self.places[:1])
        asked.key = self.key
        return asked

    def wake(self) -> None:
        """One row less to wait for."""
        waiting = self._waiting
        waiting.left -= 1
        if not waiting.left and waiting.future is not None and not waiting.future.done():
            waiting.future.set_result(None)

    def leads(self) -> None:
        """It has taken over: what it waits for is its own run now."""
        self.led = True

    def leave(self) -> None:
        """Wait no longer."""
        if self.fill is not None:
            self.fill.leave(self)

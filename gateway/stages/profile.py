# SPDX-License-Identifier: Apache-2.0
"""Profile: keeps an even draw of the rows that come by, and what they were answered.

On the way there is a number to add and to compare; what rows look like is read later.
"""

from __future__ import annotations

from math import floor, inf, log, log1p
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.errors import InvalidRequest
from gateway.quality.drift.features import Features, features_of
from gateway.wire.rows import row_bounds
from gateway.wire.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from gateway.wire.message import InferRequest, InferResponse, Service

# Bytes of inputs and outputs that are held for the next look; rows of more are drawn more thinly.
MOST_BYTES: Final = 16 << 20
_TINY: Final = 1e-300


class Drawn(NamedTuple):
    """One row: what was asked and answered, and the place of the row in that."""

    inputs: tuple[Tensor, ...]
    response: InferResponse
    row: int


class Draw:
    """An even draw of at most *most* rows of those that come between two looks.

    Each row that came is in it with the same probability: K.-H. Li, "Reservoir-sampling algorithms
    of time complexity O(n(1 + log(N/n)))", 1994, algorithm L.
    """

    def __init__(self, most: int, *, rng: Random | None = None) -> None:
        self._most = most
        self._rng = rng or Random()
        self.rows: list[Drawn] = []
        self.seen = 0
        # The number of the next row that is drawn; until the draw is full, every one is.
        self._next = 0
        self._weight = 1.0
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<Draw {len(self.rows)} of {self.seen} rows>"

    def put(self, inputs: tuple[Tensor, ...], response: InferResponse) -> None:
        """One request with its answer."""
        shape = inputs[0].shape if inputs else ()
        rows = shape[0] if shape else 1
        self.seen += rows
        if self.seen > self._next:
            self._draw(inputs, response, rows)

    def _draw(self, inputs: tuple[Tensor, ...], response: InferResponse, rows: int) -> None:
        begin = self.seen - rows
        kept = self.rows
        while self._next < self.seen:
            row = Drawn(inputs, response, self._next - begin)
            if len(kept) == self._most:
                kept[self._rng.randrange(self._most)] = row
                self._next += 1 + self._skip()
            elif kept and not self._fits(inputs):
                # Full all the same; this row has its chance like those that follow.
                self._most = len(kept)
                self._next += self._skip()
            else:
                kept.append(row)
                self._next += 1
                if len(kept) == self._most:
                    self._next += self._skip()

    def _fits(self, inputs: tuple[Tensor, ...]) -> bool:
        """Whether another row of *inputs* may be held: a row holds all of its request."""
        if inputs is not self.rows[-1].inputs:
            self._bytes += sum([len(tensor.data) for tensor in inputs])
        return self._bytes <= MOST_BYTES

    def _skip(self) -> int:
        """How many rows to pass over now that the draw is full."""
        # Never 0, of which there is no logarithm.
        self._weight *= (1.0 - self._rng.random()) ** (1 / self._most)
        if self._weight < _TINY:
            return 1 << 62
        passed = log1p(-self._weight) if self._weight < 1 else -inf
        return floor(log(1.0 - self._rng.random()) / passed)

    def take(self, most: int) -> tuple[list[Drawn], int]:
        """The rows drawn and how many came, and begin anew with at most *most* rows."""
        rows, seen = self.rows, self.seen
        self.rows, self.seen, self._next = [], 0, 0
        self._weight, self._bytes, self._most = 1.0, 0, most
        return rows, seen


class Profile:
    """Puts what the stages below answer into *draw*, whatever answered it.

    Quality probes are no traffic, and are not in it.
    """

    def __init__(self, inner: Service, *, draw: Draw) -> None:
        self._inner = inner
        self._draw = draw

    def __repr__(self) -> str:
        return f"<Profile {self._draw!r}>"

    def __call__(self, request: InferRequest) -> Awaitable[InferResponse]:
        """Answer *request*; raises what the stages below raise, and notes nothing then."""
        if request.trace.probe:
            return self._inner(request)
        return self._noted(request)

    async def _noted(self, request: InferRequest) -> InferResponse:
        # A stage below may put others in their place.
        inputs = request.inputs
        response = await self._inner(request)
        self._draw.put(inputs, response)
        return response


def features_drawn(rows: Sequence[Drawn]) -> Features | None:
    """The features of *rows*; None where there are none that have the usual form.

    Rows of another form than most, because a client asked for some outputs only, are left out.
    """
    groups: dict[object, list[Drawn]] = {}
    for each in rows:
        form = (_form(each.inputs), _form(each.response.outputs))
        groups.setdefault(form, []).append(each)
    if not groups:
        return None
    usual = max(groups.values(), key=len)
    first = usual[0]
    try:
        inputs = [_column(usual, at, inputs=True) for at in range(len(first.inputs))]
        outputs = [
            _column(usual, at, inputs=False)
            for at, tensor in enumerate(first.response.outputs)
            if tensor.shape
        ]
    except (InvalidRequest, IndexError, ValueError):
        # Not rows: a model without a batch dimension.
        return None
    return features_of(inputs, outputs)


def _form(tensors: tuple[Tensor, ...]) -> object:
    return tuple([(tensor.name, tensor.datatype, tensor.shape[1:]) for tensor in tensors])


def _column(rows: Sequence[Drawn], at: int, *, inputs: bool) -> Tensor:
    """The rows' own parts of one tensor, put together."""
    parts = []
    bounds: dict[int, Sequence[int]] = {}
    tensor = rows[0].inputs[at] if inputs else rows[0].response.outputs[at]
    for each in rows:
        one = each.inputs[at] if inputs else each.response.outputs[at]
        edges = bounds.get(id(one))
        if edges is None:
            edges = bounds[id(one)] = row_bounds(one)
        parts.append(memoryview(one.data)[edges[each.row] : edges[each.row + 1]])
    return Tensor(tensor.name, tensor.datatype, (len(rows), *tensor.shape[1:]), b"".join(parts))

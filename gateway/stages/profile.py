# SPDX-License-Identifier: Apache-2.0
"""Profile: keeps an even draw of the rows that come by, and what they were answered.

On the way there is a number to add and to compare, and only rows that are drawn are followed to
their answer; what they look like is read later.
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
    from collections.abc import Awaitable, Iterator, Sequence

    from gateway.wire.message import InferRequest, InferResponse, Service

# Bytes of inputs and outputs that are held for the next look; rows of more are drawn more thinly.
MOST_BYTES: Final = 16 << 20
_TINY: Final = 1e-300
# Rows, and bytes of them, that are read in one turn of the event loop.
_TOGETHER: Final = 64
_PIECE: Final = 256 << 10


class Drawn(NamedTuple):
    """One row: what was asked and answered, and the place of the row in that."""

    inputs: tuple[Tensor, ...]
    response: InferResponse
    row: int


class Draw:
    """An even draw of at most *most* rows of those that come between two looks.

    Each row that came is in it with the same probability: K.-H. Li, "Reservoir-sampling algorithms
    of time complexity O(n(1 + log(N/n)))", 1994, algorithm L. A row is drawn when it is asked, so
    that all others pass by; one that gets no answer leaves its place empty.
    """

    def __init__(self, most: int, *, rng: Random | None = None) -> None:
        self._most = most
        self._rng = rng or Random()
        # By place what was drawn, or the number of the row whose answer is awaited.
        self._places: list[Drawn | int] = []
        # Rows of the last look that were answered behind it.
        self._late: list[Drawn] = []
        self.seen = 0
        # The number of the next row that is drawn; until the draw is full, every one is.
        self.next = 0
        self._weight = 1.0
        self._bytes = 0
        self._last: tuple[Tensor, ...] | None = None

    def __repr__(self) -> str:
        return f"<Draw {len(self._places)} of {self.seen} rows>"

    def reserve(self, inputs: tuple[Tensor, ...], rows: int) -> Reserved:
        """Places for those of the last *rows* rows that came, of *inputs*, that are drawn."""
        begin = self.seen - rows
        places = self._places
        reserved = []
        while self.next < self.seen:
            number = self.next
            if len(places) == self._most:
                place = self._rng.randrange(self._most)
                places[place] = number
                self.next += 1 + self._skip()
            elif places and not self._fits(inputs):
                # Full all the same; this row has its chance like those that follow.
                self._most = len(places)
                self.next += self._skip()
                continue
            else:
                place = len(places)
                places.append(number)
                self._last = inputs
                self.next += 1
                if len(places) == self._most:
                    self.next += self._skip()
            reserved.append((place, number, number - begin))
        return Reserved(places, reserved)

    def fill(self, reserved: Reserved, inputs: tuple[Tensor, ...], response: InferResponse) -> None:
        """The answer to rows that were drawn."""
        for place, number, row in reserved.rows:
            # Another row may have taken the place meanwhile.
            if reserved.places[place] != number:
                continue
            drawn = Drawn(inputs, response, row)
            if reserved.places is self._places:
                self._places[place] = drawn
            elif len(self._late) < self._most:
                self._late.append(drawn)

    def _fits(self, inputs: tuple[Tensor, ...]) -> bool:
        """Whether another row of *inputs* may be held: a row holds all of its request."""
        if inputs is not self._last:
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
        rows = [*self._late, *(each for each in self._places if not isinstance(each, int))]
        seen = self.seen
        self._places, self._late, self.seen, self.next = [], [], 0, 0
        self._weight, self._bytes, self._most, self._last = 1.0, 0, most, None
        return rows, seen


class Reserved(NamedTuple):
    """Places of a draw that await an answer: place, number of the row, and row of the request."""

    places: list[Drawn | int]
    rows: list[tuple[int, int, int]]


class Profile:
    """Has *draw* keep some of what the stages below answer, whatever answered it.

    Quality probes are no traffic, and are not in it.
    """

    def __init__(self, inner: Service, *, draw: Draw) -> None:
        self._inner = inner
        self._draw = draw

    def __repr__(self) -> str:
        return f"<Profile {self._draw!r}>"

    def __call__(self, request: InferRequest) -> Awaitable[InferResponse]:
        """Answer *request*; raises what the stages below raise, and keeps nothing then."""
        inputs = request.inputs
        if request.trace.probe or not inputs:
            return self._inner(request)
        shape = inputs[0].shape
        rows = shape[0] if shape else 1
        draw = self._draw
        draw.seen += rows
        if draw.seen <= draw.next:
            return self._inner(request)
        return self._noted(request, inputs, draw.reserve(inputs, rows))

    async def _noted(
        self, request: InferRequest, inputs: tuple[Tensor, ...], reserved: Reserved
    ) -> InferResponse:
        response = await self._inner(request)
        # The inputs as they came: a stage below may have put others in their place.
        self._draw.fill(reserved, inputs, response)
        return response


def features_drawn(rows: Sequence[Drawn]) -> Iterator[Features | None]:
    """The features of *rows*, piece by piece, each of about a millisecond's work.

    Rows of another form than most, because a client asked for some outputs only, are left out. A
    piece is None where what is there has no rows, as of a model without that dimension.
    """
    groups: dict[object, list[Drawn]] = {}
    for each in rows:
        form = (_form(each.inputs), _form(each.response.outputs))
        groups.setdefault(form, []).append(each)
    if not groups:
        return
    usual = max(groups.values(), key=len)
    first = usual[0]
    size = sum([len(tensor.data) // max(1, tensor.rows) for tensor in first.inputs])
    together = max(1, min(_TOGETHER, _PIECE // max(1, size)))
    for start in range(0, len(usual), together):
        yield _features(usual[start : start + together])


def _features(rows: Sequence[Drawn]) -> Features | None:
    first = rows[0]
    try:
        inputs = [_column(rows, at, inputs=True) for at in range(len(first.inputs))]
        outputs = [
            _column(rows, at, inputs=False)
            for at, tensor in enumerate(first.response.outputs)
            if tensor.shape
        ]
    except (InvalidRequest, IndexError, ValueError):
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

# SPDX-License-Identifier: Apache-2.0
"""Sample: notes what was answered, and offers it to shadows; the caller's answer is untouched.

Whether a request is chosen follows from its id alone, so it is decided before any other stage sees
it. On the way back there is one object to make; reading answers and asking shadows is left to
others (`gateway.sampling`).
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from gateway.sampling.note import noted
from gateway.wire.rows import row_bounds
from gateway.wire.selection import threshold

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from gateway.sampling.mirror import Mirror
    from gateway.sampling.note import Note
    from gateway.sampling.recorder import Recorder
    from gateway.wire.message import InferRequest, InferResponse, Service
    from gateway.wire.selection import Selection
    from gateway.wire.tensor import Tensor

_ALL: Final = 1 << 64
_KEY: Final = 16
# Requests that belong to others before them say nothing to a shadow that has not seen those.
_SEQUENCE: Final = "sequence_id"


class Sample:
    """Gives *recorder* a *share* of what was answered, chosen by *selection*, and all labelled.

    *mirrors* are offered what they choose from. *secret*, 16 to 64 bytes: equal questions are
    recognised by a hash under it where no cache makes one; without it that is left out.
    """

    def __init__(
        self,
        inner: Service,
        *,
        recorder: Recorder,
        share: float,
        selection: Selection,
        mirrors: Sequence[Mirror] = (),
        secret: bytes = b"",
    ) -> None:
        self._inner = inner
        self._recorder = recorder
        self._reader = recorder.reader
        self._share = share
        self._below = threshold(share)
        self._mirrors = tuple(mirrors)
        # Whoever has a number below this is chosen by somebody.
        self._any = max([self._below, *(mirror.below for mirror in mirrors)])
        self._number = selection.number
        self._hash = blake2b(key=secret, digest_size=_KEY) if secret else None

    def __repr__(self) -> str:
        return f"<Sample {self._share:g} {self._recorder!r} {list(self._mirrors)}>"

    def __call__(self, request: InferRequest) -> Awaitable[InferResponse]:
        """Answer *request*; raises what the stages below raise, and notes nothing then."""
        if self._below == _ALL and not self._mirrors:
            return self._noted(request, 0)
        number = self._number(request.inference_id, request.tenant)
        if number >= self._any and request.labels is None:
            return self._inner(request)
        return self._noted(request, number)

    async def _noted(self, request: InferRequest, number: int) -> InferResponse:
        # A stage below may put others in their place.
        inputs = request.inputs
        response = await self._inner(request)
        reader = self._reader
        if reader is not None and reader.bare:
            rows = 1
        else:
            shape = inputs[0].shape if inputs else ()
            rows = shape[0] if shape else 1
        key = request.key
        if key is None and self._hash is not None:
            key = self._question(inputs, rows)
        # What brings its label is of use whatever its number is, so it stands for itself alone.
        pi = self._share if request.labels is None else 1.0
        note = noted(request, response, key, rows, pi)
        if number < self._below or request.labels is not None:
            self._recorder.put(note)
        if self._mirrors and not note.probe:
            self._offer(request, inputs, note, number)
        return response

    def _offer(
        self, request: InferRequest, inputs: tuple[Tensor, ...], note: Note, number: int
    ) -> None:
        if request.parameters and _SEQUENCE in request.parameters:
            return
        for mirror in self._mirrors:
            if number < mirror.below:
                mirror.offer(request, inputs, note, number)

    def _question(self, inputs: tuple[Tensor, ...], rows: int) -> bytes:
        """The digests of *rows* questions, joined."""
        assert self._hash is not None  # noqa: S101 - asked for only where there is one
        start = self._hash
        if rows == 1:
            digest = start.copy()
            for tensor in inputs:
                digest.update(b"%d\0" % len(tensor.data))
                digest.update(tensor.data)
            return digest.digest()
        hashes = [start.copy() for _ in range(rows)]
        for tensor in inputs:
            data = memoryview(tensor.data)
            for digest, (begin, end) in zip(hashes, pairwise(row_bounds(tensor)), strict=True):
                digest.update(b"%d\0" % (end - begin))
                digest.update(data[begin:end])
        return b"".join([digest.digest() for digest in hashes])

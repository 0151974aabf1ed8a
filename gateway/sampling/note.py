# SPDX-License-Identifier: Apache-2.0
"""Note: what is remembered of an answered request until it is handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from gateway.wire.message import InferResponse, Trace


class Note(msgspec.Struct, eq=False, gc=False):
    """One answer, to *rows* rows; made for every request, so it holds no more than it must.

    *id* is the inference id, *slice* the place of its values. *labels* are those that came with
    it. *key* is the digest of the question, or of each row's, 16 bytes each; None without one.
    *time* is in seconds since the epoch, *pi* the probability with which it was chosen.
    """

    id: str
    tenant: str
    slice: int
    labels: tuple[Any, ...] | None
    key: bytes | None
    trace: Trace
    response: InferResponse
    rows: int
    time: float
    pi: float

    @property
    def digest(self) -> str:
        """The SHA-256 of the model file that the answer is of."""
        trace = self.trace
        far = trace.far
        return (far.digest if far is not None else "") or trace.digest


class Pair(msgspec.Struct, eq=False, gc=False):
    """What the *live* model and a shadow said to the same question."""

    live: Note
    shadow: Note

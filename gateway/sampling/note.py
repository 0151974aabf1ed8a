# SPDX-License-Identifier: Apache-2.0
"""Note: what is remembered of an answered request until it is handed over."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from gateway.wire.message import InferRequest, InferResponse
    from gateway.wire.tensor import Tensor


class Note(msgspec.Struct, eq=False, gc=False):
    """One answer, to *rows* rows.

    Made for every request, and read when the request is long gone: it has values of its own, as
    whatever it referred to would be fetched from memory again, one object after the other.

    *id* is the inference id, *slice* the place of its values. *labels* are those that came with
    it. *key* is the digest of the question, or of each row's, 16 bytes each; None without one.
    *outputs* are those of the answer, or those of the batch that *row* is a row of; -1 is none.
    *version*, *endpoint* and *digest* say who answered, *cached* that a cache did, *stand_in* which
    model did in the place of the one asked. *time* is in seconds since the epoch, *pi* the
    probability with which it was chosen.
    """

    id: str
    tenant: str
    slice: int
    labels: tuple[Any, ...] | None
    key: bytes | None
    outputs: tuple[Tensor, ...]
    row: int
    version: str
    endpoint: str
    digest: str
    cached: bool
    stand_in: str
    probe: bool
    rows: int
    time: float
    pi: float

    @property
    def size(self) -> int:
        """Bytes of the outputs that are kept for it alone."""
        return 0 if self.row >= 0 else sum([len(each.data) for each in self.outputs])


def noted(
    request: InferRequest, response: InferResponse, key: bytes | None, rows: int, pi: float
) -> Note:
    """The note of *response* to *request*, which is complete."""
    trace = request.trace
    far = trace.far
    if far is None:
        endpoint, digest = trace.endpoint, trace.digest
    else:
        endpoint, digest = far.endpoint, far.digest or trace.digest
    batch = response.rows
    if batch is None:
        outputs, row = response.outputs, -1
    else:
        outputs, row = batch.outputs, response.row
    return Note(
        request.inference_id, request.tenant, request.slice, request.labels, key,
        outputs, row, response.version, endpoint, digest,
        trace.age is not None, trace.stand_in, trace.probe, rows, time(), pi,
    )  # fmt: skip


class Pair(msgspec.Struct, eq=False, gc=False):
    """What the *live* model and a shadow said to the same question."""

    live: Note
    shadow: Note

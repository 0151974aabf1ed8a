# SPDX-License-Identifier: Apache-2.0
"""Shelf: the answers of one model in this process's memory, fresh ones and, for a while, stale."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.wire.message import InferResponse

if TYPE_CHECKING:
    from gateway.stores.memory import Entry, MemoryStore
    from gateway.wire.tensor import Tensor

# Bytes of Python objects, measured with tracemalloc.
_RESPONSE: Final = 360
_TENSOR: Final = 160
_ENCODED: Final = 200


class Cached(msgspec.Struct, eq=False, gc=False):
    """A stored response, fresh until the instant *fresh*.

    *size* is without its encoded bodies, of which *forms* are counted. *cost* is what the model
    took for it, in seconds. *once*: nobody has asked for it again yet, and no other store has it.
    """

    response: InferResponse
    size: int
    fresh: float
    cost: float
    once: bool
    forms: int = 0


class Shelf:
    """Keeps responses in *store*, which other models share.

    *ttl* seconds, less a random share of at most *jitter*, is how long an answer is fresh; *grace*
    is how long it is kept behind that. One with more than *max_entry_bytes* of outputs is not kept.
    """

    def __init__(
        self,
        store: MemoryStore[Cached],
        *,
        ttl: float,
        jitter: float,
        grace: float,
        max_entry_bytes: int,
        rng: Random,
    ) -> None:
        self._store = store
        self._ttl = ttl
        self._jitter = jitter
        self._grace = grace
        self._max_entry_bytes = max_entry_bytes
        self._random = rng.random
        # Looked at for every request: bound once.
        self.find = store.entry
        self.drop = store.drop

    def __repr__(self) -> str:
        return repr(self._store)

    def keep(
        self,
        key: bytes,
        response: InferResponse,
        now: float,
        *,
        cost: float,
        left: float | None = None,
        once: bool = False,
    ) -> Cached | None:
        """What is stored of *response* at the instant *now*, None where it is too large.

        *left* seconds is how long it is fresh, less than nothing if it was stale already; None
        begins a new time to live.
        """
        payload = sum([output.nbytes for output in response.outputs])
        if payload > self._max_entry_bytes:
            return None
        # An output may be a slice of a whole batch, which an entry must not keep alive.
        outputs = tuple([output.owned() for output in response.outputs])
        kept = InferResponse(outputs, version=response.version, parameters=response.parameters)
        kept.encoded = {}
        size = _RESPONSE + payload + _TENSOR * len(outputs)
        if left is None:
            left = self._ttl * (1.0 - self._jitter * self._random())
        cached = Cached(kept, size, now + left, cost, once)
        expected = _ENCODED + sum([_text_size(output) for output in outputs])
        if not self._store.put(key, cached, size + expected, ttl=left + self._grace):
            return None
        return cached

    def weigh(self, key: bytes, entry: Entry[Cached]) -> None:
        """Count the bodies that codecs have left on a response; too many of them are let go."""
        cached = entry.value
        encoded = cached.response.encoded
        if encoded is None or len(encoded) == cached.forms:
            return
        own = {id(output.data) for output in cached.response.outputs}
        bodies = sum([_ENCODED + _body_size(body, own) for body in encoded.values()])
        if bodies > 2 * self._max_entry_bytes:
            encoded.clear()
            bodies = 0
        cached.forms = len(encoded)
        self._store.resize(key, entry, cached.size + bodies)


def _text_size(tensor: Tensor) -> int:
    """About how many bytes *tensor* takes as JSON."""
    if tensor.datatype == "BYTES":
        return tensor.nbytes
    count = 1
    for dimension in tensor.shape:
        count *= dimension
    return 12 * count


def _body_size(body: Any, own: set[int]) -> int:  # noqa: ANN401 - a codec keeps what it likes
    """The bytes that *body* adds, those in *own* being counted already."""
    if isinstance(body, (bytes, bytearray, memoryview, str)):
        return 0 if id(body) in own else len(body)
    if isinstance(body, (tuple, list)):
        return sum([_body_size(part, own) for part in body])
    return 0

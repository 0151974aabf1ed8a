# SPDX-License-Identifier: Apache-2.0
"""Cache: an equal question gets the answer that is there, or the one that is being made.

A hit does not wait: it creates no task and leaves the loop alone. Keys carry the model's digest,
so that an entry never becomes wrong; its time to live bounds memory and is the operator's policy.
"""

from __future__ import annotations

from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.errors import OnlyIfCached
from gateway.stages.cache_key import CacheKey
from gateway.stages.fill import Fills
from gateway.wire.message import InferResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.stores.memory import Entry, MemoryStore
    from gateway.telemetry import Telemetry
    from gateway.wire.message import InferRequest, Service
    from gateway.wire.tensor import Tensor

# Parameters that tie a request to others before it.
_STATEFUL: Final = frozenset({"sequence_id", "sequence_start", "sequence_end"})
# Bytes of Python objects, measured with tracemalloc.
_RESPONSE: Final = 320
_TENSOR: Final = 160
_ENCODED: Final = 200


class Cached(msgspec.Struct, eq=False, gc=False):
    """A stored response; *size* is without its encoded bodies, of which *forms* are counted."""

    response: InferResponse
    size: int
    forms: int = 0


class Cache:
    """Looks each question up in *store*, and merges equal ones that are asked at the same time.

    *ttl* seconds, less a random share of at most *jitter*, is how long an answer is kept; one with
    more than *max_entry_bytes* of outputs is not. *lock_timeout* seconds is how long a request
    waits for an equal one before it asks the model itself. *digest* gives what stands for the model
    file, its version and the steps around it now: entries of another are not found. *secret* is
    that of `CacheKey`. *clock* must be that of *store*.
    """

    def __init__(
        self,
        inner: Service,
        *,
        model: str,
        store: MemoryStore[Cached],
        digest: Callable[[], bytes],
        secret: bytes,
        telemetry: Telemetry,
        ttl: float = 3600.0,
        jitter: float = 0.1,
        lock_timeout: float = 5.0,
        max_entry_bytes: int = 4 << 20,
        clock: Callable[[], float] = perf_counter,
        rng: Random | None = None,
    ) -> None:
        self._inner = inner
        self._model = model
        self._store = store
        self._key = CacheKey(model, secret=secret)
        self._digest = digest
        self._ttl = ttl
        self._jitter = jitter
        self._max_entry_bytes = max_entry_bytes
        self._clock = clock
        self._random = (rng if rng is not None else Random()).random
        self._fills = Fills(inner, self._keep, lock_timeout=lock_timeout, clock=clock)
        self._hits = telemetry.cache.cell(model, "memory", "hit")
        self._misses = telemetry.cache.cell(model, "memory", "miss")
        self._bypasses = telemetry.cache.cell(model, "memory", "bypass")
        self._collapsed = telemetry.collapsed.cell(model)
        self._observe = telemetry.cache_seconds.cell("memory").observe

    def __repr__(self) -> str:
        return f"<Cache {self._model} {self._fills!r} {self._store!r}>"

    async def __call__(self, request: InferRequest) -> InferResponse:
        """Answer *request*; raises OnlyIfCached, DeadlineExceeded, or what the model's run raises.

        Fills in the request's key and, on its trace, what the cache did.
        """
        rules, trace = request.rules, request.trace
        parameters = request.parameters
        if rules.no_store or (parameters and not _STATEFUL.isdisjoint(parameters)):
            return await self._bypass(request)
        started = self._clock()
        key = request.key
        if key is None:
            key = request.key = self._key(request, self._digest())
        found = None if rules.no_cache else self._store.entry(key, started)
        if found is not None:
            age = started - found.stored
            if rules.max_age is None or age <= rules.max_age:
                cached = found.value
                encoded = cached.response.encoded
                if encoded is not None and len(encoded) != cached.forms:
                    self._weigh(key, found, encoded)
                self._hits.value += 1
                trace.age = age
                trace.cache = f"hit; ttl={int(found.expires - started)}"
                trace.lookup = seconds = self._clock() - started
                self._observe(seconds)
                return cached.response
        self._misses.value += 1
        trace.lookup = seconds = self._clock() - started
        self._observe(seconds)
        if rules.only_if_cached:
            trace.cache = "fwd=miss"
            raise OnlyIfCached("the request asks for a cached answer only, and there is none")
        if found is not None or rules.no_cache:
            # Asked for an answer younger than any that is there or under way.
            asked = trace.digest
            response = await self._inner(request)
            stored = False
            if trace.gather().digest == asked:
                response, stored = self._keep(key, response)
            trace.cache = "fwd=request; stored" if stored else "fwd=request"
            return response
        fill = self._fills.running(key, started)
        if fill is None:
            trace.cache = "fwd=uri-miss"
            response, stored = await self._fills.lead(key, request)
            if stored:
                trace.cache = "fwd=uri-miss; stored"
            return response
        trace.cache = "fwd=uri-miss; collapsed"
        followed = await self._fills.follow(fill, request)
        if followed is None:
            trace.cache = "fwd=uri-miss; detail=lock-timeout"
            return await self._inner(request)
        self._collapsed.value += 1
        return followed

    async def _bypass(self, request: InferRequest) -> InferResponse:
        rules = request.rules
        self._bypasses.value += 1
        request.trace.cache = "fwd=request" if rules.no_store else "fwd=bypass; detail=sequence"
        if rules.only_if_cached:
            raise OnlyIfCached("the request asks for a cached answer, but must not be cached")
        return await self._inner(request)

    def _keep(self, key: bytes, response: InferResponse) -> tuple[InferResponse, bool]:
        """The response to hand out, and whether it is stored."""
        payload = sum([output.nbytes for output in response.outputs])
        if payload > self._max_entry_bytes:
            return response, False
        # An output may be a slice of a whole batch, which an entry must not keep alive.
        outputs = tuple([output.owned() for output in response.outputs])
        kept = InferResponse(outputs, version=response.version, parameters=response.parameters)
        kept.encoded = {}
        size = _RESPONSE + payload + _TENSOR * len(outputs)
        ttl = self._ttl * (1.0 - self._jitter * self._random())
        expected = _ENCODED + sum([_text_size(output) for output in outputs])
        return kept, self._store.put(key, Cached(kept, size), size + expected, ttl=ttl)

    def _weigh(self, key: bytes, entry: Entry[Cached], encoded: dict[Any, Any]) -> None:
        """Count the bodies that codecs have left on a response; too many of them are let go."""
        cached = entry.value
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

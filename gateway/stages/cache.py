# SPDX-License-Identifier: Apache-2.0
"""Cache: an equal question gets the answer that is there, or the one that is being made.

A hit does not wait: it creates no task and leaves the loop alone. Keys carry the model's digest,
so that an entry never becomes wrong; its time to live bounds memory and is the operator's policy.
Where looking up costs more than it saves, requests pass by, but for a few that watch for a change.
"""

from __future__ import annotations

from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.errors import OnlyIfCached
from gateway.stages.cache_key import SIZE, CacheKey
from gateway.stages.cache_rows import RowCache
from gateway.stages.fill import Fills
from gateway.stages.freshness import NO_ANSWER, Freshness
from gateway.stages.payoff import Payoff, share_of_run
from gateway.stages.repeat import CachedRepeat
from gateway.stages.row_batch import has_rows
from gateway.stages.shelf import Cached, Shelf
from gateway.stages.upkeep import Upkeep
from gateway.wire.message import NO_RULES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from gateway.stages.fill import Fill
    from gateway.stages.shared_tier import SharedTier
    from gateway.stores.memory import Entry, MemoryStore
    from gateway.telemetry import Telemetry
    from gateway.wire.message import InferRequest, InferResponse, Service, Trace

# Parameters that tie a request to others before it.
_STATEFUL: Final = frozenset({"sequence_id", "sequence_start", "sequence_end"})
_NEVER_STALE: Final = Freshness()


class Cache:
    """Looks each question up in *store*, and merges equal ones that are asked at the same time.

    *digest* gives what stands for the model file, its version and the steps around it now: entries
    of another are not found. *scope* gives what keeps a tenant's entries from others, and *rowwise*
    says whether the rows of a batch are questions of their own now. *secret* is that of `CacheKey`;
    *ttl*, *jitter* and *max_entry_bytes* are those of `Shelf`. *lock_timeout* seconds is how long a
    request waits for an equal one before it asks the model itself. *verify* is the share of hits
    that are asked again and compared. *obeys* are the tenants whose ``Cache-Control`` is obeyed,
    None for all. *shared* is where others find answers too; the stage below looks there.
    *clock* must be that of *store*.
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
        scope: Callable[[str], bytes] = lambda _: b"",
        rowwise: Callable[[], bool] = lambda: False,
        ttl: float = 3600.0,
        jitter: float = 0.1,
        lock_timeout: float = 5.0,
        max_entry_bytes: int = 4 << 20,
        freshness: Freshness = _NEVER_STALE,
        verify: float = 0.0,
        obeys: Collection[str] | None = None,
        payoff: Payoff | None = None,
        shared: SharedTier | None = None,
        clock: Callable[[], float] = perf_counter,
        rng: Random | None = None,
    ) -> None:
        rng = rng if rng is not None else Random()
        self._inner = inner
        self._model = model
        self._digest = digest
        self._scope = scope
        self._rowwise = rowwise
        self._obeys = obeys
        self._freshness = freshness
        self._shared = shared
        self._clock = clock
        self._key = CacheKey(model, secret=secret)
        self._shelf = Shelf(
            store,
            ttl=ttl,
            jitter=jitter,
            grace=freshness.grace,
            max_entry_bytes=max_entry_bytes,
            rng=rng,
        )
        self._find = self._shelf.find
        self._fills = Fills(inner, self._keep, lock_timeout=lock_timeout, clock=clock)
        self._upkeep = Upkeep(
            inner,
            self._shelf,
            model=model,
            verify=verify,
            shared=shared,
            telemetry=telemetry,
            clock=clock,
            rng=rng,
        )
        self.payoff: Final = payoff if payoff is not None else Payoff(always=True)
        self._rows = RowCache(
            self._fills,
            self._shelf,
            self._upkeep,
            self.payoff,
            model=model,
            freshness=freshness,
            shared=shared is not None,
            telemetry=telemetry,
            clock=clock,
        )
        results = ("hit", "stale", "miss", "bypass")
        self._hits, self._stale, self._misses, self._bypasses = (
            telemetry.cache.cell(model, "memory", result) for result in results
        )
        self._collapsed = telemetry.collapsed.cell(model)
        self._saved = telemetry.cache_saved_seconds.cell(model)
        self._observe = telemetry.cache_seconds.cell("memory").observe

    def __repr__(self) -> str:
        return f"<Cache {self._model} {self._fills!r} {self.payoff!r} {self._shelf!r}>"

    def __call__(self, request: InferRequest) -> Awaitable[InferResponse]:
        """Answer *request*; raises OnlyIfCached, DeadlineExceeded, or what the model's run raises.

        Fills in the request's key and, on its trace, what the cache did.
        """
        rules = request.rules
        if rules is not NO_RULES:
            if self._obeys is not None and request.tenant not in self._obeys:
                rules = request.rules = NO_RULES
            elif rules.no_store:
                return self._pass(request, "fwd=request")
        parameters = request.parameters
        if parameters and not _STATEFUL.isdisjoint(parameters):
            return self._pass(request, "fwd=bypass; detail=sequence")
        payoff = self.payoff
        if payoff.idle and not (rules.only_if_cached or payoff.explores(request.inputs)):
            # As `_pass`, without the call.
            self._bypasses.value += 1
            request.trace.cache = "fwd=bypass; detail=no-gain"
            return self._inner(request)
        return self._answer(request)

    def repeat(self, key: bytes) -> CachedRepeat | None:
        """What is found under *key*, to be given again past the stages; not the rows of a batch."""
        entry = self._find(key, self._clock()) if len(key) == SIZE else None
        if entry is None:
            return None
        return CachedRepeat(
            key,
            entry.value,
            find=self._find,
            hits=self._hits,
            saved=self._saved,
            observe=self._observe,
            payoff=self.payoff,
            upkeep=self._upkeep,
        )

    def _pass(self, request: InferRequest, status: str) -> Awaitable[InferResponse]:
        self._bypasses.value += 1
        request.trace.cache = status
        if request.rules.only_if_cached:
            raise OnlyIfCached("the request asks for a cached answer only, but must not be cached")
        return self._inner(request)

    async def _answer(self, request: InferRequest) -> InferResponse:
        rules, trace = request.rules, request.trace
        started = self._clock()
        key = request.key
        if key is None:
            key = request.key = self._keyed(request)
        if len(key) > SIZE:
            return await self._rows.answer(request, key, started)
        found = None if rules.no_cache else self._find(key, started)
        if found is not None:
            cached = found.value
            left = cached.fresh - started
            age = started - found.stored
            # The usual case first, and without a call.
            if (left > 0 and rules is NO_RULES) or self._freshness.will_do(rules, age, left):
                trace.age = age
                # Rounded down: what has been stale for half a second must not say 0.
                trace.cache = f"hit; ttl={int(left // 1)}"
                self._count_hit(key, request, found, left)
                trace.lookup = seconds = self._clock() - started
                self._observe(seconds)
                self.payoff.spent += seconds
                return cached.response
        self._misses.value += 1
        trace.lookup = seconds = self._clock() - started
        self._observe(seconds)
        if rules.only_if_cached and self._shared is None:
            trace.cache = "fwd=miss"
            raise OnlyIfCached("the request asks for a cached answer only, and there is none")
        old = None
        if found is not None and self._freshness.in_need(rules, found.value.fresh - started):
            old = found
            if not self._freshness.ready():
                # It would wait for a worker until its deadline.
                return self._in_need(request, old)
        try:
            return await self._fill(key, request, stale=found is not None)
        except NO_ANSWER:
            if old is None:
                raise
            return self._in_need(request, old)

    def _count_hit(
        self, key: bytes, request: InferRequest, entry: Entry[Cached], left: float
    ) -> None:
        """Count a hit, and see to what is to be done about its entry."""
        cached = entry.value
        self._saved.value += cached.cost
        if left > 0:
            self._hits.value += 1
        else:
            self._stale.value += 1
            self._upkeep.renew(key, request)
        upkeep = self._upkeep
        upkeep.until_check -= 1
        if cached.once or upkeep.until_check <= 0:
            upkeep.hit(key, cached, left, request)
        if len(cached.response.encoded or ()) != cached.forms:
            self._shelf.weigh(key, entry)
        payoff = self.payoff
        if payoff.idle:
            payoff.looked(0.0, hit=1.0)
        else:
            # Nothing to decide where all are hits.
            payoff.lookups += 1
            payoff.hits += 1.0

    def _keyed(self, request: InferRequest) -> bytes:
        scope = self._scope(request.tenant)
        shape = request.inputs[0].shape if request.inputs else ()
        if shape and shape[0] > 1 and self._rowwise() and has_rows(request):
            return b"".join(self._key.rows(request, self._digest(), scope))
        return self._key(request, self._digest(), scope)

    async def _fill(self, key: bytes, request: InferRequest, *, stale: bool) -> InferResponse:
        """The answer to a question that has none here, or one that is too *stale* for it."""
        rules, trace = request.rules, request.trace
        if rules.no_cache or (stale and rules is not NO_RULES):
            # Asked for an answer younger than any that is there or under way.
            return await self._anew(key, request)
        fill = self._fills.running(key, self._clock())
        if fill is None:
            self.payoff.looked(trace.lookup)
            response, stored = await self._fills.lead(key, request)
            _told(trace, "fwd=stale" if stale else "fwd=uri-miss", stored=stored)
            return response
        self.payoff.looked(trace.lookup, hit=1.0)
        trace.cache = "fwd=uri-miss; collapsed"
        followed = await self._fills.follow(fill, request)
        if followed is None:
            trace.cache = "fwd=uri-miss; detail=lock-timeout"
            return await self._inner(request)
        self._collapsed.value += 1
        return followed

    async def _anew(self, key: bytes, request: InferRequest) -> InferResponse:
        trace = request.trace
        asked, started = trace.digest, self._clock()
        response = await self._inner(request)
        kept = None
        if trace.gather().digest == asked:
            left, cost = trace.kept or (None, self._clock() - started)
            kept = self._shelf.keep(key, response, self._clock(), cost=cost, left=left)
        _told(trace, "fwd=request", stored=kept is not None)
        return response if kept is None else kept.response

    def _in_need(self, request: InferRequest, old: Entry[Cached]) -> InferResponse:
        """The answer that is too old, as there is no other."""
        now = self._clock()
        left = old.value.fresh - now
        request.trace.age = now - old.stored
        request.trace.cache = f"hit; ttl={int(left // 1)}; detail=stale-if-error"
        self._stale.value += 1
        return old.value.response

    def _keep(
        self, fill: Fill, response: InferResponse, request: InferRequest
    ) -> tuple[InferResponse, bool]:
        """The response to hand out, and whether it is stored."""
        now = self._clock()
        known = request.trace.kept
        if known is None:
            # One run gave the answers to all the questions in the key.
            questions = max(1, len(request.key or b"") // SIZE)
            cost = (now - fill.started) / questions
            left, once = None, self._shared is not None
            self.payoff.ran(share_of_run(request.trace.gather(), cost * questions, questions))
        else:
            (left, cost), once = known, False
        cached = self._shelf.keep(fill.key, response, now, cost=cost, left=left, once=once)
        if cached is None:
            return response, False
        if once and fill.followed and self._shared is not None:
            # Asked for twice at once is asked for twice.
            cached.once = False
            self._shared.publish(fill.key, cached.response, left=cached.fresh - now, cost=cost)
        self.payoff.inserted(self._clock() - now)
        if response.rows is not None and not fill.followed:
            # A row of a batch has its text from all rows at once; what is stored has none yet.
            return response, True
        return cached.response, True


def _told(trace: Trace, forwarded: str, *, stored: bool) -> None:
    """Note on *trace* where an answer came from that was not here."""
    if trace.kept is not None:
        trace.cache = f"hit; ttl={int(trace.kept[0] // 1)}; detail=shared"
    else:
        trace.cache = forwarded + ("; stored" if stored else "")

# SPDX-License-Identifier: Apache-2.0
"""Shared: looks for an answer where other processes and hosts keep theirs, before the model.

Of equal questions that are asked in several places at once, one goes to the model; the others wait
for its answer to turn up, but not long. Whatever is wrong with the store, the model is asked.
"""

from __future__ import annotations

from hashlib import blake2b
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.errors import OnlyIfCached
from gateway.stages.cache_key import SIZE
from gateway.stages.freshness import NO_ANSWER
from gateway.stages.merge import split
from gateway.stages.payoff import Payoff, share_of_run
from gateway.stages.row_batch import rows_of
from gateway.wire.message import InferResponse
from gateway.wire.rows import join

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.stages.freshness import Freshness
    from gateway.stages.shared_tier import SharedTier
    from gateway.stores.store import Kept
    from gateway.telemetry import Telemetry
    from gateway.wire.message import InferRequest, Service

# A lease ends by itself after so many times what an answer takes, and not before so many seconds:
# its holder may have died.
_LEASE_TIMES: Final = 3.0
_LEASE_LEAST: Final = 1.0
_LEASE_MOST: Final = 60.0


class Shared:
    """Answers out of *tier* what it has; all else goes on, and the answer is put there.

    *freshness* and *lock_timeout* are those of `Cache`. *clock* gives seconds.
    """

    def __init__(
        self,
        inner: Service,
        *,
        model: str,
        tier: SharedTier,
        freshness: Freshness,
        telemetry: Telemetry,
        lock_timeout: float = 5.0,
        payoff: Payoff | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._inner = inner
        self._model = model
        self._tier = tier
        self._store = tier.store
        self._freshness = freshness
        self._lock_timeout = lock_timeout
        self.payoff: Final = payoff if payoff is not None else Payoff(always=True)
        self._clock = clock
        # Seconds until an answer is there, waiting included.
        self._usual = 0.0
        self._hits, self._misses, self._bypasses, self._stale = (
            telemetry.cache.cell(model, "redis", result)
            for result in ("hit", "miss", "bypass", "stale")
        )
        self._collapsed = telemetry.collapsed.cell(model)
        self._saved = telemetry.cache_saved_seconds.cell(model)

    def __repr__(self) -> str:
        return f"<Shared {self._model} {self.payoff!r} {self._tier!r}>"

    def __call__(self, request: InferRequest) -> Awaitable[InferResponse]:
        """Answer *request*, whose key is that of `Cache`; raises what the model's run raises.

        An answer from the store is told by *age* and *kept* on the trace.
        """
        key = request.key
        if key is None or request.rules.no_store:
            return self._inner(request)
        if not self._store.available:
            return self._pass(request)
        if self.payoff.idle and not self.payoff.explores(request.inputs):
            return self._pass(request)
        return self._answer(request, key)

    def _pass(self, request: InferRequest) -> Awaitable[InferResponse]:
        self._bypasses.value += 1
        if request.rules.only_if_cached:
            raise OnlyIfCached("the request asks for a cached answer only, and there is none")
        return self._inner(request)

    async def _answer(self, request: InferRequest, joined: bytes) -> InferResponse:
        keys = [joined[at : at + SIZE] for at in range(0, len(joined), SIZE)]
        started = self._clock()
        found: list[Kept[InferResponse] | None] | None = [None] * len(keys)
        if not request.rules.no_cache:
            found = await self._tier.fetch(keys)
        # A store that has not answered is not asked for a lease: a request waits for it once.
        alone = found is None
        found = found or [None] * len(keys)
        seconds = self._clock() - started
        request.trace.lookup += seconds
        usable = [kept if kept is not None and self._will_do(request, kept) else None
                  for kept in found]  # fmt: skip
        known = [kept for kept in usable if kept is not None]
        self.payoff.looked(seconds, hit=len(known) / len(keys))
        if len(known) == len(keys):
            return self._had(request, known)
        self._misses.value += 1
        if request.rules.only_if_cached:
            raise OnlyIfCached("the request asks for a cached answer only, and there is none")
        old = [
            kept for kept in found
            if kept is not None and self._freshness.in_need(request.rules, self._tier.left(kept))
        ]  # fmt: skip
        in_need = len(old) == len(keys)
        if in_need and not self._freshness.ready():
            # It would wait for a worker until its deadline.
            return self._had(request, old)
        try:
            return await self._filled(request, keys, usable, alone=alone)
        except NO_ANSWER:
            if not in_need:
                raise
            return self._had(request, old)

    def _will_do(self, request: InferRequest, kept: Kept[InferResponse]) -> bool:
        return self._freshness.will_do(request.rules, kept.age, self._tier.left(kept))

    def _had(self, request: InferRequest, kept: list[Kept[InferResponse]]) -> InferResponse:
        """The answer that the store has, noted on the request's trace."""
        trace = request.trace
        left = min([self._tier.left(each) for each in kept])
        (self._hits if left > 0 else self._stale).value += 1
        cost = sum([each.cost for each in kept])
        self._saved.value += cost
        trace.age = max([each.age for each in kept])
        trace.kept = (left, cost / len(kept))
        return _joined([each.value for each in kept])

    async def _filled(
        self,
        request: InferRequest,
        keys: list[bytes],
        usable: list[Kept[InferResponse] | None],
        *,
        alone: bool,
    ) -> InferResponse:
        """The answer to *request*, for what is not in *usable* by the model or somebody else.

        *alone*: nobody else is asked.
        """
        rows = [row for row, kept in enumerate(usable) if kept is None]
        missing = [keys[row] for row in rows]
        asked, digest = request, request.trace.digest
        if len(rows) < len(keys):
            asked = rows_of(request, rows)
            asked.key = b"".join(missing)
        place = self._place(missing)
        token = b"" if alone else await self._store.lease(place, self._lease())
        if token is None:
            others = await self._awaited(request, missing, place)
            if others is not None:
                self._collapsed.value += 1
                return self._had(request, self._all(usable, others))
            # Whoever it was did not make it: one of those who waited is next.
            token = await self._store.lease(place, self._lease())
        try:
            made = await self._made(asked, missing)
        finally:
            if token:
                self._store.release(place, token)
        if len(rows) == len(keys):
            return made
        if request.trace.gather().digest != digest:
            # Half an answer of one model file and half of another is an answer of none.
            return await self._inner(request)
        # What is put together is as old as its oldest part.
        known = [kept for kept in usable if kept is not None]
        request.trace.kept = (
            min([self._tier.left(kept) for kept in known]),
            sum([kept.cost for kept in known]) / len(known),
        )
        parts = iter(split(made, [1] * len(rows)))
        return _joined([next(parts) if kept is None else kept.value for kept in usable])

    async def _made(self, asked: InferRequest, keys: list[bytes]) -> InferResponse:
        """The model's answer, which is stored."""
        started = self._clock()
        digest = asked.trace.digest
        response = await self._inner(asked)
        elapsed = self._clock() - started
        self._usual += (0.1 if self._usual else 1.0) * (elapsed - self._usual)
        cost = elapsed / len(keys)
        trace = asked.trace.gather()
        self.payoff.ran(share_of_run(trace, elapsed, len(keys)))
        if trace.digest == digest:
            parts = [response] if len(keys) == 1 else split(response, [1] * len(keys))
            for key, part in zip(keys, parts, strict=True):
                outputs = tuple([output.owned() for output in part.outputs])
                whole = InferResponse(outputs, response.version, response.parameters)
                self._tier.first(key, whole, cost=cost)
        return response

    async def _awaited(
        self, request: InferRequest, keys: list[bytes], place: bytes
    ) -> list[Kept[InferResponse]] | None:
        """What another one makes of the same question, None if it takes too long or fails."""
        patience = min(request.deadline - self._clock(), self._lock_timeout)
        first = await self._store.wait(place, patience)
        found = [first] if len(keys) == 1 else await self._tier.fetch(keys) or []
        kept = [each for each in found if each is not None and self._will_do(request, each)]
        return kept if len(kept) == len(keys) else None

    def _place(self, keys: list[bytes]) -> bytes:
        """What is leased for a question: its key, or what stands for all of them."""
        if len(keys) == 1:
            return self._tier.key(keys[0])
        return self._tier.key(blake2b(b"".join(keys), digest_size=SIZE).digest())

    def _lease(self) -> float:
        usual = self._usual
        if not usual:
            # Nobody waits for longer, and too short a lease has the model asked twice.
            return self._lock_timeout
        return min(_LEASE_MOST, max(_LEASE_LEAST, _LEASE_TIMES * usual))

    def _all(
        self, usable: list[Kept[InferResponse] | None], others: list[Kept[InferResponse]]
    ) -> list[Kept[InferResponse]]:
        rest = iter(others)
        return [next(rest) if kept is None else kept for kept in usable]


def _joined(parts: list[InferResponse]) -> InferResponse:
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    outputs = join([part.outputs for part in parts], [1] * len(parts))
    return InferResponse(outputs, first.version, first.parameters)

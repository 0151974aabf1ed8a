# SPDX-License-Identifier: Apache-2.0
"""Upkeep: what is done about cached answers besides giving them, while nobody waits for it.

A stale one is made anew, one that is asked for again is stored where others find it too, and a
small share of all hits is asked again and compared: a key that leaves something out, a model that
is no pure function and an entry that somebody has changed all show in that.
"""

from __future__ import annotations

import logging
from asyncio import CancelledError
from typing import TYPE_CHECKING, Final

from gateway.drive import Drive
from gateway.errors import GatewayError
from gateway.stages.row_batch import rows_of
from gateway.wire.agreement import agree
from gateway.wire.message import CacheRules, InferRequest, InferResponse

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.stages.shared_tier import SharedTier
    from gateway.stages.shelf import Cached, Shelf
    from gateway.telemetry import Telemetry
    from gateway.wire.message import Service

log: Final = logging.getLogger(__name__)

# At most so many runs at a time: they are to take what is left over, not what clients wait for.
MOST: Final = 4
# The lowest that there is.
_PRIORITY: Final = 1 << 31
# Seconds. Nobody waits, but nothing may be under way for ever.
_PATIENCE: Final = 30.0
# A refreshed answer may be one that another process has made; a checked one is the model's own.
_REFRESH: Final = CacheRules(min_fresh=1e-3)
_CHECK: Final = CacheRules(no_store=True)


class Upkeep:
    """Cares for the answers on *shelf*; asks *service* in the background, each key once at a time.

    *verify* is the share of hits that are checked, at random by *rng*. *shared* is where
    others find answers too.
    """

    def __init__(
        self,
        service: Service,
        shelf: Shelf,
        *,
        model: str,
        verify: float,
        shared: SharedTier | None,
        telemetry: Telemetry,
        clock: Callable[[], float],
        rng: Random,
        most: int = MOST,
    ) -> None:
        self._service = service
        self._shelf = shelf
        self._model = model
        self._verify = verify
        self._shared = shared
        self._clock = clock
        self._rng = rng
        self._most = most
        self._running: dict[bytes, Drive[InferResponse]] = {}
        self._verified = telemetry.cache_verified
        # Hits until the next check; whoever has one counts it, without a call.
        self.until_check = self._gap()

    def __repr__(self) -> str:
        return f"<Upkeep {len(self._running)} running>"

    def hit(
        self,
        key: bytes,
        cached: Cached,
        left: float,
        question: InferRequest,
        *,
        row: int | None = None,
    ) -> None:
        """*cached*, fresh for *left* seconds, is given as the answer to *question* or its *row*.

        To be told of the first hit of an entry, and when a check is due.
        """
        if cached.once:
            cached.once = False
            if self._shared is not None:
                self._shared.publish(key, cached.response, left=left, cost=cached.cost)
        if self.until_check <= 0:
            self.until_check = self._gap()
            asked = question if row is None else rows_of(question, (row,))
            self._ask(key, asked, _CHECK, lambda _, given: self._compare(key, cached, given))

    def renew(self, key: bytes, question: InferRequest) -> None:
        """Have the answer to *question* made anew."""

        def done(request: InferRequest, given: InferResponse | None) -> None:
            trace = request.trace
            if given is None or trace.gather().digest != question.trace.digest:
                return
            left, cost = trace.kept or (None, self._clock() - started)
            self._shelf.keep(key, given, self._clock(), cost=cost, left=left)

        started = self._clock()
        self._ask(key, question, _REFRESH, done)

    def _gap(self) -> int:
        """How many hits until the next check."""
        if self._verify <= 0:
            return 1 << 62
        return 1 + int(self._rng.expovariate(self._verify))

    def _ask(
        self,
        key: bytes,
        question: InferRequest,
        rules: CacheRules,
        done: Callable[[InferRequest, InferResponse | None], None],
    ) -> None:
        if key in self._running or len(self._running) >= self._most:
            return
        request = InferRequest(
            question.model,
            question.inputs,
            outputs=question.outputs,
            parameters=question.parameters,
            deadline=self._clock() + _PATIENCE,
            priority=_PRIORITY,
            rules=rules,
            key=key,
            tenant=question.tenant,
        )
        request.trace.digest = question.trace.digest
        request.trace.affinity = question.trace.affinity

        def ended(response: InferResponse | None, error: BaseException | None) -> None:
            self._running.pop(key, None)
            if error is not None and not isinstance(error, (GatewayError, CancelledError)):
                log.error("asking a model again failed", exc_info=error)
            # Any other error is told nobody: whoever asks next gets his own.
            done(request, response)

        drive = self._running[key] = Drive(ended)
        drive.call(self._service, request)

    def _compare(self, key: bytes, cached: Cached, given: InferResponse | None) -> None:
        if given is None:
            result = "failed"
        elif same(cached.response, given):
            result = "match"
        else:
            result = "mismatch"
            self._shelf.drop(key)
            if self._shared is not None:
                self._shared.drop(key, given)
            # Never what was asked or answered: that is the client's.
            log.error(
                "a cached answer differs from the model's; it is dropped",
                extra={"model": self._model, "key": key.hex()},
            )
        self._verified.cell(self._model, result).value += 1


def same(one: InferResponse, other: InferResponse) -> bool:
    """Whether both are the same answer, up to the last digits of its floating-point numbers."""
    first, second = one.outputs, other.outputs
    return len(first) == len(second) and all(map(agree, first, second))

# SPDX-License-Identifier: Apache-2.0
"""A cache under test, and how tests ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.drive import drive
from gateway.stages.cache import Cache
from gateway.stages.cache_rules import cache_rules
from gateway.stages.shelf import Cached
from gateway.stores.memory import MemoryStore
from gateway.telemetry import Telemetry
from tests.support.upstream import Clock, request

if TYPE_CHECKING:
    from gateway.wire.message import InferRequest, InferResponse, Service


class Kit:
    """A cache before *inner*, with the clock and the counters that it goes by."""

    def __init__(self, inner: Service, *, max_bytes: int = 1 << 20, **options: Any) -> None:
        self.clock = Clock()
        self.digest = b"d"
        self.telemetry = Telemetry(["m"])
        self.store: MemoryStore[Cached] = MemoryStore(max_bytes=max_bytes, clock=self.clock)
        options = {"ttl": 60.0, "jitter": 0.0, **options}
        self.cache = Cache(
            inner,
            model="m",
            store=self.store,
            digest=lambda: self.digest,
            secret=b"s" * 32,
            telemetry=self.telemetry,
            clock=self.clock,
            **options,
        )

    def counted(self, result: str) -> float:
        """How many requests had this *result*."""
        return self.telemetry.cache.cell("m", "memory", result).value


def now(cache: Cache, asked: InferRequest) -> InferResponse:
    """The answer to *asked*, which must come without waiting and without a loop."""
    ended: list[tuple[InferResponse | None, BaseException | None]] = []
    drive(cache(asked), lambda response, error: ended.append((response, error)))
    ((response, error),) = ended
    if error is not None:
        raise error
    assert response is not None
    return response


def ruled(header: str, *numbers: float) -> InferRequest:
    """A request with this ``Cache-Control``."""
    asked = request(*numbers)
    asked.rules = cache_rules(header)
    return asked

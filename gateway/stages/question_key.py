# SPDX-License-Identifier: Apache-2.0
"""QuestionKey: equal questions are placed alike, so that a worker's own caches know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.stages.cache_key import CacheKey

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.wire.message import InferRequest, InferResponse, Service

# Not a secret: gateway processes must agree on it, and the key leaves none of them.
_NAMED = b"infergate: place of a question"


class QuestionKey:
    """Puts the cache's key of each question for *model* on its trace, made here without a cache."""

    def __init__(self, inner: Service, *, model: str) -> None:
        self._inner = inner
        self._key = CacheKey(model, secret=_NAMED)

    def __repr__(self) -> str:
        return f"<QuestionKey {self._key!r}>"

    def __call__(self, request: InferRequest) -> Awaitable[InferResponse]:
        """Pass *request* on with its key."""
        # The key that a cache above has made is of this process alone: its secret is.
        request.trace.affinity = self._key(request, b"")
        return self._inner(request)

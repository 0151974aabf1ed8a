# SPDX-License-Identifier: Apache-2.0
"""Balance: the end of the model's stack; every call picks an endpoint afresh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import NoReadyEndpoint, UpstreamError

if TYPE_CHECKING:
    from gateway.upstream.pool import Pool
    from gateway.wire.message import InferRequest, InferResponse


class Balance:
    """Sends a request to the endpoint that the pool's policy picks."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __repr__(self) -> str:
        return f"<Balance {self._pool!r}>"

    async def __call__(self, request: InferRequest) -> InferResponse:
        """Send *request*; raises NoReadyEndpoint if none is ready, or what the endpoint raises."""
        pool = self._pool
        if request.parameters or pool.keyed:
            endpoint = pool.place(request)
        else:
            endpoint = pool.pick(request.avoid)
        if endpoint is None:
            raise NoReadyEndpoint(f"no endpoint of model '{request.model}' is ready")
        try:
            return await endpoint(request)
        except UpstreamError:
            request.avoid = (*request.avoid, endpoint.name)
            raise

# SPDX-License-Identifier: Apache-2.0
"""Rescue: the one place where an error becomes an answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.exchange import Answer, Exchange, ExchangeService

_log = logging.getLogger(__name__)


class Rescue:
    """Answers every error in the protocol's own form; cancellation passes.

    What is not a `GatewayError` is a fault of ours: it is logged whole, and the client learns
    nothing but the id to ask for.
    """

    def __init__(self, inner: ExchangeService) -> None:
        self._inner = inner

    def __repr__(self) -> str:
        return "<Rescue>"

    async def __call__(self, exchange: Exchange) -> Answer:
        """The answer of the stages below, or the form that their error takes."""
        try:
            return await self._inner(exchange)
        except GatewayError as error:
            return exchange.codec.refuse(exchange, error)
        except Exception:  # noqa: BLE001 - nothing may leave without an answer
            _log.exception(
                "internal error in request %s",
                exchange.request_id,
                extra={"request_id": exchange.request_id, "model": exchange.model},
            )
            hidden = GatewayError(f"internal error, see the log for {exchange.request_id}")
            return exchange.codec.refuse(exchange, hidden)

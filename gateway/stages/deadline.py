# SPDX-License-Identifier: Apache-2.0
"""Deadline: gives every exchange the instant by which it must be answered."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.errors import DeadlineExceeded, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.exchange import Answer, Exchange, ExchangeService

HEADER: Final = "x-request-timeout-ms"
_MOST_MS: Final = 86_400_000


class Deadline:
    """Sets ``exchange.deadline`` from *total* seconds, or less where the caller asks for less.

    The caller asks with ``X-Request-Timeout-Ms``. Time counts from the request's arrival, so what
    it spent on the way here is not given back. *total* 0 is no limit of our own. *clock* is that of
    ``exchange.arrived``.
    """

    def __init__(
        self,
        inner: ExchangeService,
        *,
        total: float,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._inner = inner
        self._total = total if total > 0 else float("inf")
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Deadline total={self._total}s>"

    def __call__(self, exchange: Exchange) -> Awaitable[Answer]:
        """Raises InvalidRequest on a header that is no timeout, DeadlineExceeded if time is up."""
        timeout = self._total
        asked = exchange.headers.get(HEADER)
        if asked is not None:
            timeout = min(timeout, _seconds(asked))
        exchange.deadline = exchange.arrived + timeout
        if exchange.deadline <= self._clock():
            raise DeadlineExceeded(
                f"the timeout of {timeout * 1000:.0f} ms was over before the request was begun"
            )
        return self._inner(exchange)


def _seconds(asked: str) -> float:
    # isdecimal alone takes other scripts' digits; nine digits are more than the most.
    digits = asked.strip(" \t")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 9) or not (
        1 <= int(digits) <= _MOST_MS
    ):
        raise InvalidRequest(
            f"header X-Request-Timeout-Ms: '{asked[:40]}' is not a whole number of milliseconds "
            f"from 1 to {_MOST_MS}"
        )
    return int(digits) / 1000

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
GRPC_HEADER: Final = "grpc-timeout"
_MOST_MS: Final = 86_400_000
# Seconds of each unit of gRPC's header (gRPC over HTTP/2, "Timeout").
_GRPC_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class Deadline:
    """Sets ``exchange.deadline`` from *total* seconds, or less where the caller asks for less.

    The caller asks with ``X-Request-Timeout-Ms``, or as gRPC does with ``grpc-timeout``; the less
    of the two counts. Time counts from the request's arrival, so what
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
        headers = exchange.headers
        if HEADER in headers:
            timeout = min(timeout, _seconds(headers[HEADER]))
        if GRPC_HEADER in headers:
            timeout = min(timeout, _grpc_seconds(headers[GRPC_HEADER]))
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


def _grpc_seconds(asked: str) -> float:
    """Up to eight digits and a unit; raises InvalidRequest for anything else."""
    number, unit = asked[:-1], asked[-1:]
    plain = number.isascii() and number.isdecimal() and len(number) <= 8
    if not plain or unit not in _GRPC_UNITS or not int(number):
        raise InvalidRequest(
            f"header grpc-timeout: '{asked[:40]}' is not a number of up to eight digits above 0 "
            "and a unit, one of H, M, S, m, u, n"
        )
    return int(number) * _GRPC_UNITS[unit]

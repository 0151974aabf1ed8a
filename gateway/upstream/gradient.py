# SPDX-License-Identifier: Apache-2.0
"""Gradient: how many requests a server works on best, found out from how long they take.

Source: Gradient2 of Netflix's concurrency-limits. It compares the latest times with their long
average: as long as more in flight does not make each one slower, the limit grows.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

# Samples over which the long average forgets.
_WINDOW: Final = 600
# How much slower than its average a request may be before the limit shrinks.
_TOLERANCE: Final = 1.5
# How quickly the limit follows what a sample asks for.
_SMOOTHING: Final = 0.2


class Gradient:
    """A limit between *least* and *most*, moved by `observe`.

    Times of requests of similar size are compared with each other only: powers of two of rows.
    """

    __slots__ = ("_averages", "_least", "_limit", "_most")

    def __init__(self, *, initial: int = 4, least: int = 1, most: int = 256) -> None:
        if not 1 <= least <= initial <= most:
            raise ValueError(f"expected 1 <= {least=} <= {initial=} <= {most=}")
        self._limit = float(initial)
        self._least = least
        self._most = most
        self._averages: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"<Gradient {self._limit:.1f}>"

    @property
    def limit(self) -> int:
        """Requests that may be in flight at the same time."""
        return int(self._limit)

    def observe(self, rows: int, seconds: float, *, in_flight: int) -> None:
        """A request of *rows* took *seconds*, with *in_flight* at the server when it was sent."""
        size = rows.bit_length()
        average = self._averages.get(size, seconds)
        average += (seconds - average) / _WINDOW
        if average > 2 * seconds:
            # A long slow time is over: the average must not call everything quick for long.
            average *= 0.9
        self._averages[size] = average
        if in_flight < self._limit / 2:
            # What is not used cannot be too small.
            return
        gradient = max(0.5, min(1.0, _TOLERANCE * average / seconds)) if seconds > 0 else 1.0
        wanted = self._limit * gradient + sqrt(self._limit)
        limit = self._limit * (1 - _SMOOTHING) + wanted * _SMOOTHING
        self._limit = max(float(self._least), min(float(self._most), limit))

    def failed(self) -> None:
        """The server refused a request, or was too late with it: less is more."""
        self._limit = max(float(self._least), self._limit * 0.9)

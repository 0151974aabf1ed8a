# SPDX-License-Identifier: Apache-2.0
"""Warming: when a warm-up without a length is over.

It is when the medians and the numbers of answers of three windows in a row are within 10 % of each
other, or as near as chance allows with so few; or after a while, and a note says how it went on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import sqrt
from typing import Final

from gateway.lab.load.histogram import Histogram

_WINDOWS: Final = 3
_WITHIN: Final = 0.1
# Seconds of a window, as shares tell in halves of a second.
_LENGTH: Final = 2
# A warm-up takes no longer than this, in seconds.
LONGEST: Final = 30.0


class Warming:
    """Watches response times, window by window. Each `add` sets *told*."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.whole = Histogram()
        self._parts: list[Histogram] = []
        self._windows: deque[Histogram] = deque(maxlen=_WINDOWS)

    def __repr__(self) -> str:
        return f"<Warming {len(self._windows)} windows>"

    def add(self, recent: Histogram) -> None:
        """What was answered in the last half second."""
        self.whole.add(recent)
        self._parts.append(recent)
        if len(self._parts) == _LENGTH:
            window = Histogram()
            for part in self._parts:
                window.add(part)
            self._parts.clear()
            self._windows.append(window)
        self.told.set()

    def steady(self, elapsed: float) -> bool:
        """Whether the warm-up is over, after *elapsed* seconds of it."""
        if elapsed >= LONGEST:
            return True
        if len(self._windows) < _WINDOWS or not all(map(len, self._windows)):
            return False
        counts = [len(window) for window in self._windows]
        medians = [window.percentile(50) for window in self._windows]
        # The number of answers of a steady server varies like its square root.
        chance = 3 / sqrt(min(counts))
        return max(counts) <= min(counts) * (1 + max(_WITHIN, 2 * chance)) and max(medians) <= min(
            medians
        ) * (1 + max(_WITHIN, chance))

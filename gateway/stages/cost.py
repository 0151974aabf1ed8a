# SPDX-License-Identifier: Apache-2.0
"""Cost: what a batch of n rows takes, as ``a + b * n`` fitted to what workers report."""

from __future__ import annotations

from typing import Final

# Rows gather until the fixed part of a run is at most this share of it: beyond, a larger batch
# only makes its first row wait for its last.
FIXED_SHARE: Final = 0.1
# Seconds that a frame costs both processes besides the run: system calls, wake-ups, copies.
# Measured: a lone one-row request takes 90 to 130 µs longer than the run itself.
HOP: Final = 100e-6
_DECAY: Final = 0.98


class Cost:
    """An exponentially weighted least-squares line through (rows, seconds).

    The last fifty runs or so count. While all of them were of one size, the slope is unknown:
    then twice that size is worth a try, because without it nothing would ever be learned.
    """

    __slots__ = ("_n", "_try", "_x", "_xx", "_xy", "_y", "fixed", "per_row")

    def __init__(self) -> None:
        self._n = self._x = self._xx = self._y = self._xy = 0.0
        self._try = 0.0
        self.fixed = 0.0
        self.per_row = 0.0

    def __repr__(self) -> str:
        return f"<Cost {self.fixed * 1e3:.3f} ms + {self.per_row * 1e3:.3f} ms a row>"

    def observe(self, rows: int, seconds: float) -> None:
        """A run of *rows* took *seconds* of computing."""
        rows = max(rows, 1)  # a run of no rows costs something too
        self._n = self._n * _DECAY + 1
        self._x = self._x * _DECAY + rows
        self._xx = self._xx * _DECAY + rows * rows
        self._y = self._y * _DECAY + seconds
        self._xy = self._xy * _DECAY + rows * seconds
        spread = self._n * self._xx - self._x * self._x
        if spread < 1e-3 * self._xx * self._n:
            # All runs were of one size: what a row costs at most is known, no more.
            self.per_row = self._y / self._x
            self.fixed = 0.0
            self._try = 2 * self._x / self._n
            return
        self._try = 0.0
        slope = (self._n * self._xy - self._x * self._y) / spread
        self.per_row = slope = max(slope, 0.0)
        self.fixed = max((self._y - slope * self._x) / self._n, 0.0)

    def rows_worth(self, most: int) -> int:
        """How many rows are worth to gather, 1 to *most*."""
        share = FIXED_SHARE * self.per_row
        # The smallest of floats becomes 0 there.
        if share <= 0:
            return most
        worth = max((self.fixed + HOP) / share, self._try)
        return most if worth >= most else max(1, int(worth))

    def seconds(self, rows: int) -> float:
        """The expected time of a run."""
        return self.fixed + self.per_row * rows

# SPDX-License-Identifier: Apache-2.0
"""DrainRate: how quickly a queue gets shorter, measured while there is one."""

from __future__ import annotations

from typing import Final

_DECAY: Final = 0.95
# Landings before the rate is believed.
_LEAST: Final = 5


class DrainRate:
    """Rows served in a second while others waited, over the last twenty batches or so.

    Only that time counts: with an empty queue, what is served is what is asked.
    """

    __slots__ = ("_landings", "_rows", "_seconds", "_since")

    def __init__(self) -> None:
        self._rows = self._seconds = 0.0
        self._landings = 0
        self._since: float | None = None

    def __repr__(self) -> str:
        rate = self._rows / self._seconds if self._seconds else 0.0
        return f"<DrainRate {rate:.0f} rows/s>"

    def waits(self, now: float) -> None:
        """All slots are taken at *now*, and somebody waits for one."""
        if self._since is None:
            self._since = now

    def landed(self, rows: int, now: float, *, waiting: bool) -> None:
        """*rows* were answered at *now*; *waiting*: others still wait."""
        if self._since is not None:
            self._rows = self._rows * _DECAY + rows
            self._seconds = self._seconds * _DECAY + (now - self._since)
            self._landings += 1
        self._since = now if waiting else None

    def seconds(self, rows: int) -> float:
        """The expected time until *rows* that wait have been served; 0 while nothing is known."""
        if self._landings < _LEAST or not self._rows:
            return 0.0
        return rows * self._seconds / self._rows

# SPDX-License-Identifier: Apache-2.0
"""Shares: which of several tenants is next, so that each gets the same number of rows served."""

from __future__ import annotations

from typing import Final

# Tenants that are remembered after they have stopped waiting.
_REMEMBERED: Final = 1024


class Shares:
    """Start-time fair queueing: a virtual clock of rows for each tenant, the slowest is next.

    A tenant that comes back starts at the present virtual time, or at its own if that is later: it
    can neither save up what it did not use nor lose its debt by a short absence.
    Source: Goyal, Vin and Cheng, "Start-time Fair Queueing", SIGCOMM 1996.
    """

    def __init__(self) -> None:
        self._clock: dict[str, float] = {}
        self._now = 0.0

    def __repr__(self) -> str:
        return f"<Shares {len(self._clock)} tenants at {self._now:.0f}>"

    def start(self, tenant: str) -> None:
        """*tenant*, of whom nothing was waiting, waits now."""
        clock = self._clock
        clock[tenant] = max(clock.get(tenant, 0.0), self._now)
        if len(clock) > _REMEMBERED:
            # Whoever is not ahead of the present starts at it in any case; of the others those are
            # kept who were served most.
            ahead = [item for item in clock.items() if item[1] > self._now]
            self._clock = dict(sorted(ahead, key=_virtual_time)[-_REMEMBERED // 2 :])
            self._clock[tenant] = clock[tenant]

    def of(self, tenant: str) -> float:
        """The virtual time of *tenant*: the least is next."""
        return self._clock.get(tenant, self._now)

    def serve(self, tenant: str, rows: int) -> None:
        """*rows* of *tenant* are on their way."""
        at = self.of(tenant)
        self._now = max(self._now, at)
        self._clock[tenant] = at + rows


def _virtual_time(item: tuple[str, float]) -> float:
    return item[1]

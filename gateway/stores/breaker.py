# SPDX-License-Identifier: Apache-2.0
"""Breaker: after some failures in a short time nothing is tried for a while, then one probe is."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

State: TypeAlias = Literal["closed", "open", "half-open"]
STATES: Final[tuple[State, ...]] = ("closed", "open", "half-open")


class Breaker:
    """Opens with *failures* failures within *window* seconds, for ``base * 2^k`` seconds.

    k counts the openings in a row; *most* seconds is the longest time. When it is over one probe
    may be sent; its success closes the breaker, its failure opens it anew. *clock* gives seconds
    and never goes back.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        failures: int = 5,
        window: float = 1.0,
        base: float = 1.0,
        most: float = 30.0,
    ) -> None:
        self._clock = clock
        self._window = window
        self._base = base
        self._most = most
        self._failed: deque[float] = deque(maxlen=failures)
        self._openings = 0
        self._until = 0.0
        self.state: State = "closed"

    def __repr__(self) -> str:
        return f"<Breaker {self.state} failed={len(self._failed)} openings={self._openings}>"

    @property
    def closed(self) -> bool:
        """Whether anything may be tried."""
        return self.state == "closed"

    def probe_is_due(self) -> bool:
        """Whether a probe is to be sent now; whoever is told so must say how it ended."""
        if self.state != "open" or self._clock() < self._until:
            return False
        self.state = "half-open"
        return True

    def succeeded(self) -> None:
        """Something worked; only a probe's success closes what is not closed."""
        if self.state == "half-open":
            self.state = "closed"
            self._openings = 0
            self._failed.clear()

    def failed(self) -> None:
        """Something did not work; what ends after the opening says nothing new."""
        if self.state == "half-open":
            self._open()
            return
        if self.state == "open":
            return
        now = self._clock()
        self._failed.append(now)
        if len(self._failed) == self._failed.maxlen and now - self._failed[0] <= self._window:
            self._open()

    def _open(self) -> None:
        self._until = self._clock() + min(self._base * 2**self._openings, self._most)
        # Beyond this number the bound holds whatever base is; the power must not grow for ever.
        self._openings = min(self._openings + 1, 64)
        self.state = "open"
        self._failed.clear()

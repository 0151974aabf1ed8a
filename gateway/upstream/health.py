# SPDX-License-Identifier: Apache-2.0
"""Health: what probes and answers say about one endpoint, as pure decisions over injected time.

`Liveness` follows the active probes, `Ejection` the outcome of real requests. Both must agree
before an endpoint gets traffic: a probe that passes does not bring back one that fails requests.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Liveness:
    """Up after *rise* good probes in a row, down after *fall* bad ones."""

    def __init__(self, *, rise: int = 2, fall: int = 3) -> None:
        self._rise = rise
        self._fall = fall
        self._streak = 0
        self.up = False

    def __repr__(self) -> str:
        return f"<Liveness {'up' if self.up else 'down'} streak={self._streak}>"

    @property
    def in_transition(self) -> bool:
        """The last probes contradict the state, so that the next should come soon."""
        return self._streak > 0

    def connected(self) -> None:
        """A worker says hello only after its warm-up inferences, which is proof enough."""
        self.up, self._streak = True, 0

    def disconnected(self) -> None:
        """The connection is gone: no probe is needed to know."""
        self.up, self._streak = False, 0

    def probed(self, *, good: bool) -> bool:
        """Take one result; returns whether the state changed."""
        if good == self.up:
            self._streak = 0
            return False
        self._streak += 1
        if self._streak < (self._fall if self.up else self._rise):
            return False
        self.up, self._streak = good, 0
        return True


class Ejection:
    """Takes an endpoint out after *consecutive* failures, or a high rate of them.

    The rate counts over a sliding *window* (seconds) once it holds *min_volume* results.
    The time out is ``min(base * 2^k, most)`` seconds, spread by ±*jitter*; k counts ejections in a
    row. Afterwards one probe request decides: success clears everything, failure ejects again.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        consecutive: int = 5,
        error_rate: float = 0.5,
        min_volume: int = 10,
        window: float = 10.0,
        base: float = 1.0,
        most: float = 60.0,
        jitter: float = 0.5,
        rng: Random | None = None,
    ) -> None:
        self._clock = clock
        self._consecutive = consecutive
        self._error_rate = error_rate
        self._min_volume = min_volume
        self._window = window
        self._base = base
        self._most = most
        self._jitter = jitter
        self._rng = rng or Random()
        self._failures_in_row = 0
        # Failures are kept one by one; successes are too many for that, so they are counted in this
        # window and the one before it, of which the part that has not passed yet still counts.
        self._failures: deque[float] = deque()
        self._successes = 0
        self._successes_before = 0.0
        self._window_from = clock()
        self._times = 0
        self.until: float | None = None
        self.probing = False

    def __repr__(self) -> str:
        state = "closed" if self.until is None else "half-open" if self.probing else "open"
        return f"<Ejection {state} in_row={self._failures_in_row} times={self._times}>"

    @property
    def successes(self) -> int:
        """Answers since some instant in the past; another number means that there were more."""
        return self._successes

    @property
    def left(self) -> float | None:
        """Seconds until a probe request may be sent; None where nothing is ejected."""
        return None if self.until is None else max(0.0, self.until - self._clock())

    def allows(self) -> bool:
        """Whether a request may be sent now; half-open allows one until it is answered."""
        if self.until is None:
            return True
        return not self.probing and self._clock() >= self.until

    def sent(self) -> bool:
        """A request goes out; returns whether it is the probe behind an ejection.

        While the ejection lasts, requests are sent only in a panic, and decide nothing. What was
        sent before it may still end while the probe is on its way, and says nothing of the time
        after: so each result tells whether it is the probe's.
        """
        if self.until is None or self.probing or self._clock() < self.until:
            return False
        self.probing = True
        return True

    def succeeded(self, *, probe: bool = False) -> bool:
        """Count an answer; returns whether it ended an ejection."""
        self._failures_in_row = 0
        self._successes += 1
        if not (probe and self.probing):
            return False
        self.reset()
        return True

    def dropped(self, *, probe: bool = False) -> None:
        """A request ended without a verdict, because its client left: let another probe go."""
        if probe:
            self.probing = False

    def failed(self, *, probe: bool = False) -> str | None:
        """Count a failure; returns the reason for an ejection that is due, None without one.

        The pool decides whether it may happen, and then calls `eject`.
        """
        now = self._clock()
        if probe and self.probing:
            return "probe"
        self._failures_in_row += 1
        passed = (now - self._window_from) / self._window
        if passed > 1:
            self._successes_before = self._successes / passed
            self._window_from, self._successes, passed = now, 0, 0.0
        self._failures.append(now)
        while now - self._failures[0] > self._window:
            self._failures.popleft()
        if self.until is not None:
            return None
        if self._failures_in_row >= self._consecutive:
            return "consecutive"
        successes = self._successes + self._successes_before * (1 - passed)
        volume = successes + len(self._failures)
        if volume >= self._min_volume and len(self._failures) / volume >= self._error_rate:
            return "error_rate"
        return None

    def eject(self) -> float:
        """Take it out from now; returns for how many seconds."""
        time = min(self._base * 2.0**self._times, self._most)
        time *= 1 + self._jitter * (2 * self._rng.random() - 1)
        self._times += 1
        self._failures_in_row = 0
        self.probing = False
        self.until = self._clock() + time
        return time

    def reset(self) -> None:
        """A new life behind the address: what the old one did says nothing of it."""
        self.until, self.probing, self._times = None, False, 0
        self._failures_in_row = self._successes = 0
        self._successes_before = 0.0
        self._failures.clear()

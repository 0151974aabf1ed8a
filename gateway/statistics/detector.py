# SPDX-License-Identifier: Apache-2.0
"""Detector: an alarm that may be watched all the time, for a share that falls below its target.

A running mean forgets slowly: after a long good past it takes as many bad rows to move. This
gathers evidence anew at every step instead. J. Shin, A. Ramdas and A. Rinaldo, "E-detectors: a
nonparametric framework for sequential change detection", 2024: the sum over all starting points of
the e-value since then reaches *rarely* after no fewer than *rarely* steps on average, while the
share is what it should be or better.
"""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np

from gateway.statistics.arrays import Floats, Values, pack_array, unpack_array
from gateway.statistics.special import log_mean_exp

# Bets from timid to bold, in shares of the boldest that cannot lose everything.
_BETS: Final = np.geomspace(0.005, 0.95, 16)
# The end of an alarm is found in the same way, and is false once in so many steps at most.
_SURE: Final = 1000.0
# Beyond this exp overflows; such evidence has decided long ago.
_MOST: Final = 600.0


class Detector:
    """Alarms where the mean of outcomes, 1 or 0, has fallen below *target*.

    *rarely*: how many steps there are between false alarms, on average at least, while the mean is
    *target* exactly. The alarm ends when later rows show that the mean is *target* or more.
    """

    def __init__(self, *, target: float, rarely: float) -> None:
        if not 0 < target < 1:
            raise ValueError(f"target {target}: expected more than 0 and less than 1")
        self._target, self._rarely = target, rarely
        # Of rows that are wrong more often than 1 - target, and, during an alarm, less often.
        self._logs: Floats = np.full(len(_BETS), -np.inf)
        self._back: Floats = np.full(len(_BETS), -np.inf)
        self._step = -1
        self.alarm = False

    def __repr__(self) -> str:
        return f"<Detector of less than {self._target:g}: {self.evidence:.3g} of {self._rarely:g}>"

    @property
    def target(self) -> float:
        """The mean below which it alarms."""
        return self._target

    @property
    def threshold(self) -> float:
        """The evidence at which it alarms."""
        return self._rarely

    @property
    def evidence(self) -> float:
        """How much speaks for a fall; the alarm is at *rarely*."""
        return float(np.exp(min(log_mean_exp(self._logs.tolist()), _MOST)))

    def add(self, outcomes: Values, step: int, weights: Values | None = None) -> bool:
        """Take *outcomes* [n] seen in *step*, a number that grows with time; gives the alarm.

        *weights* [n], at most 1, are for rows that stand for different numbers of rows. Rows of one
        call are one look: a fall within them is seen at their end.
        """
        right = np.asarray(outcomes, dtype=np.float64)
        if not len(right):
            return self.alarm
        weight = np.ones(len(right)) if weights is None else np.asarray(weights, dtype=np.float64)
        # How wrong a row is beyond what the target allows: from target - 1 to target, 0 on average.
        wrong = weight * (self._target - right)
        if step > self._step:
            # A new starting point, whose e-value is 1 so far.
            self._logs = np.logaddexp(self._logs, 0.0)
            self._back = np.logaddexp(self._back, 0.0)
            self._step = step
        self._logs = np.minimum(self._logs + _gains(wrong, _BETS / (1 - self._target)), _MOST)
        if self.alarm:
            self._back = np.minimum(self._back + _gains(-wrong, _BETS / self._target), _MOST)
            if np.exp(log_mean_exp(self._back.tolist())) >= _SURE:
                self.alarm = False
                self._logs = np.zeros(len(_BETS))
        elif self.evidence >= self._rarely:
            self.alarm = True
            self._back = np.zeros(len(_BETS))
        return self.alarm

    def pack(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "target": self._target,
            "rarely": self._rarely,
            "logs": pack_array(self._logs),
            "back": pack_array(self._back),
            "step": self._step,
            "alarm": self.alarm,
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Self:
        """What `pack` gave."""
        detector = cls(target=packed["target"], rarely=packed["rarely"])
        detector._logs, detector._back = unpack_array(packed["logs"]), unpack_array(packed["back"])
        detector._step, detector.alarm = packed["step"], packed["alarm"]
        return detector


def _gains(x: Floats, bets: Floats) -> Floats:
    # Rows of one weight have two values: they are counted first, which is far quicker.
    values, counts = np.unique(x, return_counts=True)
    gains: Floats = np.log1p(np.outer(bets, values)) @ counts
    return gains

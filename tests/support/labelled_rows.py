# SPDX-License-Identifier: Apache-2.0
"""Labelled rows: samples and joined rows as the ledger gives them, made from arrays."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from gateway.quality.figures.spec import Spec
from gateway.quality.joined import Joined
from gateway.statistics.arrays import Values
from gateway.wire.samples import FULL, Samples

# Noon of some day: no bucket ends near it.
NOON: Final = 1_700_049_600.0


def parts(probabilities: Values) -> Values:
    """Probabilities as they travel."""
    travelling: Values = np.rint(np.asarray(probabilities) * FULL).astype(np.uint16)
    return travelling


def samples(predicted: Values, **columns: Any) -> Samples:
    """Predictions of the model "m"; any column may be given."""
    n = len(predicted)
    given: dict[str, Any] = {
        "model": "m", "name": "m", "digest": "d1", "version": "1", "role": "live",
        "ids": [f"id{place}" for place in range(n)], "rows": np.zeros(n, np.uint32),
        "times": np.full(n, NOON), "endpoints": ["e0", "e1"], "endpoint": np.zeros(n, np.uint16),
        "tenants": [""], "tenant": np.zeros(n, np.uint16), "slices": [{}],
        "slice": np.zeros(n, np.uint16), "flags": np.zeros(n, np.uint8),
        "pi": np.ones(n, np.float32), "question": np.zeros(n, np.uint64),
        "predicted": np.asarray(predicted),
    }  # fmt: skip
    return Samples(**{**given, **columns})


def joined(true: Values, predicted: Values, **columns: Any) -> Joined:
    """Labelled rows of the model "m"; any column may be given."""
    n = len(predicted)
    given: dict[str, Any] = {
        "model": "m", "name": "m", "digest": "d1", "role": "live",
        "key": np.arange(n, dtype=np.int64), "times": np.full(n, NOON),
        "labelled": np.full(n, NOON + 1.0), "endpoints": ["e0", "e1"],
        "endpoint": np.zeros(n, np.uint16), "slices": [{}], "slice": np.zeros(n, np.uint16),
        "flags": np.zeros(n, np.uint8), "pi": np.ones(n, np.float32),
        "question": np.zeros(n, np.uint64), "predicted": np.asarray(predicted),
        "true": np.asarray(true), "weight": np.ones(n), "sign": np.ones(n, np.int8),
        "sources": ["people"], "source": np.zeros(n, np.uint16),
    }  # fmt: skip
    return Joined(**{**given, **columns})


def digits(count: int = 10, **more: Any) -> Spec:
    """A classifier of *count* classes with numbers for names."""
    return Spec(task="classification", classes=tuple(map(str, range(count))), **more)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = NOON + 60.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time now."""
        return self.now

# SPDX-License-Identifier: Apache-2.0
"""Pairs of answers of a model and its candidate, as samples and as rows with labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.quality.joined import Joined
from gateway.wire.samples import Samples


def columns(count: int, *, start: float = 0.0, pi: float = 1.0) -> dict[str, Any]:
    """What samples and joined rows have alike; row j was answered *start* + j seconds."""
    return {
        "times": start + np.arange(count, dtype=np.float64),
        "endpoints": [""],
        "endpoint": np.zeros(count, dtype=np.uint16),
        "slices": [{}],
        "slice": np.zeros(count, dtype=np.uint16),
        "flags": np.zeros(count, dtype=np.uint8),
        "pi": np.full(count, pi, dtype=np.float32),
        "question": np.zeros(count, dtype=np.uint64),
    }


def shadowed(live: Any, candidate: Any, **more: Any) -> Samples:
    """Samples of the model m and its shadow c; *more* is of `columns`, or replaces a field."""
    count = len(live)
    own = {name: more.pop(name) for name in ("start", "pi") if name in more}
    fields = {
        **columns(count, **own),
        "model": "m", "name": "c", "digest": "candidate", "version": "1", "role": "shadow",
        "ids": [f"id-{place}" for place in range(count)],
        "rows": np.zeros(count, dtype=np.uint32),
        "tenants": [""], "tenant": np.zeros(count, dtype=np.uint16),
        "predicted": np.asarray(candidate, dtype=np.int32),
        "live": np.asarray(live, dtype=np.int32),
        "live_digest": "live",
    } | more  # fmt: skip
    return Samples(**fields)


def labelled(live: Any, candidate: Any, true: Any, **more: Any) -> Joined:
    """The same rows with what is *true*."""
    count = len(live)
    own = {name: more.pop(name) for name in ("start", "pi") if name in more}
    fields = {
        **columns(count, **own),
        "model": "m", "name": "c", "digest": "candidate", "role": "shadow",
        "key": np.arange(count), "labelled": np.zeros(count),
        "predicted": np.asarray(candidate, dtype=np.int32),
        "true": np.asarray(true, dtype=np.int32),
        "weight": np.ones(count), "sign": np.ones(count, dtype=np.int8),
        "sources": [""], "source": np.zeros(count, dtype=np.uint16),
        "live": np.asarray(live, dtype=np.int32), "live_digest": "live",
    } | more  # fmt: skip
    return Joined(**fields)

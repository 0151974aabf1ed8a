# SPDX-License-Identifier: Apache-2.0
"""The access log: one JSON line a request, with its timers and the reason of a refusal.

It never holds bodies, headers or query strings, so no key or secret can be in it.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from random import random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.line_writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.exchange import Exchange
    from gateway.telemetry import Telemetry

# What a client chose is cut to this many characters, so that a line fits into the 4 KiB that a
# pipe keeps in one piece.
_LONGEST: Final = 256

_encoder: Final = msgspec.json.Encoder()


class AccessLog:
    """Writes a line for every refused or failed request (*errors*) and for a share of the others.

    *sample* is that share, from 0 (none) to 1 (all). Lines go to the file descriptor *fd*; up to
    *capacity* wait for it, the rest is dropped and counted in ``infergate_log_dropped_total``.
    *clock* is wall-clock time in seconds, *chance* a random number from [0, 1).
    """

    def __init__(
        self,
        *,
        telemetry: Telemetry,
        fd: int = 1,
        sample: float = 0.0,
        errors: bool = True,
        capacity: int = 4096,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random,
    ) -> None:
        self._sample = sample
        self._errors = errors
        self._clock = clock
        self._chance = chance
        self._writer: LineWriter[dict[str, Any]] = LineWriter(fd, _line, capacity=capacity)
        self._counted = 0
        self._dropped = telemetry.log_dropped.cell()
        telemetry.on_collect(self._count_dropped)

    @property
    def samples(self) -> bool:
        """Whether any success is ever logged."""
        return self._sample > 0

    def __repr__(self) -> str:
        return f"<AccessLog sample={self._sample} errors={self._errors} {self._writer!r}>"

    def wants(self, status: int) -> bool:
        """Whether a request that was answered with *status* gets a line."""
        if status >= 400:
            return self._errors
        return self._sample > 0 and self._chance() < self._sample

    def write(
        self, exchange: Exchange, *, status: int, error: str, sent: int, seconds: float
    ) -> None:
        """Log *exchange*: its *status*, *error* code ("" for none), bytes *sent*, total *seconds*.

        Costs the request a dictionary; text is made and written elsewhere.
        """
        trace = exchange.trace.gather()
        self._writer.put(
            {
                "time": self._clock(),
                "request_id": exchange.request_id,
                "inference_id": exchange.inference_id,
                "client": exchange.client,
                "protocol": exchange.codec.protocol,
                "method": "POST",
                "target": exchange.target,
                "model": exchange.model,
                "status": status,
                "error": error,
                "bytes_in": len(exchange.body),
                "bytes_out": sent,
                "queue_ms": trace.queue,
                "preprocess_ms": trace.preprocess,
                "cache_ms": trace.lookup,
                "infer_ms": trace.infer,
                "upstream_ms": trace.upstream,
                "total_ms": seconds,
                "attempts": trace.attempts,
                "endpoint": trace.endpoint,
                "batch_rows": trace.batch_rows,
                "cache": trace.cache,
            }
        )

    def close(self, patience: float = 1.0) -> None:
        """Write what waits, for at most *patience* seconds."""
        self._writer.close(patience)

    def _count_dropped(self) -> None:
        dropped = self._writer.dropped
        self._dropped.value += dropped - self._counted
        self._counted = dropped


def _line(entry: dict[str, Any]) -> bytes:
    moment = datetime.fromtimestamp(entry["time"], tz=UTC)
    entry["time"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # A query string may carry a key.
    entry["target"] = entry["target"].partition("?")[0]
    for name, value in entry.items():
        if name.endswith("_ms"):
            entry[name] = round(value * 1000, 3)
        elif isinstance(value, str) and len(value) > _LONGEST:
            entry[name] = value[:_LONGEST]
    try:
        return _encoder.encode(entry) + b"\n"
    except UnicodeEncodeError:
        # A lone surrogate in a client's id is no text; the standard library writes its escape.
        return json.dumps(entry).encode() + b"\n"

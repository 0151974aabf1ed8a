# SPDX-License-Identifier: Apache-2.0
"""Payoff: whether looking answers up costs less than it saves, from what both were seen to take.

A look-up that hits with probability h pays when ``h * model > look-up + (1 - h) * insert``, all in
seconds of work for one request. Where it does not, only a small share of questions is looked up,
always the same ones, so that a repeat among them is seen and the cache comes back with repeats.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from zlib import crc32

if TYPE_CHECKING:
    from gateway.wire.message import Trace
    from gateway.wire.tensor import Buffer, Tensor

# Look-ups between two decisions; while idle, when only a few of all are looked up, fewer.
INTERVAL: Final = 256
IDLE_INTERVAL: Final = 64
# No decision before so many: a cache that has just begun has nothing yet.
EVIDENCE: Final = 4096
# A decision is changed when the other side is better by this factor, so that it does not flutter.
MARGIN: Final = 1.5
# Share of questions that are looked up nevertheless.
EXPLORED: Final = 0.01
# Weight of the latest interval in the running share of hits.
_WEIGHT: Final = 0.1
_IDLE_WEIGHT: Final = 0.25
# Weight of one value in the running times.
_EACH: Final = 0.02
# Seconds that the gateway itself takes for a request that goes to a worker and for none that is
# answered here: queue, batch, frames. By benchmarks/micro/request_path: digits.yaml, cached.yaml.
OWN: Final = 10e-6
# Seconds that a miss costs beside the look-up and the storing, which are timed: the fill that
# others could join, an answer without the text of its batch, header lines. By the same, --unique
# with stored.yaml less digits.yaml, less those two.
MISS: Final = 20e-6
# A larger tensor is told from others by this many bytes of its begin, its end and between.
_LOOKED_AT: Final = 1024
_RANGE: Final = 1 << 32


class Payoff:
    """Running estimates for one model: *hit_rate*, and *lookup*, *insert* and *model* in seconds.

    *idle* says that the cache does not pay now. With *always* it is taken to pay.
    """

    def __init__(self, *, always: bool = False, explored: float = EXPLORED) -> None:
        self.idle = False
        self.hit_rate = 0.0
        self.lookup = 0.0
        self.insert = 0.0
        self.model = 0.0
        self._always = always
        self._below = int(explored * _RANGE)
        # Another in each process and life: a question that none explores is not unseen for ever.
        self._salt = int.from_bytes(os.urandom(4), "little")
        # Since the last decision. A hit is counted here by whoever has it, without a call: a cache
        # that has nothing but hits needs no decision.
        self.lookups = 0
        self.hits = 0.0
        self.spent = 0.0
        self._seen = 0

    def __repr__(self) -> str:
        return (
            f"<Payoff {'idle' if self.idle else 'in use'} hits={self.hit_rate:.1%} "
            f"lookup={self.lookup * 1e6:.1f}us insert={self.insert * 1e6:.1f}us "
            f"model={self.model * 1e6:.0f}us>"
        )

    def explores(self, inputs: tuple[Tensor, ...]) -> bool:
        """Whether this question is among those that are looked up while the cache is idle."""
        told = self._salt
        if len(inputs) == 1 and len(data := inputs[0].data) <= 3 * _LOOKED_AT:
            # Nearly every question of a model that is too quick for a cache.
            return crc32(data, told) < self._below
        for tensor in inputs:
            told = _checksum(tensor.data, told)
        return told < self._below

    def looked(self, seconds: float, *, hit: float = 0.0) -> None:
        """A look-up took *seconds*; *hit* is the share of it that found an answer, or one's run."""
        self.spent += seconds
        self.lookups += 1
        self.hits += hit
        if self.lookups >= (IDLE_INTERVAL if self.idle else INTERVAL):
            self._decide()

    def ran(self, seconds: float) -> None:
        """An answer took *seconds* of a worker: its share of the run, and no time in a queue.

        What waits in a queue waits for the work of others, and the longer the more work there is.
        """
        self.model += (_EACH if self.model else 1.0) * (seconds - self.model)

    def inserted(self, seconds: float) -> None:
        """An answer was stored in *seconds*."""
        self.insert += _EACH * (seconds - self.insert)

    def _decide(self) -> None:
        share, seconds = self.hits / self.lookups, self.spent / self.lookups
        weight = _IDLE_WEIGHT if self.idle else _WEIGHT
        if not self._seen:
            weight = 1.0
        self._seen += self.lookups
        self.hit_rate += weight * (share - self.hit_rate)
        self.lookup += weight * (seconds - self.lookup)
        self.lookups, self.hits, self.spent = 0, 0.0, 0.0
        if self._always or self._seen < EVIDENCE:
            return
        saved = self.hit_rate * (self.model + OWN)
        spent = self.lookup + (1.0 - self.hit_rate) * (self.insert + MISS)
        self.idle = saved < spent * MARGIN if self.idle else saved * MARGIN < spent


def _checksum(data: Buffer, start: int) -> int:
    if len(data) <= 3 * _LOOKED_AT:
        return crc32(data, start)
    middle = len(data) // 2
    view = memoryview(data)
    for begin in (0, middle, len(data) - _LOOKED_AT):
        start = crc32(view[begin : begin + _LOOKED_AT], start)
    return start


def share_of_run(trace: Trace, elapsed: float, questions: int) -> float:
    """Seconds of a worker that the answer to one question took.

    *trace* is that of the request, gathered, which asked *questions* at once; *elapsed* seconds
    passed for it, which counts where nobody said how long the run was.
    """
    if trace.upstream <= 0:
        return elapsed / questions
    return trace.upstream / max(1, trace.batch_rows, questions)

# SPDX-License-Identifier: Apache-2.0
"""Pace: what a model's steps cost, measured, and so where they may run."""

from __future__ import annotations

from typing import Final

from gateway.stages.cost import Cost

# Seconds that a kernel may hold the event loop; an exchange of threads costs a tenth of it.
BUDGET: Final = 0.001
# Bytes that even a quick kernel (softmax, scale) takes longer for than the loop can spare.
INLINE_BYTES: Final = 1 << 20
# Up to so many bytes the work around a kernel costs more than the kernel: it is left to be done for
# a whole batch at once, which gives the same rows and stays within what may run on the loop.
DEFERRED_BYTES: Final = 16 << 10
# As long as nothing is known of a kernel, this many bytes may be tried on the loop.
_TRIED: Final = DEFERRED_BYTES
# After so many measurements every eighth run is measured: looking at the clock costs as well.
_LEARNT: Final = 32


class Pace:
    """How many bytes a kernel can handle on the event loop within a millisecond.

    *within* is that number, at most *inline_bytes*, which is what the steps say of themselves: 0 is
    for a cost that nobody knows before it has run, below 0 nothing runs there. *deferrable* are the
    bytes of one request that may wait for its batch, which has up to *rows* rows, at most
    *deferred_bytes*.
    """

    __slots__ = ("_cost", "_deferred", "_inline", "_rows", "_runs", "deferrable", "within")

    def __init__(
        self,
        *,
        inline_bytes: int = INLINE_BYTES,
        deferred_bytes: int = DEFERRED_BYTES,
        rows: int = 64,
    ) -> None:
        unknown = not inline_bytes
        self._rows = rows
        self._inline = INLINE_BYTES if unknown else inline_bytes
        self._deferred = min(deferred_bytes, self._inline // rows)
        self._cost = Cost()
        self._runs = 0
        self.within = -1 if unknown else min(inline_bytes, _TRIED)
        self.deferrable = -1 if unknown else self._deferred

    def __repr__(self) -> str:
        return f"<Pace of up to {self.within} bytes on the loop>"

    def distrust(self) -> None:
        """Defer nothing until a run was measured: a byte of these inputs may cost anything."""
        if not self._runs:
            self.deferrable = min(self.deferrable, 0)

    def due(self) -> bool:
        """Whether the next run is one to measure."""
        self._runs += 1
        return self._runs <= _LEARNT or not self._runs & 7

    def observe(self, nbytes: int, seconds: float) -> None:
        """A kernel took *seconds* for *nbytes*."""
        cost = self._cost
        cost.observe(nbytes, seconds)
        room = BUDGET - cost.fixed
        if room <= 0:
            within = 0
        elif cost.per_row > 0:
            within = int(min(room / cost.per_row, self._inline))
        else:
            within = self._inline
        self.within = within
        if within < self._inline:
            self.deferrable = min(self._deferred, within // self._rows)
        else:
            self.deferrable = self._deferred

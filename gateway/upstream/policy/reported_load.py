# SPDX-License-Identifier: Apache-2.0
"""Reported load: least outstanding, and what workers say that others have sent them."""

from __future__ import annotations

from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta

from gateway.units import Duration
from gateway.upstream.policy.seam import PolicyConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.upstream.policy.seam import Loaded

_KEPT: Final = 4096
_NOTHING: Final = (0, float("-inf"))


class ReportedLoad:
    """The smallest ``(pending rows + rows of others + 1) / weight``; ties are broken at random.

    A report counts for *expiry* seconds: afterwards only own counts do, so that a worker which
    was busy is tried again. A worker that has just come up is not believed for *blackout* seconds,
    while it has nothing to report and would draw everything to itself.
    """

    def __init__(
        self,
        *,
        expiry: float = 1.0,
        blackout: float = 10.0,
        rng: Random | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._expiry = expiry
        self._blackout = blackout
        self._random = (rng or Random()).random
        self._clock = clock
        self._began: dict[str, float] = {}
        # By name: the rows of others, and when they were reported.
        self._reports: dict[str, tuple[int, float]] = {}

    def __repr__(self) -> str:
        return f"<ReportedLoad {self._reports}>"

    def began(self, name: str) -> None:
        """Forget what the last life of *name* said, and do not believe the new one yet."""
        if len(self._began) >= _KEPT:
            self._began.clear()
            self._reports.clear()
        self._began[name] = self._clock()
        self._reports.pop(name, None)

    def reported(self, name: str, rows: int) -> None:
        """Others have *rows* at the worker."""
        now = self._clock()
        if now - self._began.get(name, now) >= self._blackout:
            self._reports[name] = (rows, now)

    def pick(self, ready: Sequence[Loaded], key: bytes = b"") -> int:  # noqa: ARG002 - the seam's
        """The index of the least loaded; O(n) in the size of the pool."""
        since, reports = self._clock() - self._expiry, self._reports
        best, best_load, ties = 0, float("inf"), 0
        for index, endpoint in enumerate(ready):
            rows, at = reports.get(endpoint.name, _NOTHING)
            others = rows if at >= since else 0
            load = (endpoint.pending_rows + others + 1) / endpoint.weight
            if load < best_load:
                best, best_load, ties = index, load, 1
            elif load == best_load:
                ties += 1
                if self._random() * ties < 1:
                    best = index
        return best


class ReportedLoadConfig(PolicyConfig, frozen=True, tag="reported_load"):
    """Least outstanding, and what workers report that others have sent them: for workers that
    several servers share.
    """

    expiry: Annotated[
        Duration,
        Meta(
            gt=0,
            description=(
                "How long a report counts. Danger: a worker that was busy when it was asked last "
                "is left alone for so long."
            ),
        ),
    ] = 1.0
    blackout: Annotated[
        Duration,
        Meta(ge=0, description="How long the reports of a worker that came up are not believed."),
    ] = 10.0

    def make(self, *, rng: Random, clock: Callable[[], float]) -> ReportedLoad:
        """See PolicyConfig."""
        return ReportedLoad(expiry=self.expiry, blackout=self.blackout, rng=rng, clock=clock)

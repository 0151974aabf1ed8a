# SPDX-License-Identifier: Apache-2.0
"""Merge: one run of what several processes counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.lab.load.run import Run

if TYPE_CHECKING:
    from gateway.lab.load.recorder import Tally
    from gateway.lab.load.run import Health, Plan


def merged(
    plan: Plan,
    tally: Tally,
    health: list[Health],
    *,
    seconds: float,
    started: float,
    warmup: float,
    rows: int,
) -> Run:
    """The run of *plan* that was counted in *tally*."""
    timeline = [tally.timeline[second] for second in sorted(tally.timeline)]
    # Answers that came after the window are in no second of it.
    timeline = [each for each in timeline if each.second < seconds]
    for each in timeline:
        each.p50, each.p99 = each.response.percentile(50), each.response.percentile(99)
    run = Run(
        plan=plan, started=started, seconds=seconds, warmup=warmup, timeline=timeline,
        duplicates=tally.duplicates / tally.offered if tally.offered else 0.0,
        rows=tally.ok * rows, health=health,
        **{
            name: getattr(tally, name)
            for name in (
                "offered", "sent", "answered", "ok", "errors", "statuses", "response", "service",
                "lag", "waited", "failed", "server_timing", "cache", "bytes_sent",
                "bytes_received", "connects",
            )
        },
    )  # fmt: skip
    run.environment.backends = tally.backends
    run.environment.model_digest = max(tally.digests, key=tally.digests.__getitem__, default="")
    return run

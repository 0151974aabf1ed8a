# SPDX-License-Identifier: Apache-2.0
"""Facts: the figures that say where a bottleneck is, from all that was read of a run."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.lab.account.metrics import OURS, Metrics
from gateway.lab.account.processes import Machine, Use
from gateway.lab.account.spans import Span
from gateway.lab.load.run import Run


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Shares are of 1, processor time is in cores; None where it is not known."""

    valid: bool = True
    reasons: tuple[str, ...] = ()
    # Of a mean response, by the name of the span.
    shares: dict[str, float] = {}
    # Seconds of a mean response.
    mean: float = 0.0
    # Of the machine's cores that anybody used; how many there are.
    busy: float | None = None
    cores: int | None = None
    # Of the busiest process of the kind, and of all of them together.
    gateway_cores: float | None = None
    worker_cores: float | None = None
    all_worker_cores: float | None = None
    generator_cores: float | None = None
    workers: int = 0
    # Of what was offered.
    shed: float = 0.0
    errors: float = 0.0
    # Requests shed by reason.
    shed_reasons: dict[str, float] = {}
    # Rows of a batch sent upstream, and of a request; None without batches.
    batch_rows: float | None = None
    request_rows: float = 1.0
    # Of cache look-ups that gave an answer; None without a cache.
    hits: float | None = None
    # Attempts for each request that went upstream; 1 without retries and hedges.
    attempts: float | None = None
    # The mean lateness of a gateway's event loop, in seconds.
    loop_lag: float | None = None


def facts_of(
    run: Run,
    split: Sequence[Span],
    metrics: Metrics | None,
    uses: Sequence[Use],
    machine: Machine | None,
) -> Facts:
    """Gather them."""
    shares = {span.name: span.share for span in split}
    facts = Facts(
        valid=run.valid,
        reasons=tuple(run.reasons),
        shares=shares,
        mean=run.response.mean,
        busy=None if machine is None else machine.busy,
        cores=None if machine is None else machine.cores,
        gateway_cores=_most(uses, "gateway"),
        worker_cores=_most(uses, "worker"),
        all_worker_cores=sum(use.cores for use in uses if use.role == "worker") or None,
        generator_cores=sum(use.cores for use in uses if use.role == "generator") or None,
        workers=sum(use.role == "worker" for use in uses),
        shed=run.errors.get("shed", 0) / (run.offered or 1),
        errors=run.error_share,
        request_rows=run.rows / run.ok if run.ok and run.rows else float(run.plan.batch),
    )
    if metrics is None:
        return facts
    model = run.plan.model
    lookups = metrics.by(OURS.cache.name, "result", model=model)
    answered = sum(lookups.get(name, 0.0) for name in ("hit", "stale"))
    asked = answered + lookups.get("miss", 0.0) + lookups.get("partial", 0.0)
    batches = metrics.count(OURS.batch_rows.name, model=model)
    attempts = metrics.total(OURS.attempts.name, model=model)
    return msgspec.structs.replace(
        facts,
        gateway_cores=facts.gateway_cores or _told(metrics, run),
        shed_reasons={
            name: count
            for name, count in metrics.by(OURS.shed.name, "reason", model=model).items()
            if count
        },
        batch_rows=metrics.mean(OURS.batch_rows.name, model=model),
        hits=answered / asked if asked else None,
        attempts=attempts / batches if batches else None,
        loop_lag=metrics.mean(OURS.loop_lag_seconds.name),
    )


def _most(uses: Sequence[Use], role: str) -> float | None:
    return max((use.cores for use in uses if use.role == role), default=None)


def _told(metrics: Metrics, run: Run) -> float | None:
    """Cores of the busiest gateway process by its own metrics, where it is on another machine."""
    spent = metrics.by(OURS.process_cpu.name, "process")
    gateways = [value for name, value in spent.items() if name.startswith("gateway")]
    seconds = run.seconds + run.warmup
    return max(gateways) / seconds if gateways and seconds else None

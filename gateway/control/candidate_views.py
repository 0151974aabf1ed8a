# SPDX-License-Identifier: Apache-2.0
"""Candidate views: the configuration, the metrics and the evidence as others want them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.quality.candidates.comparisons import Plan
from gateway.quality.candidates.course import Arm, Arms, Course, Standing

if TYPE_CHECKING:
    from gateway.config import ModelConfig
    from gateway.quality.candidates.comparisons import Evidence
    from gateway.stages.candidate_options import CandidateConfig
    from gateway.telemetry import Telemetry
    from gateway.telemetry.snapshot import Snapshot
    from gateway.wire.generation import Rollout


def shown(evidence: Evidence) -> dict[str, Any]:
    """*evidence* as plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(asdict(evidence))
    decision = plain["decision"]
    pairs = evidence.decision.pairs
    decision["pairs"] |= {
        "rows": pairs.rows, "labelled": pairs.labelled, "differ": pairs.differ,
        "b": pairs.live, "c": pairs.candidate,
    }  # fmt: skip
    return plain


def plan_of(section: ModelConfig, candidate: CandidateConfig) -> Plan:
    """What the candidate must prove beside the model of *section*."""
    shares = [each.sample for each in section.shadows if each.model == candidate.model]
    return Plan(
        candidate=candidate.model,
        margin=candidate.margin,
        alpha=candidate.alpha,
        min_rows=candidate.min_rows,
        labels_at_random=candidate.labels_at_random,
        # Rules only add to it; see `gateway.config.candidates`.
        sample=shares[0] if shares else 1.0,
    )


def course_of(candidate: CandidateConfig) -> Course:
    """The way that *candidate* is to go."""
    return Course(
        shares=candidate.shares,
        auto=candidate.auto,
        hold=candidate.hold,
        horizon=candidate.horizon,
        min_requests=candidate.min_requests,
        p99_ratio=None if candidate.latency is None else candidate.latency.p99_ratio,
        errors=candidate.errors,
    )


def standing_of(rollout: Rollout) -> Standing:
    """*rollout* as the course sees it."""
    return Standing(
        share=rollout.share,
        began=rollout.began,
        since=rollout.since,
        state=rollout.state,
        held=rollout.held,
        digest=rollout.digest,
        beside=rollout.beside,
    )


def counted(metrics: Snapshot, telemetry: Telemetry, model: str) -> Arms:
    """Both arms of *model* as far as all processes have counted them."""
    families = {family.name: dict(family.samples) for family in metrics.families}
    requests = families.get(telemetry.candidates.requests.name, {})
    seconds = families.get(telemetry.candidates.seconds.name, {})
    bounds = telemetry.candidates.seconds.bounds
    none = [0.0] * (len(bounds) + 2)

    def arm(name: str) -> Arm:
        return Arm(
            int(requests.get((model, name, "ok"), [0.0])[0]),
            int(requests.get((model, name, "failed"), [0.0])[0]),
            tuple(int(each) for each in seconds.get((model, name), none)[1:]),
        )

    return Arms(arm("live"), arm("candidate"), bounds)


def less(now: Arm, before: Arm) -> Arm:
    """What has come since *before*; never less than nothing, as counters of the dead may go."""
    return Arm(
        max(0, now.ok - before.ok),
        max(0, now.failed - before.failed),
        tuple(max(0, a - b) for a, b in zip(now.seconds, before.seconds, strict=True)),
    )

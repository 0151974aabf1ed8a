# SPDX-License-Identifier: Apache-2.0
"""Course: the stages of a candidate, and which one follows from what is known.

One synchronous function over what is known; who asks it carries out what it says. Forward it goes
where that is configured, back in any case, unless a person holds it where it is.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from gateway.statistics.comparison import harmed
from gateway.statistics.confidence_sequences import share_sequence

if TYPE_CHECKING:
    from gateway.quality.candidates.comparisons import Evidence

# Of the slowest answers this share is looked at.
SLOWEST: Final = 0.01
# How sure errors and latency must be before they take a candidate out.
LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Course:
    """What the section ``candidate`` says of the way: *shares* by stage, times in seconds."""

    shares: tuple[float, ...] = (0.0, 0.01, 0.1, 0.5, 1.0)
    auto: bool = False
    hold: float = 600.0
    horizon: float = 604_800.0
    min_requests: int = 200
    p99_ratio: float | None = 1.2
    errors: float = 0.001


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a candidate stands; see `gateway.wire.generation.Rollout`."""

    share: float
    began: float
    since: float
    state: str = "running"
    held: bool = False
    digest: str = ""
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Arm:
    """The live requests of one of the two in this stage: *seconds* counts those by bucket."""

    ok: int = 0
    failed: int = 0
    seconds: tuple[int, ...] = ()

    @property
    def requests(self) -> int:
        """All of them."""
        return self.ok + self.failed


@dataclass(frozen=True, slots=True)
class Arms:
    """Both arms; *bounds* are the upper limits of the buckets, in seconds."""

    live: Arm
    candidate: Arm
    bounds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What follows: another *share*, for *reason*; or with ``tell`` nothing but a word of it."""

    kind: Literal["advance", "promote", "roll back", "begin anew", "tell"]
    share: float
    reason: str


def next_step(
    course: Course, now: Standing, evidence: Evidence | None, arms: Arms, *, time: float
) -> Step | None:
    """What to do at *time*, seconds since the epoch; None: nothing."""
    if now.held:
        return None
    step = _anew(now, evidence)
    if step is None and now.state != "rolled back":
        step = _back(course, now, evidence, arms)
    if step is None and now.state == "running":
        step = _forward(course, now, evidence, arms, time)
    return step


def _forward(
    course: Course, now: Standing, evidence: Evidence | None, arms: Arms, time: float
) -> Step | None:
    if evidence is None or evidence.decision.outcome != "promote":
        if time - now.began < course.horizon:
            return None
        message = (
            f"Inconclusive: after {_days(time - now.began)} it is proven neither that the "
            "candidate is good enough nor that it is not; it stays where it is."
        )
        return Step("tell", now.share, message)
    sentence = evidence.decision.sentence
    if not course.auto:
        return Step("tell", now.share, f"It may be promoted. {sentence}")
    few = bool(now.share) and arms.candidate.requests < course.min_requests
    share = next((each for each in course.shares if each > now.share), None)
    if share is None or few or time - now.since < course.hold or _waits(course, now, arms):
        return None
    return Step("promote" if share >= 1 else "advance", share, sentence)


def _anew(now: Standing, evidence: Evidence | None) -> Step | None:
    """What was proven, was of other files."""
    if evidence is None or not now.digest or evidence.last < now.since:
        return None
    if evidence.candidate != now.digest:
        what = "candidate's file"
    elif now.state == "running" and now.beside and evidence.model != now.beside:
        what = "model's own file"
    else:
        return None
    return Step("begin anew", 0.0, f"The {what} is another one: the evidence begins anew.")


def _back(course: Course, now: Standing, evidence: Evidence | None, arms: Arms) -> Step | None:
    if evidence is not None:
        decision = evidence.decision
        needed = 1 / decision.alpha
        if now.state == "promoted" and evidence.harm >= needed:
            return Step(
                "roll back",
                0.0,
                f"Since its promotion the new model was at some time worse by more than "
                f"{decision.margin:.2%} of rows (e-value {evidence.harm:.3g}, {needed:.3g} is "
                f"needed). {decision.sentence}",
            )
        if now.state == "running" and decision.outcome == "roll back":
            return Step("roll back", 0.0, decision.sentence)
    if now.share and now.state == "running":
        for fault in (_errors(course, arms), _latency(course, arms)):
            if fault:
                return Step("roll back", 0.0, fault)
    return None


def _errors(course: Course, arms: Arms) -> str:
    """Why its failures take it out, "" where they do not."""
    live, candidate = arms.live, arms.candidate
    if not candidate.failed:
        return ""
    before = share_sequence(live.failed, live.requests, level=LEVEL)
    after = share_sequence(candidate.failed, candidate.requests, level=LEVEL)
    if not harmed(before, after, tolerance=course.errors):
        return ""
    return (
        f"The candidate failed {candidate.failed} of {candidate.requests} live requests, the model "
        f"{live.failed} of {live.requests}: that is more than {course.errors:.2%} above it for "
        "certain."
    )


def _latency(course: Course, arms: Arms) -> str:
    """Why its latency takes it out, "" where it does not."""
    limit = slow_limit(course, arms)
    if limit is None:
        return ""
    slow, seconds = _slower(arms, limit), arms.bounds[limit]
    share = share_sequence(slow, arms.candidate.ok, level=LEVEL)
    if share.lower <= SLOWEST:
        return ""
    return (
        f"{slow} of {arms.candidate.ok} answers of the candidate took longer than {seconds:.3g} s, "
        f"{course.p99_ratio:g} times what the slowest hundredth of the model's takes: that is more "
        "than a hundredth for certain."
    )


def _waits(course: Course, now: Standing, arms: Arms) -> bool:
    """Whether latency, as it looks, keeps it where it is; none is known before the first share."""
    if not now.share or course.p99_ratio is None:
        return False
    limit = slow_limit(course, arms)
    if limit is None:
        return arms.live.ok < course.min_requests
    return _slower(arms, limit) > SLOWEST * arms.candidate.ok


def slow_limit(course: Course, arms: Arms) -> int | None:
    """The bucket whose bound the slowest hundredth of the candidate's answers may reach.

    None where there is no condition, or where the model has answered too few to know. Buckets are
    coarse, so the bound is the next one above.
    """
    live = arms.live
    if course.p99_ratio is None or live.ok < course.min_requests:
        return None
    left = SLOWEST * live.ok
    for bucket in range(len(arms.bounds), 0, -1):
        left -= live.seconds[bucket]
        if left < 0:
            break
    else:
        bucket = 0
    if bucket >= len(arms.bounds):
        return None
    limit = bisect_left(arms.bounds, arms.bounds[bucket] * course.p99_ratio)
    return limit if limit < len(arms.bounds) else None


def _slower(arms: Arms, limit: int) -> int:
    return sum(arms.candidate.seconds[limit + 1 :])


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:.3g} days"

# SPDX-License-Identifier: Apache-2.0
"""Candidates in the control process: evidence becomes generations, decisions and events.

The generation is the one truth of how far a candidate has come. A step forward is written into the
ledger before it is taken, so that nothing is promoted without its evidence; a step back is taken
first. Whoever dies in between leaves either share, and the next life writes down what it finds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.control.candidate_views import counted, course_of, less, plan_of, shown, standing_of
from gateway.control.carried import candidate_of
from gateway.control.publisher import OperationFailed
from gateway.quality.candidates.comparisons import Comparisons
from gateway.quality.candidates.course import Arms, next_step
from gateway.quality.database import Unusable
from gateway.quality.events import Event
from gateway.sampler import mirrored
from gateway.wire.generation import Rollout

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.control.operations import Operations
    from gateway.quality.candidates.comparisons import Evidence
    from gateway.quality.candidates.course import Step
    from gateway.quality.events import Notify
    from gateway.quality.ledger import Ledger
    from gateway.stages.candidate_options import CandidateConfig
    from gateway.telemetry import Telemetry
    from gateway.telemetry.snapshot import Snapshot

log: Final = logging.getLogger(__name__)

# How often the evidence is looked at, in seconds.
INTERVAL: Final = 1.0
# What is done without a person is done by this name.
AUTOMATIC: Final = "automatic"


class Candidates:
    """Moves the candidates of the models of *operations* by what the `comparisons` has heard.

    *metrics* gives those of all processes, *clock* wall-clock time. *promoted* is called with the
    model and the time of a promotion.
    """

    def __init__(
        self,
        operations: Operations,
        ledger: Ledger,
        *,
        notify: Notify,
        metrics: Callable[[], Snapshot],
        telemetry: Telemetry,
        promoted: Callable[[str, float], None] = lambda *_: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.comparisons = Comparisons(random=Random())
        self._operations = operations
        self._ledger = ledger
        self._notify = notify
        self._metrics = metrics
        self._telemetry = telemetry
        self._promoted = promoted
        self._clock = clock
        # What had been counted when a stage began, by model, with the time of its beginning.
        self._before: dict[str, tuple[float, Arms]] = {}
        self._told: dict[str, tuple[str, float]] = {}
        self.follow()
        operations.on_change(self.follow)

    def __repr__(self) -> str:
        return f"<Candidates {self._operations.generation.rollouts}>"

    def follow(self) -> None:
        """Have the comparisons follow what the configuration and the generation say."""
        config, rollouts = self._operations.config, self._operations.generation.rollouts
        said = self._operations.generation.shadows
        plans = {
            name: plan_of(mirrored(section, said.get(name, {})), section.candidate)
            for name, section in config.models.items()
            if section.candidate is not None
        }
        self.comparisons.follow(
            plans, {name: rollouts[name].began for name in plans if name in rollouts}
        )

    async def run(self) -> None:
        """Look at the evidence until cancelled."""
        reconciled = False
        while True:
            await self._tried(self._begin())
            if not reconciled:
                reconciled = await self._tried(self._reconcile())
            for model in [*self._operations.generation.rollouts]:
                await self._tried(self.look(model))
            await asyncio.sleep(INTERVAL)

    @staticmethod
    async def _tried(work: Coroutine[None, None, None]) -> bool:
        """Whether *work* was done; what it fails of must not end what comes later."""
        try:
            await work
        except Unusable as error:
            log.warning("decisions cannot be written down: %s", error)
        except OperationFailed as error:
            log.warning("a candidate cannot be moved", extra={"faults": error.faults})
        except Exception:  # a border: models are apart from each other
            log.exception("looking at a candidate failed")
        else:
            return True
        return False

    async def look(self, model: str) -> None:
        """Take the step that follows for *model*, if any; raises OperationFailed, Unusable."""
        rollout, section = self._operations.generation.rollouts.get(model), self.section(model)
        if rollout is None or section is None:
            return
        evidence = self.comparisons.evidence(model)
        arms = self.arms(model, rollout)
        now = self._clock()
        step = next_step(course_of(section), standing_of(rollout), evidence, arms, time=now)
        if step is None:
            return
        if step.kind == "tell":
            said = (step.reason.partition(".")[0].partition(":")[0], rollout.began)
            if self._told.get(model) != said:
                self._told[model] = said
                await self._record(model, rollout, "advice", step.reason, evidence)
            return
        await self.take(model, step, evidence, actor=AUTOMATIC)

    async def take(
        self, model: str, step: Step, evidence: Evidence | None, *, actor: str
    ) -> Rollout:
        """Take *step*; raises OperationFailed, and Unusable before a step forward."""
        now = self._clock()
        forward = step.kind in {"advance", "promote"}
        before = self._operations.generation.rollouts.get(model)
        if forward:
            await self._ledger.decide(
                model,
                candidate_of(self._operations.config, model),
                step.kind,
                self._written(step.reason, evidence),
            )

        def moved(rollout: Rollout | None) -> Rollout:
            # What another has changed meanwhile was not decided about.
            if _place(rollout) != _place(before):
                raise OperationFailed([f"the candidate of '{model}' was moved meanwhile"])
            return self._moved(model, rollout, step, evidence, now)

        rollout = await self._operations.set_rollout(model, moved)
        assert rollout is not None  # noqa: S101 - as moved
        log.info("candidate moved", extra={"model": model, **msgspec.structs.asdict(rollout)})
        if step.kind == "promote":
            self._promoted(model, now)
        if not forward:
            try:
                await self._ledger.decide(
                    model, rollout.candidate, step.kind, self._written(step.reason, evidence)
                )
            except Unusable as error:
                log.warning("a step back is not written down: %s", error)
        await self._record(model, rollout, step.kind, step.reason, evidence, actor=actor)
        return rollout

    async def hold(self, model: str, *, held: bool, actor: str) -> Rollout:
        """Keep the candidate of *model* where it is, or no longer; raises OperationFailed."""

        def change(rollout: Rollout | None) -> Rollout:
            now = rollout or self._fresh(model)
            return msgspec.structs.replace(now, held=held)

        rollout = await self._operations.set_rollout(model, change)
        assert rollout is not None  # noqa: S101 - as changed
        reason = "A person holds it where it is." if held else "It is held no longer."
        await self._record(model, rollout, "hold" if held else "release", reason, None, actor=actor)
        return rollout

    def section(self, model: str) -> CandidateConfig | None:
        """What the configuration says of the candidate of *model*."""
        section = self._operations.config.models.get(model)
        return None if section is None else section.candidate

    def arms(self, model: str, rollout: Rollout) -> Arms:
        """The live requests of both since the stage began, or since this process did."""
        now = counted(self._metrics(), self._telemetry, model)
        before = self._before.get(model)
        if before is None or before[0] != rollout.since:
            self._before[model] = before = (rollout.since, now)
        return Arms(less(now.live, before[1].live), less(now.candidate, before[1].candidate),
                    now.bounds)  # fmt: skip

    def _fresh(self, model: str) -> Rollout:
        now = self._clock()
        return Rollout(candidate_of(self._operations.config, model), began=now, since=now)

    def _moved(
        self, model: str, rollout: Rollout | None, step: Step, evidence: Evidence | None, now: float
    ) -> Rollout:
        made = rollout or self._fresh(model)
        share = step.share
        if step.kind == "begin anew":
            fresh = self._fresh(model)
            return msgspec.structs.replace(fresh, reason=step.reason)
        promoted = step.kind == "promote"
        return msgspec.structs.replace(
            made,
            share=share,
            since=now,
            # Behind a promotion another question is asked, of rows that come from then on.
            began=now if promoted else made.began,
            state="promoted" if promoted else "rolled back" if step.kind == "roll back"
            else "running",
            digest=evidence.candidate if evidence is not None else made.digest,
            beside=evidence.model if evidence is not None else made.beside,
            reason=step.reason,
        )  # fmt: skip

    async def _begin(self) -> None:
        """Begin with what the configuration has and the generation has not."""
        for model, section in self._operations.config.models.items():
            rollout = self._operations.generation.rollouts.get(model)
            if section.candidate is not None and rollout is None:
                fresh = self._fresh(model)
                await self._operations.set_rollout(model, partial(_kept_or, fresh))

    async def _reconcile(self) -> None:
        """Write down what an earlier life of this process has done and not written."""
        for model, rollout in self._operations.generation.rollouts.items():
            entries = await self._ledger.audit(model, limit=20)
            last = next(
                (each.detail for each in entries if "share" in (each.detail or {})),
                {"share": 0.0, "state": "running"},
            )
            if (last["share"], last["state"]) != (rollout.share, rollout.state):
                await self._record(
                    model, rollout, "found in effect", rollout.reason, None, actor=AUTOMATIC
                )

    async def _record(
        self,
        model: str,
        rollout: Rollout,
        action: str,
        reason: str,
        evidence: Evidence | None,
        *,
        actor: str = AUTOMATIC,
    ) -> None:
        """Tell of it, and write it into the audit log."""
        detail = {
            "candidate": rollout.candidate,
            "share": rollout.share,
            "state": rollout.state,
            "held": rollout.held,
            "generation": self._operations.generation.number,
            "reason": reason,
        }
        told = {**detail, "evidence": None if evidence is None else shown(evidence)}
        self._notify(Event("decision", action, model, reason, self._clock(), told))
        try:
            await self._ledger.append(
                f"candidate: {action}", model=model, actor=actor, detail=detail
            )
        except Unusable as error:
            log.warning("the audit log lacks '%s' of model %s: %s", action, model, error)

    def _written(self, reason: str, evidence: Evidence | None) -> dict[str, Any]:
        return {
            "sentence": reason,
            "generation": self._operations.generation.number,
            "evidence": None if evidence is None else shown(evidence),
        }


def _place(rollout: Rollout | None) -> tuple[float, str]:
    """Where a candidate is; one that has not begun is where one is that has just begun."""
    return (0.0, "running") if rollout is None else (rollout.share, rollout.state)


def _kept_or(fresh: Rollout, rollout: Rollout | None) -> Rollout:
    return rollout or fresh

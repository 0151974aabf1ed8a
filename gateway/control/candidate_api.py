# SPDX-License-Identifier: Apache-2.0
"""The part of the admin API that is about candidates: where they stand, why, and what to do."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from aiohttp import web
from sqlalchemy import select, tuple_

from gateway.control.actions import body_of, failed
from gateway.control.answers import as_json, refusal
from gateway.control.candidate_views import shown
from gateway.control.publisher import OperationFailed
from gateway.quality.candidates.course import Step
from gateway.quality.database import Unusable
from gateway.quality.tables import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from gateway.control.candidates import Candidates
    from gateway.control.operations import Operations
    from gateway.quality.ledger import Ledger
    from gateway.stages.candidate_options import CandidateConfig

# Who did it, as the audit log has it: the admin port knows no users.
Actor = Annotated[str, msgspec.Meta(max_length=128)]
_MOST: Final = 1000
_PLENTY: Final = 100
# Ids that the ledger is asked for in one statement.
_CHUNK: Final = 200


class Promotion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *share* of live requests that it gets. *force*: whatever the evidence says."""

    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    force: bool = False
    actor: Actor = "operator"


class Rollback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The candidate answers nothing any more."""

    actor: Actor = "operator"


class Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether it stays where it is until a person moves it."""

    held: bool = True
    actor: Actor = "operator"


class CandidateApi:
    """The handlers over *candidates*."""

    def __init__(self, operations: Operations, candidates: Candidates, ledger: Ledger) -> None:
        self._operations = operations
        self._candidates = candidates
        self._ledger = ledger

    def add_to(self, app: web.Application) -> None:
        """Give *app* the routes."""
        app.router.add_get("/v1/candidates", self.listed)
        app.router.add_get("/v1/candidates/{model}/decision", self.decision)
        app.router.add_post("/v1/candidates/{model}/promote", self.promote)
        app.router.add_post("/v1/candidates/{model}/rollback", self.rollback)
        app.router.add_post("/v1/candidates/{model}/hold", self.hold)
        app.router.add_get("/v1/label-requests", self.label_requests)
        app.router.add_get("/v1/audit", self.audit)

    async def listed(self, _: web.Request) -> web.Response:
        """All candidates."""
        models = self._operations.config.models
        return as_json({"candidates": [self._row(name) for name in models if self._has(name)]})

    async def decision(self, request: web.Request) -> web.Response:
        """What is decided of one now, why, and what was decided before."""
        model, section = self._found(request)
        evidence = self._candidates.comparisons.evidence(model)
        rollout = self._operations.generation.rollouts.get(model)
        answer = self._row(model) | {
            "margin": section.margin,
            "alpha": section.alpha,
            "stages": list(section.shares),
            "reason": "" if rollout is None else rollout.reason,
            "evidence": None if evidence is None else shown(evidence),
            "arms": None if rollout is None else _arms(self._candidates.arms(model, rollout)),
        }
        try:
            found = await self._ledger.decisions(model, limit=20)
            answer["decisions"] = msgspec.to_builtins(found)
        except Unusable as error:
            answer |= {"decisions": None, "ledger": str(error)}
        return as_json(answer)

    async def promote(self, request: web.Request) -> web.Response:
        """Give it a share of the live requests, all by default."""
        model, _ = self._found(request)
        wish = await body_of(request, Promotion)
        evidence = self._candidates.comparisons.evidence(model)
        outcome = "inconclusive" if evidence is None else evidence.decision.outcome
        if outcome != "promote" and not wish.force:
            why = "there is no pair of answers yet." if evidence is None else (
                evidence.decision.sentence
            )  # fmt: skip
            raise refusal(
                HTTPStatus.CONFLICT,
                f"the candidate of '{model}' has not proven itself: {why} Force it if that is what "
                "you want",
            )
        reason = f"A person gave it {wish.share:.3g} of the requests."
        if evidence is not None:
            reason += f" {evidence.decision.sentence}"
        step = Step("promote" if wish.share >= 1 else "advance", wish.share, reason)
        return await self._take(model, step, wish.actor)

    async def rollback(self, request: web.Request) -> web.Response:
        """Have the model itself answer all again."""
        model, _ = self._found(request)
        wish = await body_of(request, Rollback)
        return await self._take(model, Step("roll back", 0.0, "A person took it back."), wish.actor)

    async def hold(self, request: web.Request) -> web.Response:
        """Keep it where it is, or let it go on."""
        model, _ = self._found(request)
        wish = await body_of(request, Hold)
        try:
            await self._candidates.hold(model, held=wish.held, actor=wish.actor)
        except OperationFailed as error:
            return failed(error, "nothing has changed")
        return as_json(self._row(model))

    async def label_requests(self, request: web.Request) -> web.Response:
        """Rows to be labelled, of one model or of all."""
        limit = _number(request, "limit", default=_PLENTY, most=_MOST)
        wanted = request.query.get("model", "")
        if wanted and not self._has(wanted):
            raise self._unknown(wanted)
        found = {}
        for model, requests in self._candidates.comparisons.requests.items():
            if wanted not in {"", model}:
                continue
            await self._drop_labelled(model)
            quality = self._operations.config.models[model].quality
            names = () if quality is None or quality.task != "classification" else quality.names
            found[model] = [
                asdict(each)
                | {"live": _named(each.live, names), "candidate": _named(each.candidate, names)}
                for each in requests.listed(limit)
            ]
        return as_json({"models": found})

    async def audit(self, request: web.Request) -> web.Response:
        """The audit log."""
        limit = _number(request, "limit", default=_PLENTY, most=_MOST)
        before = _number(request, "before", default=0, most=2**62)
        try:
            entries = await self._ledger.audit(
                request.query.get("model", ""), before=before, limit=limit
            )
        except Unusable as error:
            raise refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        return as_json({"entries": msgspec.to_builtins(entries)})

    async def _take(self, model: str, step: Step, actor: str) -> web.Response:
        evidence = self._candidates.comparisons.evidence(model)
        try:
            await self._candidates.take(model, step, evidence, actor=actor)
        except OperationFailed as error:
            return failed(error, "nothing has changed")
        except Unusable as error:
            raise refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"nothing has changed, as it could not be written down: {error}",
            ) from None
        return as_json(self._row(model))

    async def _drop_labelled(self, model: str) -> None:
        """Forget the requests whose rows have met a label since."""
        requests = self._candidates.comparisons.requests[model]
        waiting = requests.keys()
        try:
            labelled = await self._ledger.ask(lambda connection: _labelled(connection, waiting))
        except Unusable:
            return  # rather one too many than none
        requests.drop(labelled)

    def _row(self, model: str) -> dict[str, Any]:
        section = self._operations.config.models[model].candidate
        assert section is not None  # noqa: S101 - asked by the callers
        rollout = self._operations.generation.rollouts.get(model)
        evidence = self._candidates.comparisons.evidence(model)
        return {
            "model": model,
            "candidate": section.model,
            "auto": section.auto,
            "share": 0.0 if rollout is None else rollout.share,
            "state": "running" if rollout is None else rollout.state,
            "held": rollout is not None and rollout.held,
            "since": None if rollout is None else rollout.since,
            "outcome": "inconclusive" if evidence is None else evidence.decision.outcome,
            "sentence": "No pair of answers has come yet."
            if evidence is None else evidence.decision.sentence,
            "generation": self._operations.generation.number,
        }  # fmt: skip

    def _has(self, model: str) -> bool:
        return self._candidates.section(model) is not None

    def _found(self, request: web.Request) -> tuple[str, CandidateConfig]:
        model = request.match_info["model"]
        section = self._candidates.section(model)
        if section is None:
            raise self._unknown(model)
        return model, section

    def _unknown(self, model: str) -> Exception:
        there = ", ".join(name for name in self._operations.config.models if self._has(name))
        return refusal(
            HTTPStatus.NOT_FOUND,
            f"no model '{model}' with a candidate; there are: {there or 'none'}",
        )


def _labelled(
    connection: Connection, keys: Sequence[tuple[str, str, int]]
) -> set[tuple[str, str, int]]:
    """Which of *keys* have a label."""
    found: set[tuple[str, str, int]] = set()
    for begin in range(0, len(keys), _CHUNK):
        part = [(id_, row) for _, id_, row in keys[begin : begin + _CHUNK]]
        query = select(LABELS.c.tenant, LABELS.c.id, LABELS.c.row).where(
            tuple_(LABELS.c.id, LABELS.c.row).in_(part)
        )
        found.update((row.tenant, row.id, row.row) for row in connection.execute(query))
    return found


def _arms(arms: Any) -> dict[str, Any]:  # noqa: ANN401 - Arms
    return {
        name: {"ok": arm.ok, "failed": arm.failed}
        for name, arm in (("live", arms.live), ("candidate", arms.candidate))
    }


def _named(place: int, names: Sequence[str]) -> int | str:
    return names[place] if 0 <= place < len(names) else place


def _number(request: web.Request, name: str, *, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > most:
        raise refusal(
            HTTPStatus.BAD_REQUEST, f"{name} {text[:40]!r}: expected a number from 0 to {most}"
        )
    return int(text)

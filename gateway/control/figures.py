# SPDX-License-Identifier: Apache-2.0
"""Figures in the control process: how right the answers are, kept, shown and watched."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from gateway.control.answers import NO_STORE, refusal
from gateway.control.figure_gauges import Gauges
from gateway.quality.database import Unusable
from gateway.quality.figures.answer import SCHEMA_VERSION, Answer
from gateway.quality.figures.live import LiveFigures
from gateway.quality.figures.query import parse_query
from gateway.quality.figures.read import answer, overview
from gateway.quality.figures.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config
    from gateway.control.operations import Operations
    from gateway.quality.ledger import Ledger
    from gateway.stages.quality_options import QualityConfig
    from gateway.telemetry import Telemetry

log: Final = logging.getLogger(__name__)

# A label shows at once to whoever asks; alarms and gauges are looked at this often.
SECONDS: Final = 0.5
# Marks and alarms are kept this often, and at the end.
_KEPT_EVERY: Final = 5.0
_NAME: Final = "figures"
_INCOMPLETE: Final = "the ledger is still being read after a start: figures are of a part of it"


class Figures:
    """Live figures of the models of *operations*; what must outlive this process is in *ledger*.

    *notify* is told of alarms that begin and end. *caught_up* says whether all that the ledger held
    at the start has been counted again.
    """

    def __init__(
        self,
        operations: Operations,
        ledger: Ledger,
        telemetry: Telemetry,
        *,
        notify: Callable[[str, str, dict[str, Any]], None] | None = None,
        caught_up: Callable[[], bool] = lambda: True,
    ) -> None:
        self._operations = operations
        self._ledger = ledger
        self._config = operations.config
        self.live = LiveFigures(specs_of(self._config), notify=notify)
        self._gauges = Gauges(self.live, telemetry)
        self._caught_up = caught_up
        self._kept = b""

    def __repr__(self) -> str:
        return f"<Figures {self.live!r}>"

    def add_to(self, app: web.Application) -> None:
        """Give *app* the routes."""
        app.router.add_get("/v1/quality", self.models)
        app.router.add_get("/v1/quality/{model}", self.model)

    async def run(self) -> None:
        """Watch alarms and gauges until cancelled."""
        await self._begin()
        last = asyncio.get_running_loop().time()
        try:
            while True:
                await asyncio.sleep(SECONDS)
                if self._operations.config is not self._config:
                    self._config = self._operations.config
                    self.live.configure(specs_of(self._config))
                self.live.settle()
                if self._caught_up():
                    await self._gauges.refresh()
                now = asyncio.get_running_loop().time()
                if now - last >= _KEPT_EVERY:
                    last = now
                    await self._keep()
        finally:
            await self._keep()

    async def _begin(self) -> None:
        kept = None
        if self._ledger.opened:
            try:
                kept = await self._ledger.kept(_NAME)
            except Unusable as error:
                log.warning("marks and alarms of before are not known: %s", error)
        try:
            self.live.begin(kept)
        except ValueError as error:
            log.warning("marks and alarms of before are not known: %s", error)

    async def _keep(self) -> None:
        if not self._ledger.opened:
            return
        state = self.live.keep()
        if state == self._kept:
            return
        try:
            await self._ledger.keep(_NAME, state)
            self._kept = state
        except Unusable as error:
            log.debug("marks and alarms are not kept: %s", error)

    async def models(self, request: web.Request) -> web.Response:
        """The first figure of every model."""
        query = _query(request)
        found = _told(lambda: overview(self.live, query))
        return _as_json(
            {
                "schema_version": SCHEMA_VERSION,
                "complete": self._caught_up(),
                "window": query.window,
                "models": found,
            }
        )

    async def model(self, request: web.Request) -> web.Response:
        """Every figure of one model."""
        name = request.match_info["model"]
        if name not in self.live.specs:
            there = ", ".join(self.live.specs) or "none"
            why = (
                "keeps no predictions: it has no section 'quality'"
                if name in self._operations.config.models
                else "is not configured"
            )
            raise refusal(
                HTTPStatus.NOT_FOUND, f"model '{name}' {why}; models with figures: {there}"
            )
        query = _query(request)
        told: Answer = _told(lambda: answer(self.live, name, query))
        if not self._caught_up():
            told = msgspec.structs.replace(told, complete=False, notes=[_INCOMPLETE, *told.notes])
        return _as_json(told)


def specs_of(config: Config) -> dict[str, Spec]:
    """What the answers of each model with a section ``quality`` mean."""
    return {
        name: spec_of(model.quality)
        for name, model in config.models.items()
        if model.quality is not None
    }


def spec_of(quality: QualityConfig) -> Spec:
    """The same of one section."""
    names = quality.names
    positive = None if quality.positive is None else str(quality.positive)
    return Spec(
        task=quality.task,
        classes=names,
        positive=names.index(positive) if positive in names else None,
        level=quality.level,
        targets={} if quality.targets is None else quality.targets.wanted(),
    )


def _query(request: web.Request) -> Any:  # noqa: ANN401 - a Query
    doubled = [key for key in request.query if len(request.query.getall(key)) > 1]
    if doubled:
        raise refusal(HTTPStatus.BAD_REQUEST, f"parameter '{doubled[0]}' is there twice")
    return _told(lambda: parse_query(request.query))


def _told(make: Callable[[], Any]) -> Any:  # noqa: ANN401 - what *make* makes
    try:
        return make()
    except ValueError as error:
        raise refusal(HTTPStatus.BAD_REQUEST, str(error)) from None


def _as_json(value: object) -> web.Response:
    # msgspec: what is not a number is null, and structs need no detour.
    body = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    return web.Response(body=body, content_type="application/json", headers=NO_STORE)

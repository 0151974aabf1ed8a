# SPDX-License-Identifier: Apache-2.0
"""The part of the admin API that is about shadows: how much is mirrored to them."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from aiohttp import web

from gateway.control.actions import body_of, failed
from gateway.control.answers import as_json, refusal
from gateway.control.publisher import OperationFailed
from gateway.quality.database import Unusable

if TYPE_CHECKING:
    from gateway.control.operations import Operations
    from gateway.quality.ledger import Ledger

log: Final = logging.getLogger(__name__)


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*sample* of the requests to *model* is to be mirrored to *shadow*; None: as configured."""

    model: str
    shadow: str
    sample: Annotated[float, msgspec.Meta(ge=0, le=1)] | None
    actor: Annotated[str, msgspec.Meta(max_length=128)] = "operator"


class ShadowApi:
    """The handlers over *operations*; what is changed is written into the *ledger*."""

    def __init__(self, operations: Operations, ledger: Ledger) -> None:
        self._operations = operations
        self._ledger = ledger

    def add_to(self, app: web.Application) -> None:
        """Give *app* the routes."""
        app.router.add_get("/v1/shadows", self.listed)
        app.router.add_post("/v1/shadows", self.change)

    async def listed(self, _: web.Request) -> web.Response:
        """All shadows."""
        said = self._operations.generation.shadows
        return as_json({
            "shadows": [
                {
                    "model": model,
                    "shadow": each.model,
                    "sample": said.get(model, {}).get(each.model, each.sample),
                    "configured": each.sample,
                }
                for model, section in self._operations.config.models.items()
                for each in section.shadows
            ]
        })  # fmt: skip

    async def change(self, request: web.Request) -> web.Response:
        """Mirror more or less."""
        wish = await body_of(request, Wish)
        section = self._operations.config.models.get(wish.model)
        names = [] if section is None else [each.model for each in section.shadows]
        if wish.shadow not in names:
            there = ", ".join(names) or "none"
            raise refusal(
                HTTPStatus.NOT_FOUND,
                f"model '{wish.model}' has no shadow '{wish.shadow}'; there are: {there}",
            )
        try:
            await self._operations.set_shadow(wish.model, wish.shadow, wish.sample)
        except OperationFailed as error:
            return failed(error, "nothing has changed")
        try:
            await self._ledger.append(
                "shadow: sample",
                model=wish.model,
                actor=wish.actor,
                detail={"shadow": wish.shadow, "sample": wish.sample},
            )
        except Unusable as error:
            log.warning("the audit log lacks a change of shadow %s: %s", wish.shadow, error)
        return await self.listed(request)

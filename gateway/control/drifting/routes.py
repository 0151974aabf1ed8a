# SPDX-License-Identifier: Apache-2.0
"""The part of the admin API that shows drift."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.control.answers import as_json, refusal
from gateway.quality.drift.watch import WINDOWS

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.control.drifting.follow import Follow

SCHEMA_VERSION: Final = 1


class DriftRoutes:
    """The handlers over *follow*."""

    def __init__(self, follow: Follow) -> None:
        self._follow = follow

    def add_to(self, app: web.Application) -> None:
        """Give *app* the routes."""
        app.router.add_get("/v1/drift", self.overview)
        app.router.add_get("/v1/drift/{model}", self.show)
        app.router.add_post("/v1/drift/{model}/reset", self.reset)

    async def overview(self, _: web.Request) -> web.Response:
        """Every model in a few words."""
        models = {}
        for name in self._follow.watches:
            told = self._told(name, "1h")
            told["alarms"] = [each["name"] for each in told.pop("features", []) if each["alarm"]]
            models[name] = told
        return as_json({"schema_version": SCHEMA_VERSION, "models": models})

    async def show(self, request: web.Request) -> web.Response:
        """One model, feature by feature, alarms and harm first."""
        name = self._known(request)
        window = request.query.get("window", "1h")
        if window not in WINDOWS:
            raise refusal(
                HTTPStatus.BAD_REQUEST, f"window '{window}': expected {' or '.join(WINDOWS)}"
            )
        return as_json({"schema_version": SCHEMA_VERSION, **self._told(name, window)})

    async def reset(self, request: web.Request) -> web.Response:
        """Begin anew."""
        name = self._known(request)
        await self._follow.forget(name)
        return as_json({"model": name, "state": "learning" if self._learns(name) else "calm"})

    def _known(self, request: web.Request) -> str:
        name = request.match_info["model"]
        if name not in self._follow.watches:
            there = ", ".join(self._follow.watches) or "none"
            raise refusal(
                HTTPStatus.NOT_FOUND,
                f"no model '{name}' with a section 'drift'; there are: {there}",
            )
        return name

    def _learns(self, name: str) -> bool:
        return self._follow.watches[name].reference is None

    def _told(self, name: str, window: str) -> dict[str, Any]:
        watch = self._follow.watches[name]
        seen = {"seen_rows": watch.seen, "looked_at_rows": watch.looked_at}
        verdict = self._follow.verdict(name, window)
        if verdict is None:
            have, need = watch.learning or (0, 0)
            sentence = f"{have} of {need} rows that will be the reference have come."
            return {"model": name, "state": "learning", "sentence": sentence, **seen}
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(verdict))
        return {**plain, **seen}

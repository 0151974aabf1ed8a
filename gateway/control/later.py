# SPDX-License-Identifier: Apache-2.0
"""Later: the quality side of the control process, loaded when a model first asks for it.

Loading it takes more than all the rest of this process, and most of what it knows is of no use to a
configuration that keeps no predictions.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.control.quality_paths import CHANGED, PATHS

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler

    from gateway.config import Config
    from gateway.control.operations import Operations
    from gateway.control.quality import Quality


class Later:
    """What *make* gives, made at once where the configuration of *operations* needs it.

    Otherwise it is made when a reload needs it, or when somebody asks for one of its paths.
    """

    def __init__(self, make: Callable[[], Quality], operations: Operations) -> None:
        self._make = make
        self._operations = operations
        self._quality: Quality | None = None
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._asked = asyncio.Event()
        if needed(operations.config):
            self._load()
        operations.on_change(self._changed)

    def __repr__(self) -> str:
        return f"<Later {self._quality!r}>"

    def add_to(self, app: web.Application) -> None:
        """Give *app* the routes."""
        for path in PATHS:
            for method in CHANGED.get(path, ("GET",)):
                # A route for GET is one for HEAD too.
                app.router.add_route(method, path, self._answer)

    async def run(self) -> None:
        """Do the work of it, from when it is needed until cancelled."""
        await self._asked.wait()
        await self._load().run()

    def _changed(self) -> None:
        if needed(self._operations.config):
            self._asked.set()

    def _load(self) -> Quality:
        if self._quality is None:
            self._quality = self._make()
            inner = web.Application()
            self._quality.add_to(inner)
            for route in inner.router.routes():
                assert route.resource is not None  # noqa: S101 - each is of a path
                self._handlers[route.method, route.resource.canonical] = route.handler
            self._asked.set()
        return self._quality

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._load()
        resource = request.match_info.route.resource
        assert resource is not None  # noqa: S101 - a path has led here
        return await self._handlers[request.method, resource.canonical](request)


def needed(config: Config) -> bool:
    """Whether anything in *config* is about the quality of answers."""
    return bool(config.webhooks) or any(
        model.quality is not None
        or model.candidate is not None
        or model.drift is not None
        or bool(model.shadow)
        or bool(model.probes)
        for model in config.models.values()
    )
